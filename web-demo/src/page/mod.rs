//! The page: state, what changes it, and views that show it.

mod assets;
mod colour;
mod connection;
mod draw;
mod intake;
#[cfg_attr(not(test), expect(dead_code, reason = "the address does not hold the state yet"))]
mod link;
mod picture_file;
mod samples;
mod state;
mod sync;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "annotation files cannot be dropped yet"))]
mod truth;
mod views;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Replaces index.html's skeleton by the page.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        leptos::logging::error!("{info}");
        if let Some(failure) = document().get_element_by_id("failure") {
            failure.set_text_content(Some("The page has met an error of its own and stopped. Reload it to go on."));
            let _ = failure.remove_attribute("hidden");
        }
    }));
    let app = document().get_element_by_id("app").expect("index.html has a place for the page");
    app.set_inner_html("");
    mount_to(app.unchecked_into(), views::App).forget();
}

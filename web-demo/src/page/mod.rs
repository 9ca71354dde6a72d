//! The page: state, what changes it, and views that show it.

mod address;
mod assets;
mod camera;
mod compare;
mod connection;
mod draw;
mod dropped;
mod encode;
mod export;
mod intake;
mod jobs;
mod language;
mod link;
mod marks;
mod own_weights;
mod panel;
mod picture;
mod picture_file;
mod plan;
mod results;
mod samples;
mod state;
mod sync;
mod truth;
mod truths;
mod views;
mod zoom;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Replaces index.html's skeleton by the page.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        leptos::logging::error!("{info}");
        if let Some(failure) = document().get_element_by_id("failure") {
            failure.set_text_content(Some(&language::text!(
                "The page has met an error of its own and stopped. Reload it to go on."
            )));
            let _ = failure.remove_attribute("hidden");
        }
    }));
    let app = document().get_element_by_id("app").expect("index.html has a place for the page");
    app.set_inner_html("");
    mount_to(app.unchecked_into(), views::App).forget();
}

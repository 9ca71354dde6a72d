//! The page: state, what changes it, and views that show it.

mod address;
mod camera;
mod compare;
mod diagram;
mod draw;
mod driver;
mod elsewhere;
mod evaluation;
mod export;
mod failures;
mod film_counts;
mod intake;
mod kept;
mod language;
mod latest;
mod link;
mod marks;
mod model_list;
mod panel;
mod parts;
mod picture;
mod results;
mod samples;
mod site;
mod state;
mod truth;
mod views;
mod words;
mod zoom;

use leptos::prelude::*;
use site::Assets;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;

pub(crate) use language::FetchedTexts;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use {link::Link, picture::Verdict, truth::TruthFile, truth::evaluate};

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
    spawn_local(async {
        // Of texts that do not come, the page tells when it is there.
        let _ = address::language().learn(Assets::of_page()).await;
        let app = document().get_element_by_id("app").expect("index.html has a place for the page");
        app.set_inner_html("");
        mount_to(app.unchecked_into(), views::App).forget();
    });
}

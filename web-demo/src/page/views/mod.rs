//! What is to be seen: a folder or file a view.

mod benchmark;
mod build;
mod camera;
mod compare;
mod drop;
mod gallery;
mod language;
mod notice;
mod sources;
mod thresholds;
mod variants;
pub mod words;

use leptos::prelude::*;
use leptos::{ev, task::spawn_local};

use super::address;
use super::camera::Camera;
use super::intake;
use super::language::text;
use super::link::View;
use super::state::State;
use super::sync::{self, Sync};
use benchmark::Benchmark;
use build::BuildSign;
use compare::Compare;
use drop::DropTarget;
use language::LanguageSwitch;
use notice::NoticeBar;
use variants::Variants;

/// The page.
#[component]
pub fn App() -> impl IntoView {
    let state = State::provide();
    provide_context(Camera::new(state));
    Sync::provide(state);
    let link = address::provide(state);
    spawn_local(sync::list_models(state, move |manifest| address::models(&link, manifest)));

    let paste = window_event_listener(ev::paste, move |event| {
        let files = event.clipboard_data().and_then(|data| data.files());
        intake::open_files(state, files);
    });
    on_cleanup(move || paste.remove());

    view! {
        <DropTarget>
            <header class="top">
                <h1>"YOLOX-nano variants"</h1>
                <p>
                    {move || text!("Which variant finds more on your picture, and at what cost?")}" "
                    <strong class="private">{move || text!("Nothing leaves your device.")}</strong>
                </p>
                <Views/>
                <LanguageSwitch/>
                <BuildSign/>
            </header>
            <NoticeBar/>
            <main class="layout" data-view=move || state.view.get().name()>
                {move || match state.view.get() {
                    View::Compare => view! { <Compare/> }.into_any(),
                    View::Benchmark => view! { <Benchmark/> }.into_any(),
                    View::Variants => view! { <Variants/> }.into_any(),
                }}
            </main>
            <footer class="bottom">
                <p>{move || text!(
                    "The networks run in WebAssembly, in a worker of their own. Weights are downloaded once and then kept in this browser."
                )}</p>
            </footer>
        </DropTarget>
    }
}

/// The way from view to view.
#[component]
fn Views() -> impl IntoView {
    let state = State::get();
    let name = |view: View| match view {
        View::Compare => text!("Compare"),
        View::Benchmark => text!("Benchmark"),
        View::Variants => text!("Variants"),
    };
    view! {
        <nav class="views" aria-label=move || text!("Views")>
            {View::ALL.map(|view| view! {
                <button
                    type="button"
                    class="plain"
                    aria-current=move || (state.view.get() == view).then_some("page")
                    data-testid=format!("view-{}", view.name())
                    on:click=move |_| state.view.set(view)
                >{move || name(view)}</button>
            })}
        </nav>
    }
}

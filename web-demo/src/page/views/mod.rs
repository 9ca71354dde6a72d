//! What is to be seen, from top to bottom.

mod build;
mod choice;
mod cost;
mod notice;
mod objects;
mod sources;
mod thresholds;
mod viewer;
mod words;

use leptos::prelude::*;
use leptos::{ev, task::spawn_local};

use super::intake;
use super::samples::SAMPLES;
use super::state::{Panel, State};
use super::sync::{self, Sync};
use build::BuildSign;
use choice::Choice;
use cost::Cost;
use notice::NoticeBar;
use objects::Objects;
use sources::Sources;
use thresholds::Thresholds;
use viewer::Viewer;

/// The page.
#[component]
pub fn App() -> impl IntoView {
    let state = State::provide();
    Sync::provide(state);
    spawn_local(sync::list_models(state));
    intake::open_sample(state, &SAMPLES[0]);

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
                    "Object detection that runs in this tab. "
                    <strong class="private">"Nothing leaves your device."</strong>
                </p>
                <BuildSign/>
            </header>
            <NoticeBar/>
            <main class="layout">
                <Sources/>
                <Choice/>
                <For each=move || state.panels.get() key=|panel| panel.model.get_untracked() let(panel)>
                    <PanelView panel/>
                </For>
                <Show when=move || state.panels.read().is_empty()>
                    <PanelPlaceholder/>
                </Show>
            </main>
            <footer class="bottom">
                <p>
                    "The networks run in WebAssembly, in a worker of their own. "
                    "Weights are downloaded once and then kept in this browser."
                </p>
            </footer>
        </DropTarget>
    }
}

/// One model's view of the picture.
#[component]
fn PanelView(panel: Panel) -> impl IntoView {
    let state = State::get();
    let suppressed = panel.suppressed(state);
    let detections = Memo::new(move |_| {
        let least = state.score.get();
        suppressed.with(|all| all.iter().take_while(|detection| detection.score >= least).copied().collect::<Vec<_>>())
    });
    let best = Memo::new(move |_| suppressed.with(|all| all.first().copied()));
    view! {
        <section class="panel" aria-label=move || format!("Model {}", panel.model.get())>
            <Viewer panel detections/>
            <div class="side">
                <Thresholds/>
                <Objects panel detections best/>
                <Cost panel/>
            </div>
        </section>
    }
}

/// Where the panels will be.
#[component]
fn PanelPlaceholder() -> impl IntoView {
    view! {
        <section class="panel" aria-hidden="true">
            <div class="viewer"><div class="stage waiting"></div></div>
            <div class="side"><div class="card waiting"></div><div class="card waiting tall"></div></div>
        </section>
    }
}

/// The whole page takes dropped pictures.
#[component]
fn DropTarget(children: Children) -> impl IntoView {
    let state = State::get();
    // Entering a child comes before leaving its parent: counting tells when the pointer has really left.
    let depth = RwSignal::new(0_i32);
    let has_files =
        |event: &ev::DragEvent| event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0));
    let enter = move |event: ev::DragEvent| {
        if has_files(&event) {
            event.prevent_default();
            depth.update(|depth| *depth += 1);
        }
    };
    let leave = move |event: ev::DragEvent| {
        if has_files(&event) {
            depth.update(|depth| *depth -= 1);
        }
    };
    let over = move |event: ev::DragEvent| {
        if has_files(&event) {
            // Without this the browser would leave the page and show the file.
            event.prevent_default();
        }
    };
    let drop = move |event: ev::DragEvent| {
        event.prevent_default();
        depth.set(0);
        intake::open_files(state, event.data_transfer().and_then(|data| data.files()));
    };
    view! {
        <div
            class="page"
            class:dropping=move || { depth.get() > 0 }
            data-testid="page"
            on:dragenter=enter
            on:dragleave=leave
            on:dragover=over
            on:drop=drop
        >
            {children()}
            <div class="drop-hint" aria-hidden="true"><span>"Drop a picture"</span></div>
        </div>
    }
}

//! What is to be seen: a folder or file a view.

mod benchmark;
mod build;
mod compare;
mod drop;
mod evaluation;
mod film_counts;
mod gallery;
mod header;
mod kept;
mod notice;
mod on_demand;
mod pause;
mod sources;
mod variants;

use leptos::prelude::*;
use leptos::{ev, task::spawn_local, wasm_split::wasm_split};

use super::address;
use super::camera::Camera;
use super::driver::WorkerDriver;
use super::intake;
use super::language::text;
use super::model_list;
use super::state::{PageView, State};
use benchmark::BenchmarkView;
use compare::CompareView;
use drop::DropTarget;
use evaluation::EvaluationView;
use header::Header;
use notice::NoticeBar;
use on_demand::{MakeView, on_demand};
use variants::VariantsView;

/// The page, whichever view is on show.
#[component]
pub fn App() -> impl IntoView {
    let state = State::provide();
    provide_context(Camera::new(state));
    WorkerDriver::provide(state);
    let link = address::provide(state);
    spawn_local(model_list::fetch(state, link));

    let paste = window_event_listener(ev::paste, move |event| {
        let files = event.clipboard_data().and_then(|data| data.files());
        intake::open_files(state, files);
    });
    on_cleanup(move || paste.remove());

    view! {
        <DropTarget>
            <Header/>
            <NoticeBar/>
            <main class="layout" data-view=move || state.display.view.get().name()>
                {move || match state.display.view.get() {
                    PageView::Compare => view! { <CompareView/> }.into_any(),
                    PageView::Evaluation => on_demand(|| Box::pin(evaluation())).into_any(),
                    PageView::Benchmark => on_demand(|| Box::pin(benchmark())).into_any(),
                    PageView::Variants => on_demand(|| Box::pin(variants())).into_any(),
                }}
            </main>
            <footer class="bottom">
                <p>{move || text!(
                    "The networks run in WebAssembly, in a worker of their own. Weights are downloaded once and then kept in this browser."
                )}</p>
                {state.assets.find("licences.txt").map(|url| view! {
                    <p><a href=url data-testid="licences">{move || text!("Licences of the code in this page")}</a></p>
                })}
            </footer>
        </DropTarget>
    }
}

#[wasm_split(evaluation, wasm_split_path = leptos::wasm_split, fallible)]
fn evaluation() -> MakeView {
    Ok(|| view! { <EvaluationView/> }.into_any())
}

#[wasm_split(benchmark, wasm_split_path = leptos::wasm_split, fallible)]
fn benchmark() -> MakeView {
    Ok(|| view! { <BenchmarkView/> }.into_any())
}

#[wasm_split(variants, wasm_split_path = leptos::wasm_split, fallible)]
fn variants() -> MakeView {
    Ok(|| view! { <VariantsView/> }.into_any())
}

//! The boxes as a table: for exact figures, the keyboard and screen readers.

use leptos::prelude::*;
use leptos::{ev, html};
use shared_model::Detection;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::viewer::{Phase, highlighted_index, phase};
use super::words;
use crate::page::colour::Colour;
use crate::page::state::{Highlight, Panel, State};

/// What was found, and what to do if it is nothing.
#[component]
pub fn Objects(panel: Panel, detections: Memo<Vec<Detection>>, best: Memo<Option<Detection>>) -> impl IntoView {
    let state = State::get();
    let is_done = move || matches!(phase(state, panel), Phase::Done);
    let is_empty = Memo::new(move |_| detections.read().is_empty());
    let summary = move || match phase(state, panel) {
        Phase::Done if is_empty.get() => "No objects".to_string(),
        Phase::Done => detections.with(|all| words::objects(all.len())),
        Phase::Stopped => "Stopped".into(),
        _ => "Working\u{2026}".into(),
    };
    view! {
        <section class="card objects" aria-label="Objects">
            <h2><span role="status" data-testid="summary">{summary}</span></h2>
            <Show when=move || is_done() && is_empty.get()>
                <NothingFound panel best/>
            </Show>
            <Show when=move || !is_empty.get()>
                <Table panel detections/>
            </Show>
        </section>
    }
}

/// No boxes: why, and the way to some.
#[component]
fn NothingFound(panel: Panel, best: Memo<Option<Detection>>) -> impl IntoView {
    let state = State::get();
    let error = move || panel.run.read().as_ref().and_then(|run| run.candidates.as_ref().err().cloned());
    view! {
        <div class="nothing" data-testid="nothing">
            {move || error().map(|message| view! { <p>{message}</p> })}
            {move || best.get().map(|best| {
                let name = panel.classes().get(best.class).cloned().unwrap_or_default();
                // Downwards, so that the box is in.
                let score = (best.score * 100.0).floor() / 100.0;
                view! {
                    <p>{format!(
                        "Nothing scores {:.2} or more. The best guess is {name}, at {:.2}.", state.score.get(), best.score
                    )}</p>
                    <button type="button" data-testid="lower" on:click=move |_| state.score.set(score.max(0.01))>
                        {format!("Lower the threshold to {score:.2}")}
                    </button>
                }
            })}
            {move || (best.get().is_none() && error().is_none()).then(|| view! {
                <p>"The network sees none of its classes in this picture."</p>
            })}
        </div>
    }
}

#[component]
fn Table(panel: Panel, detections: Memo<Vec<Detection>>) -> impl IntoView {
    let state = State::get();
    // One row is in the tab order, and the arrow keys move between rows: a hundred rows are not a hundred tab stops.
    let current = RwSignal::new(0_usize);
    let body = NodeRef::<html::Tbody>::new();
    let keys = move |event: ev::KeyboardEvent| {
        let last = detections.read_untracked().len().saturating_sub(1);
        let now = current.get_untracked().min(last);
        let next = match event.key().as_str() {
            "ArrowDown" => (now + 1).min(last),
            "ArrowUp" => now.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        current.set(next);
        let row = body.get_untracked().and_then(|body| body.children().item(next as u32));
        if let Some(row) = row.and_then(|row| row.dyn_into::<HtmlElement>().ok()) {
            let _ = row.focus();
        }
    };
    let highlighted = Memo::new(move |_| highlighted_index(&detections.read(), state.highlighted.get()));
    let rows = move || {
        let classes = panel.classes();
        let rows = detections.get().into_iter().enumerate();
        rows.map(|(i, detection)| {
            let name = classes.get(detection.class).cloned().unwrap_or_default();
            let data_class = name.clone();
            let highlight = Highlight { class: detection.class, bbox: detection.bbox };
            let Detection { score, bbox, class } = detection;
            let on = move || state.highlighted.set(Some(highlight));
            let off = move || state.highlighted.set(None);
            view! {
                <tr
                    tabindex=move || if current.get() == i { "0" } else { "-1" }
                    class:highlighted=move || highlighted.get() == Some(i)
                    on:pointerenter=move |_| on()
                    on:pointerleave=move |_| off()
                    on:focus=move |_| { current.set(i); on() }
                    on:blur=move |_| off()
                    data-testid="object"
                    data-class=data_class
                    data-score=format!("{score:.4}")
                    data-box=format!("{:.2},{:.2},{:.2},{:.2}", bbox.x1, bbox.y1, bbox.x2, bbox.y2)
                >
                    <th scope="row">
                        <span class="swatch" style:background=Colour::of_class(class).css()></span>
                        {name}
                    </th>
                    <td class="score">
                        <span class="bar" style:--part=score.to_string()></span>
                        {format!("{score:.2}")}
                    </td>
                    <td class="numbers place">{format!("{:.0}, {:.0}", bbox.x1, bbox.y1)}</td>
                    <td class="numbers">{format!("{:.0} \u{d7} {:.0}", bbox.x2 - bbox.x1, bbox.y2 - bbox.y1)}</td>
                </tr>
            }
        })
        .collect_view()
    };
    view! {
        <div class="table">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Class"</th>
                        <th scope="col">"Score"</th>
                        <th scope="col" class="numbers place">"Left, top"</th>
                        <th scope="col" class="numbers">"Size"</th>
                    </tr>
                </thead>
                <tbody node_ref=body on:keydown=keys>{rows}</tbody>
            </table>
        </div>
    }
}

//! The objects as a table: for exact figures, the keyboard and screen readers.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::{ev, html};
use shared_model::Detection;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::page::compare::{Agreement, Comparison, MatchedObject};
use crate::page::language::text;
use crate::page::state::State;
use crate::page::truth::DetectionOutcome;
use crate::page::words;

/// Rows that are shown unless all are asked for: more are slow to build, and nobody reads them.
const FEW: usize = 40;

/// A row: an object, and what each panel makes of it.
#[derive(Clone, Debug, PartialEq)]
struct ComparisonRow {
    object: MatchedObject,
    cells: Vec<ComparisonCell>,
}

/// What a panel makes of an object.
#[derive(Clone, Debug, PartialEq)]
struct ComparisonCell {
    found: Option<Detection>,
    agreement: Agreement,
    outcome: Option<DetectionOutcome>,
}

fn rows(comparison: &Comparison, differences_only: bool) -> Vec<(usize, ComparisonRow)> {
    let is_alone = comparison.predictions.len() < 2;
    let objects = comparison.objects.iter().enumerate();
    let shown = objects.filter(|(_, object)| !differences_only || is_alone || !object.is_agreed());
    let cell = |object: &MatchedObject, panel: usize| {
        let place = object.boxes[panel];
        let seen = comparison.predictions[panel].as_ref();
        let outcome = |place: usize| Some(comparison.evaluations[panel].as_ref()?.detections[place]);
        ComparisonCell {
            found: place.and_then(|place| seen.map(|seen| seen.detections[place])),
            agreement: object.agreements[panel],
            outcome: place.and_then(outcome),
        }
    };
    let row = |(i, object): (usize, &MatchedObject)| {
        let cells = (0..object.boxes.len()).map(|panel| cell(object, panel)).collect();
        (i, ComparisonRow { object: object.clone(), cells })
    };
    shown.map(row).collect()
}

/// All objects that some panel found, with every panel's score.
#[component]
pub fn ObjectTable() -> impl IntoView {
    let state = State::get();
    let all = RwSignal::new(false);
    let rows =
        Memo::new(move |_| Arc::new(rows(&state.display.comparison.read(), state.display.differences_only.get())));
    let visible = move || {
        let rows = rows.get();
        let count = if all.get() { rows.len() } else { rows.len().min(FEW) };
        rows[..count].to_vec()
    };
    // One row is in the tab order, and the arrow keys move between rows: a hundred rows are not a hundred tab stops.
    let current = RwSignal::new(0_usize);
    let body = NodeRef::<html::Tbody>::new();
    let keys = move |event: ev::KeyboardEvent| {
        let Some(rows) = body.get_untracked().map(|body| body.children()) else { return };
        let last = rows.length().saturating_sub(1) as usize;
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
        if let Some(row) = rows.item(next as u32).and_then(|row| row.dyn_into::<HtmlElement>().ok()) {
            let _ = row.focus();
        }
    };
    view! {
        <section class="card objects" aria-labelledby="objects-title">
            <h2 id="objects-title">{move || words::objects(rows.read().len())}</h2>
            <div class="table" tabindex="0" role="group" aria-labelledby="objects-title">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">{move || text!("Class")}</th>
                            {move || state.panels.names().into_iter().map(|name| view! {
                                <th scope="col">{name}</th>
                            }).collect_view()}
                            <th scope="col" class="numbers">{move || text!("Size")}</th>
                        </tr>
                    </thead>
                    <tbody node_ref=body on:keydown=keys>
                        <ForEnumerate each=visible key=|(_, row)| key(row) let(place, (object, row))>
                            <ObjectRow place object row current/>
                        </ForEnumerate>
                    </tbody>
                </table>
            </div>
            <Show when=move || { rows.read().len() > FEW && !all.get() }>
                <button type="button" class="plain" data-testid="all-objects" on:click=move |_| all.set(true)>
                    {move || text!("Show all %{count}", count = rows.read().len())}
                </button>
            </Show>
        </section>
    }
}

/// A row stays as it is for as long as this does.
fn key(row: &ComparisonRow) -> String {
    let place = row.object.bbox;
    let cells = row.cells.iter().map(|cell| {
        let score = cell.found.map(|found| found.score.to_bits());
        format!("{score:?}{:?}{:?}", cell.agreement, cell.outcome)
    });
    format!("{}{:?}{}", row.object.class, place, cells.collect::<String>())
}

#[component]
fn ObjectRow(place: ReadSignal<usize>, object: usize, row: ComparisonRow, current: RwSignal<usize>) -> impl IntoView {
    let state = State::get();
    let class = row.object.class.clone();
    let bbox = row.object.bbox;
    // A row that stayed may have another place among the objects now.
    let object = Memo::new(move |_| {
        let objects = &state.display.comparison.read().objects;
        objects.iter().position(|object| object.class == class && object.bbox == bbox).unwrap_or(object)
    });
    let on = move || state.display.highlight(Some(object.get_untracked()));
    let off = move || state.display.highlight(None);
    view! {
        <tr
            tabindex=move || if current.get() == place.get() { "0" } else { "-1" }
            class:highlighted=move || state.display.highlighted() == Some(object.get())
            on:pointerenter=move |_| on()
            on:pointerleave=move |_| off()
            on:focus=move |_| { current.set(place.get_untracked()); on() }
            on:blur=move |_| off()
            data-testid="object"
            data-class=row.object.class.clone()
        >
            <th scope="row">{row.object.class.clone()}</th>
            {row.cells.into_iter().enumerate().map(|(panel, cell)| view! { <Found panel cell/> }).collect_view()}
            <td class="numbers">{format!("{:.0} \u{d7} {:.0}", bbox.x2 - bbox.x1, bbox.y2 - bbox.y1)}</td>
        </tr>
    }
}

#[component]
fn Found(panel: usize, cell: ComparisonCell) -> impl IntoView {
    let state = State::get();
    let kind = match (cell.outcome, cell.agreement) {
        (Some(DetectionOutcome::TruePositive(_)), _) => "hit",
        (Some(DetectionOutcome::FalsePositive), _) => "alarm",
        (Some(DetectionOutcome::Ignored), _) => "ignored",
        (None, Agreement::All) => "all",
        (None, Agreement::Some) => "some",
        (None, Agreement::Only) => "only",
        (None, Agreement::Missed) => "missed",
        (None, Agreement::Unknown | Agreement::Waiting) => "unknown",
    };
    match cell.found {
        Some(Detection { score, bbox, class }) => {
            let panels = untrack(|| state.panels.shown());
            let name = panels.get(panel).and_then(|panel| panel.classes().get(class).cloned());
            view! {
                <td
                    class=format!("score {kind}")
                    data-testid="found"
                    data-panel=panel
                    data-class=name
                    data-score=format!("{score:.4}")
                    data-box=format!("{:.2},{:.2},{:.2},{:.2}", bbox.x1, bbox.y1, bbox.x2, bbox.y2)
                    data-standing=kind
                >
                    <span class="bar" style:--part=score.to_string()></span>
                    {format!("{score:.2}")}
                </td>
            }
            .into_any()
        }
        None => {
            let text = match cell.agreement {
                Agreement::Missed => text!("missed"),
                Agreement::Unknown => text!("no such class"),
                _ => "\u{2026}".into(),
            };
            view! { <td class=format!("score {kind}") data-testid="lacking" data-panel=panel data-standing=kind>{text}</td> }
                .into_any()
        }
    }
}

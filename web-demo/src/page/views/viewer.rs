//! The picture with its boxes.

use leptos::prelude::*;
use leptos::{ev, html};
use shared_model::Detection;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::ResizeObserver;

use super::words;
use crate::page::draw::{self, Scene};
use crate::page::state::{Highlight, Models, Panel, State, WeightsState, WorkerState};

/// The picture on show, the panel's boxes over it, and what the panel is waiting for.
#[component]
pub fn Viewer(panel: Panel, detections: Memo<Vec<Detection>>) -> impl IntoView {
    let state = State::get();
    let aspect =
        move || state.picture.read().as_ref().map_or(1.5, |opened| f64::from(opened.width) / f64::from(opened.height));
    view! {
        <figure
            class="viewer"
            data-testid="viewer"
            data-picture=move || state.picture.read().as_ref().map(|opened| opened.picture.name.clone())
            data-state=move || phase(state, panel).name()
            data-runs=move || state.runs.get()
            style:--aspect=move || aspect().to_string()
        >
            <div class="stage" class:waiting=move || state.picture.read().is_none()>
                {move || state.picture.get().map(|opened| view! {
                    <img
                        src=opened.url
                        alt=move || description(state, panel, detections)
                        width=opened.width
                        height=opened.height
                        data-testid="picture"
                    />
                })}
                <Boxes panel detections/>
                {move || {
                    let text = phase(state, panel).text();
                    text.map(|(text, progress)| view! {
                        <div class="busy">
                            <span>{text}</span>
                            {progress.map(|(done, of)| view! { <progress value=done.to_string() max=of.to_string()/> })}
                        </div>
                    })
                }}
            </div>
            <figcaption>{move || state.picture.get().map(|opened| {
                let size = format!("{} \u{d7} {} pixels", opened.width, opened.height);
                let credit = opened.picture.sample.map(|sample| view! {
                    <span>
                        "Photograph: "{sample.credit}", "
                        <a href=sample.licence_url rel="license noreferrer">{sample.licence}</a>
                    </span>
                });
                view! {
                    <span class="file" data-testid="caption">{opened.picture.name.clone()}</span>
                    <span>{size}</span>
                    {credit}
                }
            })}</figcaption>
        </figure>
    }
}

/// The canvas over the picture.
#[component]
fn Boxes(panel: Panel, detections: Memo<Vec<Detection>>) -> impl IntoView {
    let state = State::get();
    let canvas = NodeRef::<html::Canvas>::new();
    let resized = RwSignal::new(());
    Effect::new(move || {
        let Some(canvas) = canvas.get() else { return };
        let observe = Closure::<dyn Fn()>::new(move || resized.set(()));
        if let Ok(observer) = ResizeObserver::new(observe.as_ref().unchecked_ref()) {
            observer.observe(&canvas);
            let kept = StoredValue::new_local((observer, observe));
            on_cleanup(move || kept.with_value(|(observer, _)| observer.disconnect()));
        }
    });
    Effect::new(move || {
        resized.track();
        let (Some(canvas), Some(opened)) = (canvas.get(), state.picture.get()) else { return };
        let detections = detections.read();
        let scene = Scene {
            highlighted: highlighted_index(&detections, state.highlighted.get()),
            detections: &detections,
            classes: &panel.classes(),
            picture: (opened.width, opened.height),
        };
        if let Err(error) = draw::draw(&canvas, &scene) {
            leptos::logging::error!("drawing: {error:?}");
        }
    });
    let point = move |event: ev::PointerEvent| {
        let (Some(canvas), Some(opened)) = (canvas.get_untracked(), state.picture.get_untracked()) else { return };
        let scale = opened.width as f32 / (canvas.client_width() as f32).max(1.0);
        let detections = detections.read_untracked();
        let hit = draw::hit(&detections, event.offset_x() as f32 * scale, event.offset_y() as f32 * scale);
        let highlight = hit.map(|i| Highlight { class: detections[i].class, bbox: detections[i].bbox });
        if state.highlighted.get_untracked() != highlight {
            state.highlighted.set(highlight);
        }
    };
    view! {
        <canvas
            node_ref=canvas
            aria-hidden="true"
            data-testid="boxes"
            on:pointermove=point
            on:pointerdown=point
            on:pointerleave=move |_| state.highlighted.set(None)
        ></canvas>
    }
}

/// The place of the highlighted object among a panel's boxes, if the panel has found it.
pub fn highlighted_index(detections: &[Detection], highlight: Option<Highlight>) -> Option<usize> {
    let highlight = highlight?;
    detections.iter().position(|detection| detection.class == highlight.class && detection.bbox == highlight.bbox)
}

fn description(state: State, panel: Panel, detections: Memo<Vec<Detection>>) -> String {
    let name = state.picture.read().as_ref().map(|opened| match opened.picture.sample {
        Some(sample) => sample.title.to_string(),
        None => opened.picture.name.clone(),
    });
    let found = detections.with(|all| words::counts(all, &panel.classes()));
    let found = if found.is_empty() { "no objects marked".into() } else { format!("marked: {found}") };
    format!("{}; {found}", name.unwrap_or_default())
}

/// What stands between the visitor and the boxes.
pub enum Phase {
    /// The worker is not up yet.
    Starting,
    /// Bytes of weights: so far, of all.
    Downloading(u64, u64),
    /// A picture is being decoded.
    Opening,
    /// The network runs.
    Running,
    /// The boxes are there.
    Done,
    /// Something went wrong, and the page says so elsewhere.
    Stopped,
}

/// What a panel is waiting for.
pub fn phase(state: State, panel: Panel) -> Phase {
    let weights = panel.weights.get();
    if matches!(&*state.worker.read(), WorkerState::Broken(_))
        || matches!(&*state.models.read(), Models::Failed(_))
        || matches!(weights, WeightsState::Failed(_))
        || (state.suspect.read().is_some() && state.pending.read().is_none())
    {
        return if panel.is_current(state) { Phase::Done } else { Phase::Stopped };
    }
    if panel.is_current(state) && state.pending.read().is_none() {
        return Phase::Done;
    }
    match weights {
        _ if *state.worker.read() == WorkerState::Starting => Phase::Starting,
        WeightsState::Loading(received) => {
            Phase::Downloading(received, panel.entry(state).map_or(received, |entry| entry.bytes))
        }
        _ if state.pending.read().is_some() || state.picture.read().is_none() => Phase::Opening,
        _ => Phase::Running,
    }
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Downloading(..) => "downloading",
            Self::Opening => "opening",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// In words, with progress where there is a measure of it.
    fn text(&self) -> Option<(String, Option<(u64, u64)>)> {
        match *self {
            Self::Starting => Some(("Starting".into(), None)),
            Self::Downloading(received, all) => {
                let text = format!("Downloading weights: {} of {}", words::bytes(received), words::bytes(all));
                Some((text, Some((received, all))))
            }
            Self::Opening => Some(("Opening the picture".into(), None)),
            Self::Running => Some(("Looking for objects".into(), None)),
            Self::Done | Self::Stopped => None,
        }
    }
}

//! The sliders that choose among what the network has found.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::link::{OVERLAPS, SCORES};
use crate::page::state::State;

/// Score and overlap.
#[component]
pub fn Thresholds() -> impl IntoView {
    let state = State::get();
    view! {
        <section class="card thresholds" aria-label=move || text!("Thresholds")>
            <Slider
                label=Signal::derive(|| text!("Score threshold"))
                hint=Signal::derive(|| text!("Boxes the network is less sure of are hidden."))
                testid="score"
                value=state.score
                range=SCORES
            />
            <Slider
                label=Signal::derive(|| text!("NMS threshold (IoU)"))
                hint=Signal::derive(|| text!("Of boxes of one class that overlap more, the best one stays."))
                testid="nms"
                value=state.max_iou
                range=OVERLAPS
            />
        </section>
    }
}

#[component]
fn Slider(
    label: Signal<String>,
    hint: Signal<String>,
    testid: &'static str,
    value: RwSignal<f32>,
    range: std::ops::RangeInclusive<f32>,
) -> impl IntoView {
    let (min, max) = range.into_inner();
    let hint_id = format!("{testid}-hint");
    let change = move |event| {
        if let Ok(chosen) = event_target_value(&event).parse::<f32>() {
            value.set(chosen.clamp(min, max));
        }
    };
    view! {
        <div class="slider">
            <label for=testid>{label}</label>
            <output for=testid data-testid=format!("{testid}-value")>{move || format!("{:.2}", value.get())}</output>
            <input
                id=testid
                type="range"
                min=min.to_string()
                max=max.to_string()
                step="0.01"
                prop:value=move || format!("{:.2}", value.get())
                on:input=change
                aria-describedby=hint_id.clone()
                data-testid=testid
            />
            <p class="hint" id=hint_id>{hint}</p>
        </div>
    }
}

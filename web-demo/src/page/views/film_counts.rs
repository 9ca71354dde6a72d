//! The line of each model's objects along a video file: where they part, there is something to see.

use leptos::prelude::*;
use leptos::wasm_split::wasm_split;
use wasm_bindgen::JsCast;
use web_sys::{Element, MouseEvent};

use super::on_demand::{MakeView, on_demand};
use crate::page::camera::Camera;
use crate::page::language::text;
use crate::page::state::State;

/// The drawing's units; it is as wide as the page.
const SIZE: (f64, f64) = (1000.0, 100.0);

/// The drawing of the video that plays, once it is known how long it is.
#[component]
pub fn FilmCounts() -> impl IntoView {
    let camera = expect_context::<Camera>();
    let has_length = Memo::new(move |_| camera.position.get().is_some_and(|position| position.is_finite()));
    view! {
        <Show when=move || has_length.get()>
            {on_demand(|| Box::pin(film_counts()))}
        </Show>
    }
}

#[wasm_split(film_counts, wasm_split_path = leptos::wasm_split, fallible)]
fn film_counts() -> MakeView {
    Ok(|| view! { <Chart/> }.into_any())
}

/// The drawing with its legend. A click goes to that place.
#[component]
fn Chart() -> impl IntoView {
    let state = State::get();
    let camera = expect_context::<Camera>();
    let length = camera.position.get_untracked().map_or(1.0, |position| position.length);
    let counts = camera.counts;
    let place =
        move |part: f64, objects: usize| (SIZE.0 * part, SIZE.1 * (0.95 - 0.9 * objects as f64 / counts.most() as f64));
    let points = move |model: &str| {
        let points = counts.of(model).into_iter().map(|(part, objects)| {
            let (x, y) = place(part, objects);
            format!("{x:.0},{y:.1}")
        });
        points.collect::<Vec<_>>().join(" ")
    };
    let mean = move |model: &str| {
        let all = counts.of(model);
        let sum: usize = all.iter().map(|(_, objects)| objects).sum();
        if all.is_empty() { "\u{2013}".into() } else { format!("{:.1}", sum as f64 / all.len() as f64) }
    };
    let at = move || (SIZE.0 * camera.position.get().map_or(0.0, |position| position.at) / length).to_string();
    let go = move |event: MouseEvent| {
        let Some(drawing) = event.current_target().and_then(|target| target.dyn_into::<Element>().ok()) else { return };
        let bounds = drawing.get_bounding_client_rect();
        let part = (f64::from(event.client_x()) - bounds.left()) / bounds.width().max(1.0);
        camera.is_paused.set(true);
        camera.seek(length * part.clamp(0.0, 1.0));
    };
    let shown = move || state.panels.shown().into_iter().enumerate();
    view! {
        <figure class="film-counts" data-testid="film-counts">
            <svg viewBox=format!("0 0 {} {}", SIZE.0, SIZE.1) preserveAspectRatio="none" role="img" data-testid="film-drawing"
                aria-label=move || text!("Objects that each model finds along the video") on:click=go>
                {move || shown().map(|(i, panel)| {
                    let name = panel.name();
                    view! { <polyline class=format!("model-{i}") data-testid="film-line" points=move || points(&name)/> }
                }).collect_view()}
                <line class="chosen" x1=at x2=at y1="0" y2=SIZE.1.to_string()/>
            </svg>
            <figcaption>
                {move || shown().map(|(i, panel)| {
                    let name = panel.name();
                    view! {
                        <span class=format!("film-key model-{i}")>{move || text!(
                            "%{model}: %{mean} objects a frame",
                            model = name,
                            mean = mean(&name)
                        )}</span>
                    }
                }).collect_view()}
            </figcaption>
        </figure>
    }
}

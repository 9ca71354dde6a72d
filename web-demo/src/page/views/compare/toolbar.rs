//! What is compared, and how it is shown.

use leptos::prelude::*;

use super::gestures::STEP;
use super::model_choice::AddPanel;
use super::take_away::TakeAway;
use crate::page::language::text;
use crate::page::state::State;

/// Models, layout, window, and what to take away.
#[component]
pub fn Toolbar() -> impl IntoView {
    let state = State::get();
    let count = move || state.panels.count();
    let zoom = move |factor: f64| state.display.zoom.update(|zoom| *zoom = zoom.by(factor, (0.5, 0.5)));
    view! {
        <div class="toolbar folded" role="toolbar" aria-label=move || text!("Comparison")>
            <AddPanel/>
            <Show when=move || { count() > 1 }>
                <Toggle testid="differences" pressed=state.display.differences_only label=Signal::derive(|| text!("Differences only"))/>
            </Show>
            <Show when=move || count() == 2>
                <Toggle testid="overlay-toggle" pressed=state.display.overlaid label=Signal::derive(|| text!("Overlay"))/>
            </Show>
            <span class="group zoom">
                <button type="button" class="plain icon" aria-label=move || text!("Zoom out") title=move || text!("Zoom out")
                    disabled=move || state.display.zoom.get().is_whole() data-testid="zoom-out" on:click=move |_| zoom(1.0 / STEP)
                >"\u{2212}"</button>
                <button type="button" class="plain" title=move || text!("The whole picture")
                    data-testid="zoom-reset" on:click=move |_| state.display.reset_zoom()
                >{move || format!("{:.0} %", 100.0 * state.display.zoom.get().scale)}</button>
                <button type="button" class="plain icon" aria-label=move || text!("Zoom in") title=move || text!("Zoom in")
                    data-testid="zoom-in" on:click=move |_| zoom(STEP)
                >"+"</button>
            </span>
            <TakeAway/>
        </div>
    }
}

#[component]
fn Toggle(testid: &'static str, pressed: RwSignal<bool>, label: Signal<String>) -> impl IntoView {
    view! {
        <button
            type="button"
            class="plain toggle"
            aria-pressed=move || pressed.get().to_string()
            data-testid=testid
            on:click=move |_| pressed.update(|pressed| *pressed = !*pressed)
        >{label}</button>
    }
}

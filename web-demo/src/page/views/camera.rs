//! The camera's buttons, while it is on.

use leptos::prelude::*;

use crate::page::camera;
use crate::page::language::text;
use crate::page::state::State;

/// Pause, the other side, off, and how fast frames follow each other.
#[component]
pub fn Camera() -> impl IntoView {
    let state = State::get();
    let camera = expect_context::<camera::Camera>();
    view! {
        <Show when=move || state.live.get()>
            <div class="camera" role="group" aria-label=move || text!("Camera") data-testid="camera">
                <span class="rate" data-testid="fps">{move || match camera.rate.get() {
                    Some(rate) => text!("%{rate} frames a second", rate = format!("{rate:.1}")),
                    None => text!("Starting"),
                }}</span>
                <button type="button" class="plain" data-testid="camera-pause"
                    aria-pressed=move || camera.is_paused.get().to_string()
                    on:click=move |_| camera.is_paused.update(|is_paused| *is_paused = !*is_paused)
                >{move || if camera.is_paused.get() { text!("Go on") } else { text!("Pause") }}</button>
                <button type="button" class="plain" data-testid="camera-turn" on:click=move |_| camera.turn()>
                    {move || if camera.is_back.get() { text!("Front camera") } else { text!("Back camera") }}
                </button>
                <button type="button" class="plain" data-testid="camera-stop" on:click=move |_| camera.stop()>
                    {move || text!("Camera off")}
                </button>
            </div>
        </Show>
    }
}

//! Stopping the gallery's work, and going on with it.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::State;

/// How many of the gallery's pictures all models on show have looked at, or cannot.
pub fn looked_at(state: State) -> usize {
    let panels = state.panels.shown();
    let is_done = |id: &u32| state.input.is_refused(*id) || panels.iter().all(|panel| panel.has_run(*id));
    state.input.gallery_ids().iter().filter(|id| is_done(id)).count()
}

/// A button while there are pictures of the gallery to look at: what was found so far stays.
#[component]
pub fn PauseButton() -> impl IntoView {
    let state = State::get();
    let is_busy = Memo::new(move |_| looked_at(state) < state.input.gallery_len());
    view! {
        <Show when=move || is_busy.get()>
            <button type="button" class="plain" data-testid="gallery-pause"
                on:click=move |_| state.input.set_paused(!state.input.is_paused())
            >{move || if state.input.is_paused() { text!("Go on") } else { text!("Pause") }}</button>
        </Show>
    }
}

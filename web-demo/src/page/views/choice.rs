//! Which of the published models is on show.

use leptos::prelude::*;

use crate::page::state::{Models, State};

/// The list of models to choose from.
#[component]
pub fn Choice() -> impl IntoView {
    let state = State::get();
    let models = move || match &*state.models.read() {
        Models::Listed(manifest) => manifest.models.clone(),
        _ => Vec::new(),
    };
    let shown = move || state.panels.read().first().map(|panel| panel.model.get()).unwrap_or_default();
    view! {
        <label class="choice">
            <span>"Model"</span>
            <select data-testid="model" on:change=move |event| state.choose(&event_target_value(&event))>
                {move || models().into_iter().map(|entry| {
                    let score = entry.voc2007_ap50.map(|ap| format!(", AP50 {ap:.1} % on VOC2007")).unwrap_or_default();
                    let text = format!("{} ({} classes{score})", entry.name, entry.classes);
                    let selected = entry.name == shown();
                    view! { <option value=entry.name selected=selected>{text}</option> }
                }).collect_view()}
            </select>
        </label>
    }
}

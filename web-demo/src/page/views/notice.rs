//! What went wrong, in a sentence, with the way on.

use leptos::prelude::*;

use crate::page::state::{Models, State, WeightsState, WorkerState};
use crate::page::sync::Sync;

/// A message that stays until it is dismissed or resolved.
#[component]
pub fn NoticeBar() -> impl IntoView {
    let state = State::get();
    let sync = Sync::get();
    view! {
        <div class="notices" role="alert" data-testid="notices">
            {move || state.notice.get().map(|notice| view! {
                <div class="notice" data-testid="notice">
                    <p>{notice.text}</p>
                    {notice.can_retry.then(|| view! {
                        <button type="button" data-testid="retry" on:click=move |_| sync.retry()>"Try again"</button>
                    })}
                    <button type="button" class="plain" data-testid="dismiss" on:click=move |_| state.notice.set(None)>
                        "Dismiss"
                    </button>
                </div>
            })}
            {move || blocking(state).map(|text| view! {
                <div class="notice" data-testid="failure">
                    <p>{text}</p>
                    <button type="button" data-testid="retry" on:click=move |_| {
                        sync.retry();
                        if matches!(&*state.models.read_untracked(), Models::Failed(_)) {
                            state.models.set(Models::Loading);
                            leptos::task::spawn_local(crate::page::sync::list_models(state));
                        }
                    }>"Try again"</button>
                </div>
            })}
        </div>
    }
}

/// Why no network can run, if that is so.
fn blocking(state: State) -> Option<String> {
    if let WorkerState::Broken(text) = &*state.worker.read() {
        return Some(text.clone());
    }
    if let Models::Failed(text) = &*state.models.read() {
        return Some(format!("The list of models is missing. {text}"));
    }
    state.panels.read().iter().find_map(|panel| match &*panel.weights.read() {
        WeightsState::Failed(text) => Some(text.clone()),
        _ => None,
    })
}

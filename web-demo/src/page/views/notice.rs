//! What went wrong, in a sentence, with the way on.

use leptos::prelude::*;

use crate::page::address;
use crate::page::language::text;
use crate::page::link::Link;
use crate::page::panel::WeightsState;
use crate::page::state::{Models, State, WorkerState};
use crate::page::sync::{self, Sync};
use shared_model::Manifest;

/// A message that stays until it is dismissed or resolved.
#[component]
pub fn NoticeBar() -> impl IntoView {
    let state = State::get();
    let worker = Sync::get();
    view! {
        <div class="notices" role="alert" data-testid="notices">
            {move || state.notice.get().map(|notice| view! {
                <div class="notice" data-testid="notice">
                    <p>{notice.text}</p>
                    {notice.can_retry.then(|| view! {
                        <button type="button" data-testid="retry" on:click=move |_| worker.retry()>{move || text!("Try again")}</button>
                    })}
                    <button type="button" class="plain" data-testid="dismiss" on:click=move |_| state.notice.set(None)>
                        {move || text!("Dismiss")}
                    </button>
                </div>
            })}
            {move || blocking(state).map(|text| view! {
                <div class="notice" data-testid="failure">
                    <p>{text}</p>
                    <button type="button" data-testid="retry" on:click=move |_| {
                        worker.retry();
                        if matches!(&*state.models.read_untracked(), Models::Failed(_)) {
                            state.models.set(Models::Loading);
                            retry_list(state);
                        }
                    }>{move || text!("Try again")}</button>
                </div>
            })}
        </div>
    }
}

fn retry_list(state: State) {
    let choose = |manifest: &Manifest| address::models(&Link::default(), manifest);
    leptos::task::spawn_local(sync::list_models(state, choose));
}

/// Why no network can run, if that is so.
fn blocking(state: State) -> Option<String> {
    if let WorkerState::Broken(text) = &*state.worker.read() {
        return Some(text.clone());
    }
    if let Models::Failed(text) = &*state.models.read() {
        return Some(text!("The list of models is missing. %{why}", why = text));
    }
    state.panels.read().iter().find_map(|panel| match &*panel.weights.read() {
        WeightsState::Failed(text) => Some(text.clone()),
        _ => None,
    })
}

//! What went wrong, in a sentence, with the way on.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::page::driver::WorkerDriver;
use crate::page::elsewhere;
use crate::page::language::text;
use crate::page::link::Link;
use crate::page::model_list;
use crate::page::state::{ModelList, State};

/// A message that stays until it is dismissed or resolved.
#[component]
pub fn NoticeBar() -> impl IntoView {
    let state = State::get();
    let driver = WorkerDriver::get();
    view! {
        <div class="notices" role="alert" data-testid="notices">
            {move || state.notices.current().map(|notice| view! {
                <div class="notice" data-testid="notice">
                    <p>{notice.text}</p>
                    {notice.can_retry.then(|| view! {
                        <button type="button" data-testid="retry" on:click=move |_| driver.retry()>{move || text!("Try again")}</button>
                    })}
                    <button type="button" class="plain" data-testid="dismiss" on:click=move |_| state.notices.dismiss()>
                        {move || text!("Dismiss")}
                    </button>
                </div>
            })}
            {move || state.models.offered().map(|url| view! {
                <div class="notice" data-testid="offer">
                    <p>{text!(
                        "This link names weights on %{host} (%{url}). To load them, your browser asks that server, which so learns \
                         your address on the network, and nothing of your pictures.",
                        host = elsewhere::host(&url).unwrap_or_default(),
                        url = url
                    )}</p>
                    <button type="button" data-testid="offer-accept" on:click=move |_| model_list::accept(state)>
                        {text!("Load the weights")}
                    </button>
                    <button type="button" class="plain" data-testid="offer-decline" on:click=move |_| state.models.offer(None)>
                        {text!("Do not load them")}
                    </button>
                </div>
            })}
            {move || blocking(state).map(|text| view! {
                <div class="notice" data-testid="failure">
                    <p>{text}</p>
                    <button type="button" data-testid="retry" on:click=move |_| {
                        driver.retry();
                        if untrack(|| state.models.failure()).is_some() {
                            state.models.set(ModelList::Loading);
                            spawn_local(model_list::fetch(state, Link::default()));
                        }
                    }>{move || text!("Try again")}</button>
                </div>
            })}
        </div>
    }
}

/// Why no network can run, if that is so.
fn blocking(state: State) -> Option<String> {
    if let Some(why) = state.worker.failure() {
        return Some(why);
    }
    if let Some(why) = state.models.failure() {
        return Some(text!("The list of models is missing. %{why}", why = why));
    }
    state.panels.shown().into_iter().find_map(|panel| panel.failure())
}

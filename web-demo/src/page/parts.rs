//! Parts of the page that the browser fetches when they are asked for: code, which begins with functions that have
//! `#[wasm_split(PART, ...)]`, and the texts of another language.
//!
//! What only such functions need is in files of their own (`xtask/src/split.rs`), so that a first visit is not kept waiting for it. The service
//! worker keeps them with the rest of the site.

use std::pin::pin;

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::untrack;

use super::language::text;
use super::state::State;

/// Milliseconds after which the visitor hears that a part is still on its way.
const PATIENCE_MS: u32 = 300;

/// Waits for what a part of the page does, and tells the visitor if that takes its time, or what to do if the part does not come.
pub async fn fetched<T, E>(state: State, part: impl Future<Output = Result<T, E>>) -> Option<T> {
    let done = match select(pin!(part), TimeoutFuture::new(PATIENCE_MS)).await {
        Either::Left((done, _)) => done,
        Either::Right((_, part)) => {
            state.notices.tell(on_its_way());
            let done = part.await;
            if untrack(|| state.notices.current()).is_some_and(|notice| notice.text == on_its_way()) {
                state.notices.dismiss();
            }
            done
        }
    };
    if done.is_err() {
        state.notices.tell(missing());
    }
    done.ok()
}

/// What the visitor sees until a part has come.
pub fn on_its_way() -> String {
    text!("This part of the page is on its way.")
}

/// What to do where a part does not come.
pub fn missing() -> String {
    text!(
        "This part of the page cannot be fetched. Is the connection up? If it is, there may be a newer version of the page: reload it to see."
    )
}

//! Views whose code the browser fetches when they are first on show.

use std::pin::Pin;

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::SplitLoaderError;

use crate::page::language::text;
use crate::page::parts::{missing, on_its_way};

/// What makes a view, once its code is there.
pub type MakeView = Result<fn() -> AnyView, SplitLoaderError>;

/// The view that `fetch` brings what makes it of; until then, that it is on its way, or what to do if it does not come.
pub fn on_demand(fetch: fn() -> Pin<Box<dyn Future<Output = MakeView>>>) -> impl IntoView {
    let arrived = RwSignal::new(None);
    let start = move || {
        arrived.set(None);
        spawn_local(async move {
            let made = fetch().await.ok();
            // By then another view may be on show.
            let _ = arrived.try_set(Some(made));
        });
    };
    start();
    move || match arrived.get() {
        None => view! { <p class="hint" role="status" data-testid="part-loading">{on_its_way()}</p> }.into_any(),
        Some(Some(make)) => make(),
        Some(None) => view! {
            <div class="notice" role="alert" data-testid="part-missing">
                <p>{missing()}</p>
                <button type="button" data-testid="part-retry" on:click=move |_| start()>{text!("Try again")}</button>
            </div>
        }
        .into_any(),
    }
}

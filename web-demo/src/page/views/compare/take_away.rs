//! What the visitor can take away: figures, a picture, a link.

use futures_util::future::LocalBoxFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::page::export::{self, Snapshot};
use crate::page::language::text;
use crate::page::parts::fetched;
use crate::page::state::State;

/// Buttons that hand out files, and one for the link.
#[component]
pub fn TakeAway() -> impl IntoView {
    let state = State::get();
    let copied = RwSignal::new(false);
    let save = move |ending: &'static str| {
        spawn_local(async move {
            if let Some(saving) = fetched(state, saving(state, ending)).await {
                saving.await;
            }
        });
    };
    let copy = move |_| {
        spawn_local(async move {
            if copy_address().await.is_ok() {
                copied.set(true);
                set_timeout(move || copied.set(false), std::time::Duration::from_secs(2));
            } else {
                state.notices.tell(text!("The browser does not allow copying. The link is the page's address."));
            }
        });
    };
    let formats = [("json", "JSON"), ("csv", "CSV"), ("png", "PNG")];
    view! {
        <span class="group take-away">
            {formats.map(|(ending, name)| view! {
                <button
                    type="button"
                    class="plain"
                    title=move || text!("Save the comparison as %{format}", format = name)
                    data-testid=format!("save-{ending}")
                    on:click=move |_| save(ending)
                >{name}</button>
            })}
            <button type="button" class="plain" data-testid="copy-link" on:click=copy>
                {move || if copied.get() { text!("Copied") } else { text!("Copy link") }}
            </button>
        </span>
    }
}

/// Makes a file of the comparison, and hands it out.
#[wasm_split(export, wasm_split_path = leptos::wasm_split, fallible)]
fn saving(state: State, ending: &'static str) -> Result<LocalBoxFuture<'static, ()>, SplitLoaderError> {
    Ok(Box::pin(async move {
        let Some(content) = Snapshot::of(state) else { return };
        let name =
            format!("{}-comparison.{ending}", content.picture.rsplit_once('.').map_or("picture", |(stem, _)| stem));
        let blob = match ending {
            "json" => export::text_blob(&export::json(&content), "application/json"),
            "csv" => export::text_blob(&export::csv(&content), "text/csv"),
            _ => export::png(state, &content).await,
        };
        if blob.and_then(|blob| export::download(&name, &blob)).is_err() {
            state.notices.tell(text!("The browser could not make the file."));
        }
    }))
}

async fn copy_address() -> Result<(), JsValue> {
    let address = window().location().href()?;
    // Pages that come by plain http have no clipboard.
    let clipboard = js_sys::Reflect::get(&window().navigator(), &"clipboard".into())?;
    if clipboard.is_undefined() {
        return Err(clipboard);
    }
    JsFuture::from(window().navigator().clipboard().write_text(&address)).await.map(drop)
}

//! Weights of the visitor's own, kept in this browser until the visitor removes them.
//!
//! They are in a cache of the Cache API, which all browsers have and the worker can read by itself; what is known about a model
//! stands in a header of its entry.

use leptos::prelude::{document, window};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use shared_model::ManifestEntry;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Cache, Headers, Request, Response, ResponseInit, Url};

use super::language::text;
use crate::protocol::OWN_WEIGHTS_CACHE;

/// Has a [`KeptModel`] as JSON, percent-encoded, as headers take no other letters.
const HEADER: &str = "x-yolox-nano-model";

/// What is known about a model of the visitor's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptModel {
    /// As it is listed.
    pub entry: ManifestEntry,
    /// Where it was fetched from, if not from the visitor's disk.
    pub origin: Option<String>,
}

/// Under which URL a model's weights are in the cache; no server has a file there.
pub fn url(model: &str) -> String {
    let base = document().base_uri().ok().flatten().unwrap_or_default();
    let name = format!("own-weights/{}", utf8_percent_encode(model, NON_ALPHANUMERIC));
    Url::new_with_base(&name, &base).map(|url| url.href()).unwrap_or(name)
}

/// Keeps a model's weights.
///
/// # Errors
/// Says in a sentence why the browser does not.
pub async fn keep(model: &KeptModel, weights: &Blob) -> Result<(), String> {
    put(model, weights).await.map_err(|error| refusal(&error))?;
    // A wish: otherwise browsers may drop what is kept when the disk runs full.
    if let Ok(asked) = window().navigator().storage().persist() {
        let _ = JsFuture::from(asked).await;
    }
    Ok(())
}

async fn put(model: &KeptModel, weights: &Blob) -> Result<(), JsValue> {
    let json = serde_json::to_string(model).map_err(|error| error.to_string())?;
    let headers = Headers::new()?;
    headers.set(HEADER, &utf8_percent_encode(&json, NON_ALPHANUMERIC).to_string())?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let response = Response::new_with_opt_blob_and_init(Some(weights), &init)?;
    JsFuture::from(open().await?.put_with_str(&url(&model.entry.name), &response)).await?;
    Ok(())
}

/// All models that are kept; none where the browser keeps nothing.
pub async fn all() -> Vec<KeptModel> {
    read().await.unwrap_or_default()
}

async fn read() -> Result<Vec<KeptModel>, JsValue> {
    let cache = open().await?;
    let keys: js_sys::Array = JsFuture::from(cache.keys()).await?.unchecked_into();
    // Other pages of the same origin may keep weights of their own.
    let ours = url("");
    let mut models = Vec::new();
    for key in keys.iter() {
        let key: Request = key.unchecked_into();
        if !key.url().starts_with(&ours) {
            continue;
        }
        let response: Response = JsFuture::from(cache.match_with_request(&key)).await?.dyn_into()?;
        let header = response.headers().get(HEADER)?.unwrap_or_default();
        let json = percent_decode_str(&header).decode_utf8_lossy();
        // Of another version of the page, for one.
        models.extend(serde_json::from_str::<KeptModel>(&json).ok());
    }
    Ok(models)
}

/// Removes a model's weights from this browser.
pub async fn remove(model: &str) {
    // What cannot be opened keeps nothing.
    if let Ok(cache) = open().await {
        let _ = JsFuture::from(cache.delete_with_str(&url(model))).await;
    }
}

async fn open() -> Result<Cache, JsValue> {
    Ok(JsFuture::from(window().caches()?.open(OWN_WEIGHTS_CACHE)).await?.unchecked_into())
}

/// Why a browser does not keep weights.
fn refusal(error: &JsValue) -> String {
    let name = js_sys::Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default();
    match name.as_str() {
        "QuotaExceededError" => {
            text!("The browser has no room left to keep these weights: they stay until the page is closed.")
        }
        _ => text!("The browser does not let the page keep files: these weights stay until the page is closed."),
    }
}

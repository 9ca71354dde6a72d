//! What a worker has around it: the clock, the way back to the page.

use js_sys::{Error, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

use crate::protocol::{self, Reply};

/// The worker's global object.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Tells the page.
pub fn post(reply: &Reply) {
    // Fails only for what cannot be cloned, which no reply holds.
    let _ = scope().post_message(&protocol::encode(reply));
}

/// Milliseconds on the browser's clock.
pub fn now() -> f64 {
    scope().performance().map_or_else(js_sys::Date::now, |performance| performance.now())
}

/// Bytes of WebAssembly memory.
pub fn memory() -> u64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let bytes = Reflect::get(&memory.buffer(), &"byteLength".into()).ok().and_then(|length| length.as_f64());
    bytes.unwrap_or_default() as u64
}

/// A thrown value in words.
pub fn describe(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<Error>() {
        Some(error) => String::from(error.message()),
        // DOMException is no Error for wasm-bindgen, but has a message as well.
        None => Reflect::get(thrown, &"message".into())
            .ok()
            .and_then(|message| message.as_string())
            .unwrap_or_else(|| format!("{thrown:?}")),
    }
}

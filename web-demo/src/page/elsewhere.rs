//! Weights from other servers, where a link names some and the visitor has agreed.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlIFrameElement, Response, Url};

use super::language::text;
use super::site::Assets;

/// The server in the URL of a weight file, if it is one that the page may ask: by https, or on this machine.
pub fn host(url: &str) -> Option<String> {
    let url = Url::new(url).ok()?;
    let is_here = ["localhost", "127.0.0.1"].contains(&url.hostname().as_str());
    (url.protocol() == "https:" || url.protocol() == "http:" && is_here).then(|| url.host())
}

/// The file's name: the last part of its URL's path.
pub fn file_name(url: &str) -> String {
    let path = Url::new(url).map(|url| url.pathname()).unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// Fetches a file from another server.
///
/// # Errors
/// Says in a sentence why it cannot be had.
pub async fn fetch(assets: Assets, url: &str) -> Result<Blob, String> {
    let host = host(url).unwrap_or_default();
    let denied = |_: JsValue| {
        text!(
            "%{host} cannot be reached, or does not let other sites read the file: for that it would have to send the header \
             Access-Control-Allow-Origin. Download the file and drop it here instead.",
            host = host
        )
    };
    let frame = open_frame(&assets.url("fetch-weights.html")).await.map_err(denied)?;
    let blob = async {
        let window = frame.content_window().ok_or(JsValue::NULL).map_err(denied)?;
        let response: Response = JsFuture::from(window.fetch_with_str(url)).await.map_err(denied)?.unchecked_into();
        if !response.ok() {
            return Err(text!("The server answered %{status} to %{url}.", status = response.status(), url = url));
        }
        let broken_off = |_: JsValue| text!("The download broke off.");
        let blob = JsFuture::from(response.blob().map_err(broken_off)?).await.map_err(broken_off)?;
        Ok(blob.unchecked_into())
    };
    let blob = blob.await;
    frame.remove();
    blob
}

/// A frame whose security policy lets it talk to other servers. The page's own does not, so that pictures cannot leave it.
async fn open_frame(url: &str) -> Result<HtmlIFrameElement, JsValue> {
    let frame: HtmlIFrameElement = document().create_element("iframe")?.unchecked_into();
    frame.set_hidden(true);
    frame.set_src(url);
    let loaded = js_sys::Promise::new(&mut |resolve, reject| {
        frame.set_onload(Some(&resolve));
        frame.set_onerror(Some(&reject));
    });
    document().body().ok_or("there is no body")?.append_child(&frame)?;
    JsFuture::from(loaded).await?;
    Ok(frame)
}

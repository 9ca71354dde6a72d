//! The site's files: their published URLs, which carry a hash of the content, and how to fetch them.

use std::collections::BTreeMap;

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Response};

use super::language::text;

/// Absolute URLs by logical name. A handle, cheap to copy.
#[derive(Clone, Copy)]
pub struct Assets(StoredValue<BTreeMap<String, String>>);

impl Assets {
    /// The map that the build wrote into index.html.
    pub fn of_page() -> Self {
        let map = document().get_element_by_id("assets").and_then(|element| element.text_content());
        let relative: BTreeMap<String, String> =
            map.and_then(|json| serde_json::from_str(&json).ok()).expect("the build put a map of assets into the page");
        // Absolute: a worker's relative URLs start from its own script.
        let base = document().base_uri().ok().flatten().unwrap_or_default();
        let absolute =
            |url: &str| web_sys::Url::new_with_base(url, &base).map_or_else(|_| url.into(), |url| url.href());
        Self(StoredValue::new(relative.into_iter().map(|(name, url)| (name, absolute(&url))).collect()))
    }

    /// The absolute URL of a file that the site may not have.
    pub fn find(self, name: &str) -> Option<String> {
        self.0.with_value(|urls| urls.get(name).cloned())
    }

    /// The absolute URL of a file that belongs to the page itself.
    pub fn url(self, name: &str) -> String {
        self.find(name).unwrap_or_else(|| panic!("the site has no {name}"))
    }
}

async fn fetch(url: &str) -> Result<Response, String> {
    let unreachable = |_| text!("The server cannot be reached. Is the connection up?");
    let response: Response = JsFuture::from(window().fetch_with_str(url)).await.map_err(unreachable)?.unchecked_into();
    if response.ok() {
        Ok(response)
    } else {
        Err(text!("The server answered %{status} to %{url}.", status = response.status(), url = url))
    }
}

/// A binary file of the site.
///
/// # Errors
/// Fails, in a sentence for the visitor, where the server or the connection does.
pub async fn fetch_blob(url: &str) -> Result<Blob, String> {
    let blob = fetch(url).await?.blob().map_err(broken_off)?;
    Ok(JsFuture::from(blob).await.map_err(broken_off)?.unchecked_into())
}

/// A text file of the site.
///
/// # Errors
/// As for [`fetch_blob`].
pub async fn fetch_text(url: &str) -> Result<String, String> {
    let text = fetch(url).await?.text().map_err(broken_off)?;
    Ok(JsFuture::from(text).await.map_err(broken_off)?.as_string().unwrap_or_default())
}

fn broken_off(_: JsValue) -> String {
    text!("The download broke off.")
}

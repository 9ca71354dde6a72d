//! The site's files by name: their published names carry a hash of the content.

use std::collections::BTreeMap;

use leptos::prelude::document;

/// Published URLs by logical name.
#[derive(Clone, Default)]
pub struct Assets {
    urls: BTreeMap<String, String>,
}

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
        Self { urls: relative.into_iter().map(|(name, url)| (name, absolute(&url))).collect() }
    }

    /// The absolute URL of a file that the site may not have.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.urls.get(name).map(String::as_str)
    }

    /// The absolute URL of a file that belongs to the page itself.
    pub fn url(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("the site has no {name}"))
    }
}

//! Pictures on the page: files, before and after decoding.

use web_sys::{Blob, Url};

use super::samples::Sample;

/// A picture file.
#[derive(Clone)]
pub struct Picture {
    /// Number, larger than all before.
    pub id: u32,
    /// The file's name.
    pub name: String,
    /// The file.
    pub blob: Blob,
    /// Where it comes from, if the page brought it along.
    pub sample: Option<&'static Sample>,
    /// An URL of it within this tab, until [`Picture::release`].
    pub url: String,
}

impl Picture {
    /// A picture file with an URL of its own; empty if the browser gives none.
    pub fn new(id: u32, name: String, blob: Blob, sample: Option<&'static Sample>) -> Self {
        let url = Url::create_object_url_with_blob(&blob).unwrap_or_default();
        Self { id, name, blob, sample, url }
    }

    /// Gives the URL back, which keeps the file in memory.
    pub fn release(&self) {
        let _ = Url::revoke_object_url(&self.url);
    }
}

/// A picture that was decoded.
#[derive(Clone)]
pub struct Opened {
    /// The file.
    pub picture: Picture,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
}

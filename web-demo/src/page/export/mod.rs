//! What the visitor takes away: the comparison as JSON, CSV or PNG, the evaluation as JSON, CSV, PNG or a page.

mod csv;
mod evaluation;
mod evaluation_png;
mod html;
mod json;
mod png;

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::compare::Comparison;
use super::panel::{Panel, median};
use super::state::State;

pub use csv::csv;
pub use evaluation::{evaluation_csv, evaluation_json};
pub use evaluation_png::evaluation_png;
pub use html::evaluation_html;
pub use json::json;
pub use png::png;

/// What all formats are made of.
pub struct Snapshot {
    /// The picture's file name.
    pub picture: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The least score of boxes.
    pub score: f32,
    /// The greatest overlap of boxes of a class.
    pub max_iou: f32,
    /// The models, in the order of the panels.
    pub models: Vec<ExportedModel>,
    pub comparison: std::sync::Arc<Comparison>,
}

/// A model of the comparison.
pub struct ExportedModel {
    pub name: String,
    /// Its variant, where that is known.
    pub variant: Option<String>,
    /// SHA-256 of its published weights.
    pub sha256: Option<String>,
    /// Side in pixels of the square that it fits pictures into, where that is known.
    pub input_size: Option<usize>,
    /// GFLOPs of a picture at that size.
    pub gflops: Option<f64>,
    /// Milliseconds of the network: the median of its runs.
    pub network_ms: Option<f64>,
    pub runs: usize,
}

impl Snapshot {
    /// What is on show; nothing without a picture.
    pub fn of(state: State) -> Option<Self> {
        untrack(|| {
            let opened = state.input.shown()?;
            let model = |panel: &Panel| {
                let entry = state.models.entry(&panel.name());
                let times = state.network_times(*panel);
                ExportedModel {
                    name: panel.name(),
                    variant: entry.as_ref().map(|entry| entry.variant.clone()),
                    input_size: entry.as_ref().map(|entry| entry.input_size),
                    gflops: entry.as_ref().map(|entry| entry.gflops),
                    sha256: entry.map(|entry| entry.sha256).filter(|sha256| !sha256.is_empty()),
                    runs: times.len(),
                    network_ms: median(times),
                }
            };
            Some(Self {
                picture: opened.picture.name.clone(),
                size: (opened.width, opened.height),
                score: state.display.score.get(),
                max_iou: state.display.max_iou.get(),
                models: state.panels.shown().iter().map(model).collect(),
                comparison: state.display.comparison.get(),
            })
        })
    }
}

/// Hands the visitor a file.
///
/// # Errors
/// Passes on the browser's.
pub fn download(name: &str, blob: &Blob) -> Result<(), JsValue> {
    let url = Url::create_object_url_with_blob(blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // Once the browser has begun to read it.
    set_timeout(move || drop(Url::revoke_object_url(&url)), std::time::Duration::from_secs(60));
    Ok(())
}

/// A text as a file's content.
///
/// # Errors
/// Passes on the browser's.
pub fn text_blob(text: &str, kind: &str) -> Result<Blob, JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&text.into()), &options)
}

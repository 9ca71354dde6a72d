//! From a canvas to a picture file.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlCanvasElement, ImageEncodeOptions, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

/// A canvas as a picture file.
///
/// # Errors
/// Passes on the browser's.
pub async fn encode(canvas: &HtmlCanvasElement, kind: &str, quality: f64) -> Result<Blob, JsValue> {
    // `toBlob` has a callback where this has a promise.
    let copy = OffscreenCanvas::new(canvas.width(), canvas.height())?;
    let context = copy.get_context("2d")?.ok_or("no canvas")?;
    let context: OffscreenCanvasRenderingContext2d = context.unchecked_into();
    context.draw_image_with_html_canvas_element(canvas, 0.0, 0.0)?;
    let options = ImageEncodeOptions::new();
    options.set_type(kind);
    options.set_quality(quality);
    Ok(JsFuture::from(copy.convert_to_blob_with_options(&options)?).await?.unchecked_into())
}

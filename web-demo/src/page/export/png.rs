//! The comparison as a picture: the panels side by side, each with its boxes and its figures.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement};

use super::Snapshot;
use crate::page::draw::{self, Scene};
use crate::page::marks::marks;
use crate::page::picture::encode;
use crate::page::state::State;
use crate::page::words;
use crate::protocol::PictureSource;

/// Width in pixels of one panel.
const WIDTH: f64 = 900.0;
/// Space between panels, and around them.
const GAP: f64 = 16.0;
/// Height of the line under a panel.
const LINE: f64 = 34.0;

/// Draws the comparison.
///
/// # Errors
/// Passes on the browser's.
pub async fn png(state: State, content: &Snapshot) -> Result<Blob, JsValue> {
    let opened = untrack(|| state.input.shown()).ok_or("there is no picture")?;
    let bitmap = match opened.picture.source() {
        PictureSource::File(blob) => {
            JsFuture::from(window().create_image_bitmap_with_blob(&blob)?).await?.unchecked_into()
        }
        PictureSource::Frame(bitmap) => bitmap,
    };

    let (zoom, differences_only) = (state.display.zoom.get_untracked(), state.display.differences_only.get_untracked());
    let height = WIDTH * f64::from(opened.height) / f64::from(opened.width);
    let count = content.models.len().max(1);
    let columns = if count == 4 { 2 } else { count };
    let rows = count.div_ceil(columns);
    let whole = (columns as f64 * (WIDTH + GAP) + GAP, rows as f64 * (height + LINE + GAP) + GAP);
    let canvas: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    canvas.set_width(whole.0 as u32);
    canvas.set_height(whole.1 as u32);
    let context: CanvasRenderingContext2d = canvas.get_context("2d")?.ok_or("no canvas")?.unchecked_into();
    context.set_fill_style_str("#ffffff");
    context.fill_rect(0.0, 0.0, whole.0, whole.1);
    for (i, model) in content.models.iter().enumerate() {
        let x = GAP + (i % columns) as f64 * (WIDTH + GAP);
        let y = GAP + (i / columns) as f64 * (height + LINE + GAP);
        context.save();
        context.translate(x, y)?;
        context.begin_path();
        context.rect(0.0, 0.0, WIDTH, height);
        context.clip();
        let (sw, sh) = (f64::from(opened.width) / zoom.scale, f64::from(opened.height) / zoom.scale);
        let (sx, sy) = (zoom.x * f64::from(opened.width), zoom.y * f64::from(opened.height));
        context.draw_image_with_image_bitmap_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
            &bitmap, sx, sy, sw, sh, 0.0, 0.0, WIDTH, height,
        )?;
        let marks = marks(&content.comparison, i, differences_only);
        let scene = Scene { marks: &marks, highlighted: None, picture: (opened.width, opened.height), zoom };
        draw::paint(&context, (WIDTH, height), &scene)?;
        context.restore();
        let seen = content.comparison.predictions[i].as_ref();
        let found = seen.map(|seen| words::objects(seen.detections.len())).unwrap_or_default();
        context.set_fill_style_str("#1a1f29");
        context.set_font("600 18px system-ui, sans-serif");
        context.set_text_baseline("middle");
        let line = format!("{}  \u{b7}  {found}  \u{b7}  {}", model.name, words::milliseconds(model.network_ms));
        context.fill_text(&line, x, y + height + LINE / 2.0)?;
    }
    encode(&canvas, "image/png", 1.0).await
}

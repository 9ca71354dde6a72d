//! Boxes on a canvas over the picture.

use shared_model::{BBox, Detection};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::colour::Colour;

/// Height of a label in CSS pixels.
const LABEL: f64 = 20.0;
/// Space left and right of a label's text.
const PADDING: f64 = 5.0;
const FONT: &str = "600 12.5px system-ui, sans-serif";

/// What is to be seen.
pub struct Scene<'a> {
    /// Boxes in order of falling score.
    pub detections: &'a [Detection],
    /// Names of the classes.
    pub classes: &'a [String],
    /// The box that stands out, by its place in `detections`.
    pub highlighted: Option<usize>,
    /// Width and height of the picture in its own pixels.
    pub picture: (u32, u32),
}

/// Draws the scene over the whole canvas, sharp on any screen.
pub fn draw(canvas: &HtmlCanvasElement, scene: &Scene) -> Result<(), JsValue> {
    let density = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    let (width, height) = (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
    canvas.set_width((width * density).round() as u32);
    canvas.set_height((height * density).round() as u32);
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    context.scale(density, density)?;
    context.set_font(FONT);
    context.set_text_baseline("middle");
    let scale = (width / f64::from(scene.picture.0), height / f64::from(scene.picture.1));

    // The best ones last, on top; the one that stands out over all.
    let order = (0..scene.detections.len()).rev().filter(|&i| Some(i) != scene.highlighted).chain(scene.highlighted);
    for i in order {
        let Some(detection) = scene.detections.get(i) else { continue };
        let emphasis = match scene.highlighted {
            None => Emphasis::Normal,
            Some(highlighted) if highlighted == i => Emphasis::Strong,
            Some(_) => Emphasis::Faint,
        };
        context.set_global_alpha(if emphasis == Emphasis::Faint { 0.3 } else { 1.0 });
        frame(&context, on_screen(detection.bbox, scale), detection.class, emphasis);
        let name = scene.classes.get(detection.class).map_or("?", String::as_str);
        let text = format!("{name} {:.2}", detection.score);
        label(&context, on_screen(detection.bbox, scale), detection.class, &text, width)?;
    }
    Ok(())
}

/// The smallest box at a point of the picture: boxes inside others can be reached.
pub fn hit(detections: &[Detection], x: f32, y: f32) -> Option<usize> {
    let holds = |b: &BBox| (b.x1..=b.x2).contains(&x) && (b.y1..=b.y2).contains(&y);
    let under = detections.iter().enumerate().filter(|(_, detection)| holds(&detection.bbox));
    under.min_by(|a, b| a.1.bbox.area().total_cmp(&b.1.bbox.area())).map(|(i, _)| i)
}

#[derive(Clone, Copy, PartialEq)]
enum Emphasis {
    Faint,
    Normal,
    Strong,
}

/// Left, top, width and height in CSS pixels.
type Rect = (f64, f64, f64, f64);

fn on_screen(bbox: BBox, (sx, sy): (f64, f64)) -> Rect {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
    (x1 * sx, y1 * sy, (x2 - x1) * sx, (y2 - y1) * sy)
}

fn frame(context: &CanvasRenderingContext2d, (x, y, width, height): Rect, class: usize, emphasis: Emphasis) {
    let line = if emphasis == Emphasis::Strong { 3.5 } else { 2.0 };
    // A dark rim keeps the line visible on pictures of its own colour.
    context.set_line_width(line + 2.0);
    context.set_stroke_style_str("rgb(0 0 0 / 55%)");
    context.stroke_rect(x, y, width, height);
    context.set_line_width(line);
    context.set_stroke_style_str(&Colour::of_class(class).css());
    context.stroke_rect(x, y, width, height);
}

/// Above the box, or inside it where the picture ends; never beyond the picture's right edge.
fn label(
    context: &CanvasRenderingContext2d,
    (x, y, ..): Rect,
    class: usize,
    text: &str,
    canvas_width: f64,
) -> Result<(), JsValue> {
    let width = context.measure_text(text)?.width() + 2.0 * PADDING;
    let left = (x - 1.0).min(canvas_width - width).max(0.0);
    let top = if y >= LABEL { y - LABEL } else { y.max(0.0) };
    let colour = Colour::of_class(class);
    context.set_fill_style_str(&colour.css());
    context.fill_rect(left, top, width, LABEL);
    context.set_fill_style_str(colour.text());
    context.fill_text(text, left + PADDING, top + LABEL / 2.0 + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_box_under_the_pointer_is_hit() {
        let detection = |x1, x2| Detection { class: 0, score: 0.5, bbox: BBox { x1, y1: 0.0, x2, y2: 10.0 } };
        let detections = [detection(0.0, 100.0), detection(40.0, 60.0)];
        assert_eq!(hit(&detections, 50.0, 5.0), Some(1));
        assert_eq!(hit(&detections, 10.0, 5.0), Some(0));
        assert_eq!(hit(&detections, 10.0, 11.0), None);
    }
}

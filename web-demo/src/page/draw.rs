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
    let size = (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
    canvas.set_width((size.0 * density).round() as u32);
    canvas.set_height((size.1 * density).round() as u32);
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    context.scale(density, density)?;
    context.set_font(FONT);
    context.set_text_baseline("middle");
    let scale = (size.0 / f64::from(scene.picture.0), size.1 / f64::from(scene.picture.1));

    // The most important first: the best places for labels are theirs.
    let others = (0..scene.detections.len()).filter(|&i| Some(i) != scene.highlighted);
    let mut taken = Vec::new();
    let mut marks = Vec::new();
    for i in scene.highlighted.into_iter().chain(others) {
        let Detection { class, score, bbox } = scene.detections[i];
        let name = scene.classes.get(class).map_or("?", String::as_str);
        let text = format!("{name} {score:.2}");
        let width = context.measure_text(&text)?.width() + 2.0 * PADDING;
        let frame = on_screen(bbox, scale);
        let label = place(frame, width, size, &taken);
        taken.push(label);
        marks.push((i, frame, label, text));
    }
    // And last, on top of the others.
    for (i, frame, label, text) in marks.into_iter().rev() {
        let is_strong = Some(i) == scene.highlighted;
        let is_faint = scene.highlighted.is_some() && !is_strong;
        context.set_global_alpha(if is_faint { 0.35 } else { 1.0 });
        let colour = Colour::of_class(scene.detections[i].class);
        outline(&context, frame, size, colour, if is_strong { 3.5 } else { 2.0 });
        if is_faint {
            continue;
        }
        context.set_fill_style_str(&colour.css());
        context.fill_rect(label.0, label.1, label.2, label.3);
        context.set_fill_style_str(colour.text());
        context.fill_text(&text, label.0 + PADDING, label.1 + LABEL / 2.0 + 0.5)?;
    }
    Ok(())
}

/// The smallest box at a point of the picture: boxes inside others can be reached.
pub fn hit(detections: &[Detection], x: f32, y: f32) -> Option<usize> {
    let holds = |b: &BBox| (b.x1..=b.x2).contains(&x) && (b.y1..=b.y2).contains(&y);
    let under = detections.iter().enumerate().filter(|(_, detection)| holds(&detection.bbox));
    under.min_by(|a, b| a.1.bbox.area().total_cmp(&b.1.bbox.area())).map(|(i, _)| i)
}

/// Left, top, width and height in CSS pixels.
type Rect = (f64, f64, f64, f64);

fn on_screen(bbox: BBox, (sx, sy): (f64, f64)) -> Rect {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
    (x1 * sx, y1 * sy, (x2 - x1) * sx, (y2 - y1) * sy)
}

fn outline(context: &CanvasRenderingContext2d, frame: Rect, canvas: (f64, f64), colour: Colour, line: f64) {
    // Whole lines, also where the box ends with the picture.
    let half = line / 2.0 + 1.0;
    let within = |from: f64, length: f64, end: f64| {
        let (start, stop) = (from.max(half), (from + length).min(end - half));
        (start, (stop - start).max(0.0))
    };
    let (x, width) = within(frame.0, frame.2, canvas.0);
    let (y, height) = within(frame.1, frame.3, canvas.1);
    // A dark rim keeps the line visible on pictures of its own colour.
    context.set_line_width(line + 2.0);
    context.set_stroke_style_str("rgb(0 0 0 / 55%)");
    context.stroke_rect(x, y, width, height);
    context.set_line_width(line);
    context.set_stroke_style_str(&colour.css());
    context.stroke_rect(x, y, width, height);
}

/// A place for a box's label: on one of its edges, within the canvas, and on no other label if there is such a place.
fn place((x, y, width, height): Rect, label: f64, canvas: (f64, f64), taken: &[Rect]) -> Rect {
    let fit = |left: f64, top: f64| {
        let left = left.min(canvas.0 - label).max(0.0);
        (left, top.min(canvas.1 - LABEL).max(0.0), label, LABEL)
    };
    let (left, right, bottom) = (x - 1.0, x + width + 1.0 - label, y + height);
    let above = if y >= LABEL { y - LABEL } else { y };
    let places = [(left, above), (left, y), (right, above), (right, y), (left, bottom), (left, bottom - LABEL)];
    let places = places.map(|(left, top)| fit(left, top));
    places.into_iter().find(|place| !taken.iter().any(|other| overlap(*place, *other))).unwrap_or(places[0])
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.0 < b.0 + b.2 && b.0 < a.0 + a.2 && a.1 < b.1 + b.3 && b.1 < a.1 + a.3
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

    #[test]
    fn labels_stay_on_the_canvas_and_off_each_other() {
        let canvas = (200.0, 100.0);
        let first = place((150.0, 50.0, 40.0, 40.0), 80.0, canvas, &[]);
        assert_eq!(first, (120.0, 30.0, 80.0, LABEL));
        let second = place((150.0, 50.0, 40.0, 40.0), 80.0, canvas, &[first]);
        assert!(!overlap(first, second));
        assert_eq!(place((0.0, 0.0, 200.0, 100.0), 80.0, canvas, &[]).1, 0.0);
    }
}

//! Boxes on a canvas over the picture.

use shared_model::{BBox, Colour};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageBitmap};

use super::marks::{Mark, Meaning};
use super::zoom::Zoom;

/// Height of a label in CSS pixels.
const LABEL: f64 = 20.0;
/// Space left and right of a label's text.
const PADDING: f64 = 5.0;
/// Boxes of a panel that have a label: more would hide the picture, and nobody could read them.
const MAX_LABELS: usize = 60;
const FONT: &str = "600 12.5px system-ui, sans-serif";

/// What is to be seen.
pub struct Scene<'a> {
    /// Boxes, the most important first.
    pub marks: &'a [Mark],
    /// The object that stands out, by [`Mark::object`].
    pub highlighted: Option<usize>,
    /// Width and height of the picture in its own pixels.
    pub picture: (u32, u32),
    /// The part of it that is on show.
    pub zoom: Zoom,
}

/// How a line looks.
struct LineStyle {
    colour: Colour,
    /// In CSS pixels.
    width: f64,
    /// Lengths of dashes and gaps; none for an unbroken line.
    dashes: &'static [f64],
}

impl Meaning {
    fn line(self) -> LineStyle {
        let line = |(r, g, b), width, dashes| LineStyle { colour: Colour::of_bytes(r, g, b), width, dashes };
        match self {
            Self::Class(class) => LineStyle { colour: Colour::of_class(class), width: 2.0, dashes: &[] },
            Self::All => line((90, 200, 250), 2.0, &[]),
            Self::Some => line((255, 220, 60), 2.0, &[12.0, 5.0]),
            Self::Only => line((255, 150, 40), 4.0, &[]),
            Self::Missed | Self::FalseNegative => line((255, 130, 200), 3.0, &[3.0, 5.0]),
            Self::TruePositive => line((90, 220, 120), 3.0, &[]),
            Self::FalsePositive => line((255, 115, 90), 3.0, &[8.0, 5.0]),
            Self::Ignored => line((200, 200, 205), 1.5, &[]),
        }
    }
}

/// Puts a camera's frame on a canvas of its size.
pub fn put(canvas: &HtmlCanvasElement, frame: &ImageBitmap) {
    if let Ok(Some(context)) = canvas.get_context("2d") {
        // Fails for a frame that has given way to the next: this canvas then does so, too.
        let _ = context.unchecked_into::<CanvasRenderingContext2d>().draw_image_with_image_bitmap(frame, 0.0, 0.0);
    }
}

/// Draws the scene over the whole canvas, whose width and height in CSS pixels are `size`, sharp on any screen.
pub fn draw(canvas: &HtmlCanvasElement, size: (f64, f64), scene: &Scene) -> Result<(), JsValue> {
    let density = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    canvas.set_width((size.0 * density).round() as u32);
    canvas.set_height((size.1 * density).round() as u32);
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    context.scale(density, density)?;
    paint(&context, size, scene)
}

/// Draws the scene into a rectangle of `size` at the context's origin.
pub fn paint(context: &CanvasRenderingContext2d, size: (f64, f64), scene: &Scene) -> Result<(), JsValue> {
    context.set_font(FONT);
    context.set_text_baseline("middle");
    // The most important first: the best places for labels are theirs.
    let is_highlighted = |mark: &&Mark| scene.highlighted.is_some() && mark.object == scene.highlighted;
    let others = scene.marks.iter().filter(|mark| !is_highlighted(mark));
    let mut taken = Vec::new();
    let mut placed = Vec::new();
    for mark in scene.marks.iter().filter(is_highlighted).chain(others) {
        let frame = on_screen(mark.bbox, size, scene);
        if frame.0 > size.0 || frame.1 > size.1 || frame.0 + frame.2 < 0.0 || frame.1 + frame.3 < 0.0 {
            continue;
        }
        let mut label = None;
        if taken.len() < MAX_LABELS {
            let width = context.measure_text(&mark.label)?.width() + 2.0 * PADDING;
            let place = place(frame, width, size, &taken);
            taken.push(place);
            label = Some(place);
        }
        placed.push((mark, frame, label));
    }
    // And last, on top of the others.
    for (mark, frame, label) in placed.into_iter().rev() {
        let is_strong = is_highlighted(&mark);
        let is_faint = scene.highlighted.is_some() && !is_strong;
        context.set_global_alpha(if is_faint { 0.35 } else { 1.0 });
        let mut line = mark.meaning.line();
        if is_strong {
            line.width += 1.5;
        }
        outline(context, frame, size, &line)?;
        let Some(label) = label.filter(|_| !is_faint) else { continue };
        context.set_fill_style_str(&line.colour.css());
        context.fill_rect(label.0, label.1, label.2, label.3);
        context.set_fill_style_str(line.colour.text());
        context.fill_text(&mark.label, label.0 + PADDING, label.1 + LABEL / 2.0 + 0.5)?;
    }
    Ok(())
}

/// Left, top, width and height in CSS pixels.
type Rect = (f64, f64, f64, f64);

fn on_screen(bbox: BBox, size: (f64, f64), scene: &Scene) -> Rect {
    let (width, height) = (f64::from(scene.picture.0), f64::from(scene.picture.1));
    let Zoom { scale, x, y } = scene.zoom;
    let across = |pixels: f32| (f64::from(pixels) / width - x) * scale * size.0;
    let down = |pixels: f32| (f64::from(pixels) / height - y) * scale * size.1;
    let (left, top) = (across(bbox.x1), down(bbox.y1));
    (left, top, across(bbox.x2) - left, down(bbox.y2) - top)
}

fn outline(context: &CanvasRenderingContext2d, frame: Rect, size: (f64, f64), line: &LineStyle) -> Result<(), JsValue> {
    // Whole lines, also where the box ends with the picture. Enlarged, a box may end beyond it.
    let half = line.width / 2.0 + 1.0;
    let within = |from: f64, length: f64, end: f64| {
        let near = |edge: f64, at: f64, to: f64| if (edge - at).abs() < 2.0 * half { to } else { edge };
        let (start, stop) =
            (near(from, 0.0, from.max(half)), near(from + length, end, (from + length).min(end - half)));
        (start, (stop - start).max(0.0))
    };
    let (x, width) = within(frame.0, frame.2, size.0);
    let (y, height) = within(frame.1, frame.3, size.1);
    let dashes: js_sys::Array = line.dashes.iter().map(|&length| JsValue::from(length)).collect();
    context.set_line_dash(&dashes)?;
    // A dark rim keeps the line visible on pictures of its own colour.
    context.set_line_width(line.width + 2.0);
    context.set_stroke_style_str("rgb(0 0 0 / 55%)");
    context.stroke_rect(x, y, width, height);
    context.set_line_width(line.width);
    context.set_stroke_style_str(&line.colour.css());
    context.stroke_rect(x, y, width, height);
    Ok(())
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
    fn labels_stay_on_the_canvas_and_off_each_other() {
        let canvas = (200.0, 100.0);
        let first = place((150.0, 50.0, 40.0, 40.0), 80.0, canvas, &[]);
        assert_eq!(first, (120.0, 30.0, 80.0, LABEL));
        let second = place((150.0, 50.0, 40.0, 40.0), 80.0, canvas, &[first]);
        assert!(!overlap(first, second));
        assert_eq!(place((0.0, 0.0, 200.0, 100.0), 80.0, canvas, &[]).1, 0.0);
    }

    #[test]
    fn a_box_is_where_the_window_shows_it() {
        let bbox = BBox { x1: 50.0, y1: 25.0, x2: 100.0, y2: 50.0 };
        let zoom = Zoom { scale: 2.0, x: 0.125, y: 0.0 };
        let scene = Scene { marks: &[], highlighted: None, picture: (200, 100), zoom };
        assert_eq!(on_screen(bbox, (400.0, 200.0), &scene), (100.0, 100.0, 200.0, 100.0));
    }

    #[test]
    fn every_meaning_has_a_line_of_its_own() {
        use Meaning::{All, FalsePositive, Ignored, Missed, Only, Some, TruePositive};
        let lines = |meanings: &[Meaning]| {
            let look = |meaning: &Meaning| {
                let line = meaning.line();
                format!("{} {:?}", line.width, line.dashes)
            };
            meanings.iter().map(look).collect::<std::collections::BTreeSet<_>>().len()
        };
        // Told apart without colours, too.
        assert_eq!(lines(&[All, Some, Only, Missed]), 4);
        assert_eq!(lines(&[TruePositive, FalsePositive, Ignored, Missed]), 4);
    }
}

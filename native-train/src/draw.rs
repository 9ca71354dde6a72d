//! Labelled boxes on an image.

use ab_glyph::{FontRef, PxScale};
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;
use shared_model::{BBox, Colour, Detection};

/// A box to draw, and what is written on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// In pixels of the image; it may reach over the edge.
    pub bbox: BBox,
    /// Decides the colour.
    pub class: usize,
    /// The label.
    pub text: String,
}

/// Draws every detection's box, class and score; better ones on top.
pub fn draw(image: &mut RgbImage, detections: &[Detection], class_names: &[String]) {
    let mut order: Vec<_> = detections.iter().collect();
    order.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mark = |detection: &Detection| Mark {
        bbox: detection.bbox,
        class: detection.class,
        text: format!("{} {:.0} %", class_names[detection.class], 100.0 * detection.score),
    };
    draw_marks(image, &order.into_iter().map(mark).collect::<Vec<_>>());
}

/// Draws boxes with their labels, later ones on top.
pub fn draw_marks(image: &mut RgbImage, marks: &[Mark]) {
    // DejaVu Sans: free to use and to pass on (https://dejavu-fonts.github.io/License.html).
    let font = FontRef::try_from_slice(dejavu::sans::bold()).expect("the font is part of the program");
    let side = image.width().min(image.height()) as f32;
    let style =
        Style { font, scale: PxScale::from((side / 28.0).clamp(13.0, 60.0)), line: (side / 200.0).max(2.0) as i32 };
    // An untrained network's boxes can be larger than integers.
    let far = 4.0 * image.width().max(image.height()) as f32;
    let near = |mark: &Mark| {
        let [x1, y1, x2, y2] =
            [mark.bbox.x1, mark.bbox.y1, mark.bbox.x2, mark.bbox.y2].map(|value| value.clamp(-far, far));
        BBox { x1, y1, x2, y2 }
    };
    for mark in marks {
        outline(image, near(mark), style.line, Rgb(Colour::of_class(mark.class).bytes()));
    }
    // Labels last, so that no line crosses one.
    for mark in marks {
        label(image, &style, near(mark), &mark.text, Colour::of_class(mark.class));
    }
}

struct Style {
    font: FontRef<'static>,
    scale: PxScale,
    /// Width of the lines in pixels.
    line: i32,
}

fn outline(image: &mut RgbImage, bbox: BBox, line: i32, colour: Rgb<u8>) {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|value| value.round() as i32);
    let mut bar = |x1: i32, y1: i32, x2: i32, y2: i32| fill(image, x1, y1, x2, y2, colour);
    bar(x1, y1, x2, y1 + line);
    bar(x1, y2 - line, x2, y2);
    bar(x1, y1, x1 + line, y2);
    bar(x2 - line, y1, x2, y2);
}

/// Writes `text` above the box; inside it at the image's upper edge.
fn label(image: &mut RgbImage, style: &Style, bbox: BBox, text: &str, colour: Colour) {
    let (text_width, _) = text_size(style.scale, &style.font, text);
    let pad = style.line + 1;
    let (width, height) = (text_width as i32 + 2 * pad, style.scale.y.ceil() as i32 + pad);
    let rightmost = (image.width() as i32 - width).max(0);
    let x = (bbox.x1.round() as i32).clamp(0, rightmost);
    let top = bbox.y1.round() as i32;
    let y = if top >= height { top - height } else { top.max(0) };
    fill(image, x, y, x + width, y + height, Rgb(colour.bytes()));
    let ink = Rgb([if colour.takes_black() { 0 } else { 255 }; 3]);
    draw_text_mut(image, ink, x + pad, y + pad / 2, style.scale, &style.font, text);
}

/// Fills the part of a rectangle that lies in the image.
fn fill(image: &mut RgbImage, x1: i32, y1: i32, x2: i32, y2: i32, colour: Rgb<u8>) {
    let (width, height) = (image.width() as i32, image.height() as i32);
    let (x1, x2) = (x1.clamp(0, width), x2.clamp(0, width));
    let (y1, y2) = (y1.clamp(0, height), y2.clamp(0, height));
    if x2 > x1 && y2 > y1 {
        draw_filled_rect_mut(image, Rect::at(x1, y1).of_size((x2 - x1) as u32, (y2 - y1) as u32), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_at_and_over_the_edge_are_drawn() {
        let mut image = RgbImage::new(40, 30);
        let bbox = BBox { x1: 0.0, y1: 0.0, x2: 40.0, y2: 30.0 };
        let tiny = BBox { x1: 39.0, y1: 29.0, x2: 39.2, y2: 29.1 };
        let huge = BBox { x1: f32::MIN, y1: 3e9, x2: f32::INFINITY, y2: f32::MAX };
        let detections = [bbox, tiny, huge].map(|bbox| Detection { class: 0, score: 0.5, bbox });
        draw(&mut image, &detections, &["a class with a very long name".into()]);
        assert_eq!(*image.get_pixel(0, 29), Rgb(Colour::of_class(0).bytes()));
    }
}

//! Boxes of images that EXIF turns: which of the two images they are of, the stored one or the upright one.

use image::metadata::Orientation;
use shared_model::voc::{Annotation, Coordinates, ImageSize, VocBox};

use crate::photo::PhotoHeader;

/// Which image an annotation is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoxesOf {
    /// The upright one, or there is no difference.
    Upright,
    /// The one that is stored.
    Stored,
    /// It does not tell: it fits both, or neither.
    Unknown,
}

/// Which image `annotation` is of, by the size that it tells, else by where its boxes have room.
pub(super) fn boxes_of(annotation: &Annotation, header: &PhotoHeader) -> BoxesOf {
    if header.orientation == Orientation::NoTransforms {
        return BoxesOf::Upright;
    }
    let [stored, upright] = [header.stored, header.upright()].map(|size| size.map(|side| side as f64));
    if stored == upright {
        return BoxesOf::Unknown;
    }
    let said = annotation.size.map(|ImageSize { width, height, .. }| [width, height]);
    match (said, fits(annotation, header.stored), fits(annotation, header.upright())) {
        (Some(said), ..) if said == upright => BoxesOf::Upright,
        (Some(said), ..) if said == stored => BoxesOf::Stored,
        (None, true, false) => BoxesOf::Stored,
        (None, false, true) => BoxesOf::Upright,
        // Of an image that was scaled, which is said otherwise.
        (Some(_), ..) => BoxesOf::Upright,
        _ => BoxesOf::Unknown,
    }
}

/// Whether all boxes have room in an image of `size` pixels.
pub(super) fn fits(annotation: &Annotation, size: [usize; 2]) -> bool {
    // Boxes are often a pixel too far.
    let [width, height] = size.map(|side| side as f64 + 1.0);
    annotation.objects.iter().all(|o| o.object.bbox.xmax <= width && o.object.bbox.ymax <= height)
}

/// Turns boxes and size of an annotation of the stored image so that they are of the upright one.
pub(super) fn turn(annotation: &mut Annotation, header: &PhotoHeader) {
    let size = header.stored.map(|side| side as f64);
    // Of a last pixel the mirror image is a first one; of an edge it is an edge, one of which there are more than pixels.
    let places = match annotation.coordinates {
        Coordinates::Pixels => size,
        Coordinates::Edges | Coordinates::Parts => size.map(|side| side + 1.0),
    };
    for annotated in &mut annotation.objects {
        annotated.object.bbox = turned(annotated.object.bbox, places, header.orientation);
    }
    if header.lies()
        && let Some(size) = &mut annotation.size
    {
        std::mem::swap(&mut size.width, &mut size.height);
    }
}

/// A box of an image of `[width, height]` places, pixels or edges, in that image as it is when it is turned. The first place
/// is 1, so that a mirror takes x to width + 1 - x.
fn turned(b: VocBox, [width, height]: [f64; 2], orientation: Orientation) -> VocBox {
    let mirrored = |[from, to]: [f64; 2], side: f64| [side + 1.0 - to, side + 1.0 - from];
    let (x, y) = ([b.xmin, b.xmax], [b.ymin, b.ymax]);
    let ([xmin, xmax], [ymin, ymax]) = match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (mirrored(x, width), y),
        Orientation::Rotate180 => (mirrored(x, width), mirrored(y, height)),
        Orientation::FlipVertical => (x, mirrored(y, height)),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate90 => (mirrored(y, height), x),
        Orientation::Rotate270FlipH => (mirrored(y, height), mirrored(x, width)),
        Orientation::Rotate270 => (y, mirrored(x, width)),
    };
    VocBox { xmin, ymin, xmax, ymax }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgb, RgbImage};

    use super::*;

    #[test]
    fn boxes_turn_with_the_pixels() {
        let stored = VocBox { xmin: 3.0, ymin: 2.0, xmax: 7.0, ymax: 4.0 };
        let inside = |b: VocBox, x: u32, y: u32| {
            let [x, y] = [x, y].map(|position| f64::from(position) + 1.0);
            (b.xmin..=b.xmax).contains(&x) && (b.ymin..=b.ymax).contains(&y)
        };
        let pixels = RgbImage::from_fn(20, 10, |x, y| Rgb([if inside(stored, x, y) { 255 } else { 0 }; 3]));
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut upright = DynamicImage::from(pixels.clone());
            upright.apply_orientation(orientation);
            let turned = turned(stored, [20.0, 10.0], orientation);
            for (x, y, pixel) in upright.to_rgb8().enumerate_pixels() {
                assert_eq!(pixel.0[0] == 255, inside(turned, x, y), "orientation {exif}: {turned} at {x}, {y}");
            }
        }
    }

    #[test]
    fn an_annotation_tells_which_image_it_is_of_by_size_or_room() {
        let of = |size: &str, corners: [u32; 4], exif: u8, stored: [usize; 2]| {
            let [xmin, ymin, xmax, ymax] = corners;
            let xml = format!(
                "<annotation>{size}<object><name>dog</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>\
                 <xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>"
            );
            let header = PhotoHeader { stored, orientation: Orientation::from_exif(exif).unwrap(), shrink: 1 };
            boxes_of(&Annotation::parse(&xml).unwrap(), &header)
        };
        let size = |width: u32, height: u32| format!("<size><width>{width}</width><height>{height}</height></size>");
        let (small, wide, high) = ([1, 1, 30, 30], [1, 1, 90, 30], [1, 1, 30, 90]);
        for (what, boxes_of, expected) in [
            ("not turned", of(&size(100, 50), wide, 1, [100, 50]), BoxesOf::Upright),
            ("size of the stored one", of(&size(100, 50), small, 6, [100, 50]), BoxesOf::Stored),
            ("size of the upright one", of(&size(50, 100), small, 8, [100, 50]), BoxesOf::Upright),
            ("room in the stored one", of("", wide, 5, [100, 50]), BoxesOf::Stored),
            ("room in the upright one", of("", high, 7, [100, 50]), BoxesOf::Upright),
            ("room in both", of("", small, 6, [100, 50]), BoxesOf::Unknown),
            ("a square", of(&size(100, 100), small, 6, [100, 100]), BoxesOf::Unknown),
            ("upside down", of(&size(100, 50), wide, 3, [100, 50]), BoxesOf::Unknown),
            ("mirrored", of(&size(100, 50), wide, 2, [100, 50]), BoxesOf::Unknown),
        ] {
            assert_eq!(boxes_of, expected, "{what}");
        }
    }
}

//! Validation images: what is there, and what was found.

use std::io::Cursor;

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use shared_model::{BBox, Detection, Letterbox, PAD};

use crate::draw::{Mark, draw, draw_marks};
use crate::train::dry_run::tiles;
use crate::train::validation::Validation;

/// Images on the sheet, each twice.
const IMAGES: usize = 12;
/// Side of a tile in pixels.
const SIDE: u32 = 320;
/// Of the JPEG file, to 100.
const QUALITY: u8 = 88;

/// A sheet of the first images with objects, as a JPEG file: the annotated objects on the left, the detections with at
/// least `min_score` on the right.
pub(super) fn sheet(
    validation: &Validation,
    found: &[Vec<Detection>],
    class_names: &[String],
    min_score: f32,
) -> Result<Vec<u8>> {
    let with_objects = (0..validation.images.len()).filter(|&i| !validation.truth[i].is_empty());
    let mut images = Vec::new();
    for i in with_objects.take(IMAGES) {
        let file = &validation.images[i];
        let photo = file.photo().with_context(|| format!("the image {}", file.path().display()))?;
        let (width, height) = photo.pixels().dimensions();
        let fit = Letterbox::fit(width as usize, height as usize, SIDE as usize);
        let scaled = imageops::resize(photo.pixels(), fit.width as u32, fit.height as u32, FilterType::Triangle);
        let mut tile = RgbImage::from_pixel(SIDE, SIDE, Rgb([PAD; 3]));
        imageops::replace(&mut tile, &scaled, 0, 0);
        let scale =
            |b: BBox| BBox { x1: b.x1 * fit.ratio, y1: b.y1 * fit.ratio, x2: b.x2 * fit.ratio, y2: b.y2 * fit.ratio };

        let mut there = tile.clone();
        let marks = validation.truth[i].iter().map(|object| {
            let [x1, y1] = [object.bbox.xmin, object.bbox.ymin].map(|edge| edge as f32 - 1.0);
            let [x2, y2] = [object.bbox.xmax, object.bbox.ymax].map(|edge| edge as f32);
            let class = class_names.iter().position(|name| *name == object.class).unwrap_or_default();
            let text = format!("{}{}", object.class, if object.difficult { " (difficult)" } else { "" });
            Mark { bbox: scale(BBox { x1, y1, x2, y2 }), class, text }
        });
        draw_marks(&mut there, &marks.collect::<Vec<_>>());

        let shown = found[i].iter().filter(|detection| detection.score >= min_score);
        let shown: Vec<Detection> = shown.map(|d| Detection { bbox: scale(d.bbox), ..*d }).collect();
        draw(&mut tile, &shown, class_names);
        images.extend([there, tile]);
    }
    let mut bytes = Cursor::new(Vec::new());
    tiles(&images).write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{VocBuilder, object};
    use crate::data::{Difficult, TrainingSet};

    /// An image of twice a tile's side: frames lie at half of their pixels.
    #[test]
    fn boxes_shrink_with_their_image() {
        let voc = VocBuilder::new();
        voc.pixels("wide", &RgbImage::new(640, 320), &object("cat", [161.0, 81.0, 480.0, 240.0]));
        voc.split("val", &["wide"]);
        let set = TrainingSet::open(&[voc.source("val")], None, Difficult::Learn).unwrap();
        let bbox = BBox { x1: 100.0, y1: 60.0, x2: 600.0, y2: 300.0 };
        let found = [vec![Detection { bbox, class: 0, score: 0.9 }]];
        let bytes = sheet(&Validation::new(&set), &found, &set.class_names, 0.5).unwrap();
        let sheet = image::load_from_memory(&bytes).unwrap().into_rgb8();
        let right = sheet.width() - SIDE;
        let is_drawn = |x: u32, y: u32| sheet.get_pixel(x, y).0.iter().any(|&level| level > 80);
        // Beside the label, which is at the upper left.
        for (x, y, drawn) in
            [(200, 119, true), (239, 100, true), (200, 80, false), (280, 100, false), (200, 149, false)]
        {
            assert_eq!(is_drawn(x, y), drawn, "annotated, at {x}, {y}");
        }
        for (x, y, drawn) in [(200, 149, true), (299, 100, true), (200, 119, false), (310, 100, false)] {
            assert_eq!(is_drawn(right + x, y), drawn, "found, at {x}, {y}");
        }
    }
}

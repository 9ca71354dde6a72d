//! Sheets of small images with their boxes.

use std::io::Cursor;

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;
use shared_model::BBox;

use super::{Looked, Sample, escaped};
use crate::draw::{Mark, draw_marks};

/// Longer side in pixels of a small image.
const SIDE: u32 = 320;

/// Of 100.
const QUALITY: u8 = 72;

/// The images with their names and what is odd about them.
pub(super) fn sheet(samples: &[&Sample<'_>], classes: &[&str]) -> String {
    if samples.is_empty() {
        return "<p>None.</p>".into();
    }
    let figures: Vec<String> = samples.par_iter().map(|sample| figure(sample, classes)).collect();
    format!("<div class=\"sheet\">\n{}</div>", figures.concat())
}

fn figure(sample: &Sample<'_>, classes: &[&str]) -> String {
    let image = match jpeg(sample.image, classes) {
        Ok(jpeg) => format!("<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", STANDARD.encode(jpeg)),
        Err(error) => format!("<p>{}</p>", escaped(&error.to_string())),
    };
    let caption = match sample.reasons.is_empty() {
        true => sample.image.name.clone(),
        false => format!("{}: {}", sample.image.name, sample.reasons.join("; ")),
    };
    format!("<figure>{image}<figcaption>{}</figcaption></figure>\n", escaped(&caption))
}

fn jpeg(image: &Looked, classes: &[&str]) -> Result<Vec<u8>> {
    let photo = image.file.photo().map_err(|error| anyhow!("{error}"))?;
    let (width, height) = (photo.width() as u32, photo.height() as u32);
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let mut small = resize(photo.pixels(), side(width), side(height), FilterType::Triangle);
    let mark = |object: &shared_model::voc::VocObject| {
        let [x1, y1, x2, y2] = object.bbox.corners().map(|corner| (corner * scale) as f32);
        let class = classes.iter().position(|class| *class == object.class).unwrap_or(classes.len());
        Mark { bbox: BBox { x1, y1, x2, y2 }, class, text: object.class.clone() }
    };
    draw_marks(&mut small, &image.objects.iter().map(mark).collect::<Vec<_>>());
    let mut bytes = Cursor::new(Vec::new());
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(bytes.into_inner())
}

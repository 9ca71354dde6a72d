//! Objects as the page and the command line describe them, and whether they are the same.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::browser::{command_line, downloaded_weights};

/// How far corners may differ, in pixels.
const PIXELS: f64 = 1.0;
/// How far scores may differ.
const SCORE: f64 = 0.01;

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
pub struct Object {
    pub class: String,
    pub score: f64,
    /// x1, y1, x2, y2 in pixels of the image.
    pub corners: [f64; 4],
}

/// What `yolox-nano detect --json` finds in an image with the default model.
pub fn found_by_command_line(image: &Path) -> Result<Vec<Object>> {
    found_with("baseline-coco", image)
}

/// What `yolox-nano detect --json` finds in an image, with the weights that the page has of the model.
pub fn found_with(model: &str, image: &Path) -> Result<Vec<Object>> {
    let weights = downloaded_weights(model)?;
    let output = command_line()?.args(["detect", "--json", "--weights"]).arg(weights).arg(image).output()?;
    ensure!(output.status.success(), "yolox-nano: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let detections = answer["detections"].as_array().context("detections")?;
    let number = |value: &Value| value.as_f64().context("a number");
    detections
        .iter()
        .map(|detection| {
            let mut corners = [0.0; 4];
            for (corner, key) in corners.iter_mut().zip(["x1", "y1", "x2", "y2"]) {
                *corner = number(&detection[key])?;
            }
            let class = detection["class"].as_str().context("a class")?.to_string();
            Ok(Object { class, score: number(&detection["score"])?, corners })
        })
        .collect()
}

/// Fails unless both lists hold the same objects. An object whose score is within the tolerance of the threshold may be
/// in one list only.
pub fn same(ours: &[Object], theirs: &[Object], threshold: f64) -> Result<()> {
    same_within(SCORE, ours, theirs, threshold)
}

/// The same where scores may differ by so much.
pub fn same_within(tolerance: f64, ours: &[Object], theirs: &[Object], threshold: f64) -> Result<()> {
    let mut unmatched = theirs.to_vec();
    for object in ours {
        match unmatched.iter().position(|other| is_same(object, other, tolerance)) {
            Some(i) => drop(unmatched.remove(i)),
            None => ensure!(object.score < threshold + tolerance, "{object:?} is not among {theirs:?}"),
        }
    }
    if let Some(object) = unmatched.iter().find(|object| object.score >= threshold + tolerance) {
        anyhow::bail!("{object:?} is not among {ours:?}");
    }
    Ok(())
}

fn is_same(a: &Object, b: &Object, tolerance: f64) -> bool {
    a.class == b.class
        && (a.score - b.score).abs() <= tolerance
        && a.corners.iter().zip(b.corners).all(|(a, b)| (a - b).abs() <= PIXELS)
}

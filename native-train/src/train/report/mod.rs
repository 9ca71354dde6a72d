//! What a run leaves for people to look at: curves, and how the best weights do on the validation images.

mod charts;
mod sheet;

use anyhow::{Result, anyhow};
use shared_model::evaluation::{Confusion, collect};

use super::metrics;
use super::run_folder::RunFolder;
use super::validation::{Evaluated, Validation};
use crate::eval::report_table;
use crate::files::write_atomic;

/// Least score of detections that people are shown.
const MIN_SCORE: f32 = 0.25;

/// Draws losses, learning rate and AP over the epochs: `curves.svg`.
///
/// # Errors
/// Fails where the metrics cannot be read or the file cannot be written.
pub fn curves(folder: &RunFolder) -> Result<()> {
    write_atomic(&folder.curves(), drawn_curves(folder)?.as_bytes())
}

/// What [`curves`] writes: an SVG drawing.
///
/// # Errors
/// Fails where the metrics cannot be read.
pub fn drawn_curves(folder: &RunFolder) -> Result<String> {
    let records = metrics::read(&folder.metrics())?;
    charts::training(&records).map_err(|error| anyhow!("curves.svg cannot be drawn: {error}"))
}

/// Curves of several runs over each other, with their names: an SVG drawing.
///
/// # Errors
/// Fails where they cannot be drawn.
pub fn overlaid(title: &str, x_label: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> Result<String> {
    charts::overlaid(title, x_label, curves).map_err(|error| anyhow!("{title} cannot be drawn: {error}"))
}

/// Writes the folder `report`: AP of every class as text and JSON, precision over recall, which class is taken for which,
/// and a sheet of images with what is there beside what was found.
///
/// # Errors
/// Fails where an image cannot be read or a file cannot be written.
pub fn evaluation(
    folder: &RunFolder,
    validation: &Validation,
    scored: &Evaluated,
    class_names: &[String],
) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| write_atomic(&folder.file("report").join(name), bytes);
    let Evaluated { report, found, .. } = scored;
    write("per-class.txt", format!("{}\n", report_table(report)).as_bytes())?;
    write("per-class.json", &serde_json::to_vec_pretty(report)?)?;

    let undrawn = |error| anyhow!("a chart cannot be drawn: {error}");
    let (evaluator, _) = collect(&validation.truth, found, class_names);
    write("precision-recall.svg", charts::precision_recall(&evaluator.curves(0.5)).map_err(undrawn)?.as_bytes())?;
    let confusion = Confusion::new(&validation.truth, found, class_names, MIN_SCORE);
    write("confusion.json", &serde_json::to_vec_pretty(&confusion)?)?;
    write("confusion.svg", charts::confusion(&confusion).map_err(undrawn)?.as_bytes())?;
    write("val-sheet.jpg", &sheet::sheet(validation, found, class_names, MIN_SCORE)?)
}

//! Evaluation as the command line does it: what networks find in image files, and their score in words.

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use comfy_table::Table;
use rayon::prelude::*;
use shared_model::evaluation::{EvalReport, Figures, NothingToScore};
use shared_model::voc::VocObject;
use shared_model::{Detection, Detector, Input, nms};

use crate::data::DataFile;
use crate::data::class_list::closest;
use crate::data::problem::Problem;
use crate::data::text::shown;
use crate::engine::{Batch, Engine};
use crate::table::table;

/// What the detector finds in each of the image files, in their order whatever thread was first; `done` is called after
/// each, with what is damaged in it.
///
/// # Errors
/// Fails where an image cannot be read, naming it.
pub fn detect_all(
    detector: &Detector,
    images: &[DataFile],
    min_score: f32,
    max_iou: f32,
    done: &(dyn Fn(Option<Problem>) + Sync),
) -> Result<Vec<Vec<Detection>>> {
    let look = |file: &DataFile| -> Result<Vec<Detection>> {
        let detect = || -> Result<_> {
            let photo = file.photo()?;
            let detections = detector.detect(photo.image()?, min_score, max_iou)?;
            done(Problem::of_damage(file.path(), &photo));
            Ok(detections)
        };
        detect().with_context(|| format!("the image {}", file.path().display()))
    };
    images.par_iter().map(look).collect()
}

/// As [`detect_all`], with a network that `engine` computes, some images at a time; `detector` is asked for what comes
/// before and after it.
///
/// # Errors
/// As for [`detect_all`], and where the engine's device fails.
pub fn detect_all_by(
    engine: &mut dyn Engine,
    detector: &Detector,
    images: &[DataFile],
    min_score: f32,
    max_iou: f32,
    done: &(dyn Fn(Option<Problem>) + Sync),
) -> Result<Vec<Vec<Detection>>> {
    let side = detector.input_size();
    let mut found = Vec::with_capacity(images.len());
    for files in images.chunks(IMAGES_AT_ONCE) {
        let input = |file: &DataFile| {
            let read = || -> Result<_> {
                let photo = file.photo()?;
                let input = detector.preprocess(photo.image()?)?;
                done(Problem::of_damage(file.path(), &photo));
                Ok(input)
            };
            read().with_context(|| format!("the image {}", file.path().display()))
        };
        let inputs = files.par_iter().map(input).collect::<Result<Vec<_>>>()?;
        // Preprocessing rounds to whole levels.
        let pixels = inputs.iter().map(|input| Ok(input.tensor().flatten_all()?.to_vec1::<f32>()?));
        let pixels = pixels.collect::<Result<Vec<_>>>()?.concat().into_iter().map(|level| level as u8).collect();
        let raw = engine.infer(&Batch { pixels, images: files.len(), height: side, width: side })?;
        let boxes = |(i, input): (usize, &Input)| {
            let rows = raw.image(i);
            let raw = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
            Ok(nms(&detector.candidates(input, &raw, min_score)?, max_iou))
        };
        found.extend(inputs.par_iter().enumerate().map(boxes).collect::<Result<Vec<_>>>()?);
    }
    Ok(found)
}

/// Images that go through an engine together.
const IMAGES_AT_ONCE: usize = 16;

/// Scores what was detected in each image against its annotated objects; `known` are the names of the weights' classes.
///
/// # Errors
/// Fails where the weights know no class that occurs, and names those that may be meant.
pub fn score(truth: &[Vec<VocObject>], found: &[Vec<Detection>], known: &[String]) -> Result<EvalReport> {
    EvalReport::new(truth, found, known).map_err(|NothingToScore { classes }| {
        let class = |class: &String| match closest(class, known) {
            Some(meant) => format!("{} (did you mean \"{meant}\"?)", shown(class)),
            None => shown(class),
        };
        let classes = classes.iter().map(class).collect();
        anyhow!(NothingToScore { classes })
    })
}

/// The figures of each class and their means.
pub fn report_table(report: &EvalReport) -> Table {
    let mut table = table(&["class", "objects", "AP50", "AP", "AP50 (area)", "AP (area)"], 1);
    let mut add = |class: &str, objects: usize, f: Figures| {
        let figures = [f.ap50_11, f.ap_11, f.ap50_area, f.ap_area].map(|figure| format!("{figure:.2}"));
        table.add_row([class.to_string(), objects.to_string()].into_iter().chain(figures));
    };
    for row in &report.per_class {
        add(&row.class, row.objects, row.figures);
    }
    let classes = report.per_class.len();
    add(&format!("mean of {classes}"), report.per_class.iter().map(|row| row.objects).sum(), report.mean);
    table
}

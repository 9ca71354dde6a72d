//! The score of a detector on a set of images: what `yolox-nano eval` prints and training chooses the best weights by.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use comfy_table::Table;
use rayon::prelude::*;
use serde::Serialize;
use shared_model::voc::VocObject;
use shared_model::{Detection, Detector, Input, nms};

use super::{ClassMap, ClassScore, Evaluator, Truth};
use crate::data::DataFile;
use crate::data::class_list::closest;
use crate::data::problem::Problem;
use crate::data::text::shown;
use crate::engine::{Batch, Engine};
use crate::table::table;

/// The least score of detections that count: YOLOX's `test_conf`.
pub const MIN_SCORE: f32 = 0.01;
/// The greatest overlap (IoU) of two detections of a class: YOLOX's `nmsthre`.
pub const MAX_IOU: f32 = 0.65;

/// The score of a detector. All figures are per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalReport {
    /// Number of images.
    pub images: usize,
    /// Means over the classes.
    #[serde(flatten)]
    pub mean: Figures,
    /// The classes that occur and that the weights know.
    pub per_class: Vec<ReportRow>,
    /// Classes of the data set that the weights do not know: not in the means.
    pub unknown_classes: Vec<String>,
}

/// Average precision in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// At IoU .50, at 11 points.
    pub ap50_11: f64,
    /// Mean over IoU .50:.05:.95, at 11 points.
    pub ap_11: f64,
    /// At IoU .50, area under the curve.
    pub ap50_area: f64,
    /// Mean over IoU .50:.05:.95, area under the curve.
    pub ap_area: f64,
}

/// The score of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportRow {
    /// The class.
    pub class: String,
    /// Annotated objects, without difficult ones.
    pub objects: usize,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

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

/// Puts what was detected in each image beside its annotated objects; `known` are the names of the weights' classes,
/// the evaluator's are those that occur: AP is not defined for others. Also returns which of them the weights do not know.
pub fn collect(truth: &[Vec<VocObject>], found: &[Vec<Detection>], known: &[String]) -> (Evaluator, Vec<String>) {
    let classes: BTreeSet<&String> = truth.iter().flatten().map(|o| &o.class).collect();
    let classes: Vec<String> = classes.into_iter().cloned().collect();
    let map = ClassMap::new(known, &classes);
    let position = |class: &String| classes.binary_search(class).expect("every class is in the list");

    let mut evaluator = Evaluator::new(classes.clone());
    for (objects, detections) in truth.iter().zip(found) {
        let truth = |o: &VocObject| (position(&o.class), Truth { bbox: o.bbox, difficult: o.difficult });
        let scored = |d: &Detection| Some((map.to_data(d.class)?, f64::from(d.score), d.bbox.into()));
        evaluator.add(objects.iter().map(truth), detections.iter().filter_map(scored));
    }
    let unknown = map.unknown().iter().map(|&class| classes[class].clone()).collect();
    (evaluator, unknown)
}

impl EvalReport {
    /// Scores what was detected in each image against its annotated objects, as [`collect`] puts them together.
    ///
    /// # Errors
    /// Fails where the weights know no class that occurs.
    pub fn new(truth: &[Vec<VocObject>], found: &[Vec<Detection>], known: &[String]) -> Result<Self> {
        let (evaluator, unknown_classes) = collect(truth, found, known);
        let scores = evaluator.scores().into_iter().flatten();
        let per_class: Vec<ReportRow> =
            scores.filter(|score| !unknown_classes.contains(&score.class)).map(row).collect();
        if per_class.is_empty() {
            let classes: BTreeSet<&str> = truth.iter().flatten().map(|o| o.class.as_str()).collect();
            let class = |class| match closest(class, known) {
                Some(meant) => format!("{} (did you mean \"{meant}\"?)", shown(class)),
                None => shown(class),
            };
            return Err(anyhow!(
                "nothing can be scored: of the images' classes ({}) the weights know none with an object",
                classes.into_iter().map(class).collect::<Vec<_>>().join(", ")
            ));
        }
        let mean = |figure: fn(&Figures) -> f64| mean(per_class.iter().map(|row| figure(&row.figures)));
        let mean = Figures {
            ap50_11: mean(|f| f.ap50_11),
            ap_11: mean(|f| f.ap_11),
            ap50_area: mean(|f| f.ap50_area),
            ap_area: mean(|f| f.ap_area),
        };
        Ok(Self { images: truth.len(), mean, per_class, unknown_classes })
    }

    /// The figures of each class and their means.
    pub fn table(&self) -> Table {
        let mut table = table(&["class", "objects", "AP50", "AP", "AP50 (area)", "AP (area)"], 1);
        let mut add = |class: &str, objects: usize, f: Figures| {
            let figures = [f.ap50_11, f.ap_11, f.ap50_area, f.ap_area].map(|figure| format!("{figure:.2}"));
            table.add_row([class.to_string(), objects.to_string()].into_iter().chain(figures));
        };
        for row in &self.per_class {
            add(&row.class, row.objects, row.figures);
        }
        let classes = self.per_class.len();
        add(&format!("mean of {classes}"), self.per_class.iter().map(|row| row.objects).sum(), self.mean);
        table
    }
}

fn row(score: ClassScore) -> ReportRow {
    let ClassScore { class, objects, ap_11, ap_area } = score;
    let figures = Figures {
        ap50_11: 100.0 * ap_11[0],
        ap_11: 100.0 * mean(ap_11.into_iter()),
        ap50_area: 100.0 * ap_area[0],
        ap_area: 100.0 * mean(ap_area.into_iter()),
    };
    ReportRow { class, objects, figures }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

//! The score of a detector on a set of images: what `yolox-nano eval` prints, training chooses the best weights by, and the page
//! shows of a visitor's pictures.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{ClassMap, ClassScore, Evaluator, Truth};
use crate::detection::Detection;
use crate::voc::VocObject;

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
    /// Its name in the annotations.
    pub class: String,
    /// Annotated objects, without difficult ones.
    pub objects: usize,
    /// AP of this class alone, 0-1.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The weights know no class of which the images have an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be scored: of the images' classes ({}) the weights know none with an object", .classes.join(", "))]
pub struct NothingToScore {
    /// The images' classes, each once.
    pub classes: Vec<String>,
}

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
    pub fn new(truth: &[Vec<VocObject>], found: &[Vec<Detection>], known: &[String]) -> Result<Self, NothingToScore> {
        let (evaluator, unknown_classes) = collect(truth, found, known);
        let scores = evaluator.scores().into_iter().flatten();
        let per_class: Vec<ReportRow> =
            scores.filter(|score| !unknown_classes.contains(&score.class)).map(row).collect();
        if per_class.is_empty() {
            let classes: BTreeSet<&String> = truth.iter().flatten().map(|object| &object.class).collect();
            return Err(NothingToScore { classes: classes.into_iter().cloned().collect() });
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

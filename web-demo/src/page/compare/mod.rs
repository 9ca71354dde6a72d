//! What several models find in one picture, side by side: with each other, and with the truth where it is known.

mod matching;

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_model::{Detection, clip, nms};

use super::panel::{Panel, Run};
use super::truth::{Evaluation, GroundTruth, evaluate};

pub use matching::{Agreement, MatchedObject, Predictions, match_objects};

/// What chooses among the boxes that a network has found.
#[derive(Clone, PartialEq)]
pub struct Filter {
    /// The least score.
    pub score: f32,
    /// The greatest overlap (IoU) of two boxes of a class.
    pub max_iou: f32,
    /// Classes that are left out, under the names that all models have in common.
    pub hidden: BTreeSet<String>,
}

impl Filter {
    /// The boxes that pass, in order of falling score, cut off at the picture's edges.
    pub fn apply(&self, run: &Run, classes: &[String]) -> Vec<Detection> {
        let Ok(candidates) = &run.candidates else { return Vec::new() };
        let is_hidden = |name: &String| self.hidden.contains(shared_model::canonical_class(name));
        let hidden: Vec<bool> = classes.iter().map(is_hidden).collect();
        let is_hidden = |detection: &Detection| hidden.get(detection.class).copied().unwrap_or_default();
        // What suppresses a box is surer than the box: those under the threshold may go first, and save most of the work.
        let passing = candidates.iter().filter(|detection| detection.score >= self.score && !is_hidden(detection));
        let mut boxes = nms(&passing.copied().collect::<Vec<_>>(), self.max_iou);
        clip(&mut boxes, run.size.0 as usize, run.size.1 as usize);
        boxes
    }
}

/// What the panels show of a picture, matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Per panel: its boxes over the threshold; `None` until it has looked.
    pub predictions: Vec<Option<Predictions>>,
    /// The objects, in order of falling score.
    pub objects: Vec<MatchedObject>,
    /// What really is in the picture, where the visitor has said so.
    pub truth: Option<Arc<GroundTruth>>,
    /// Per panel: its boxes beside the truth.
    pub evaluations: Vec<Option<Evaluation>>,
}

impl Comparison {
    /// Matches predictions, one entry a panel, with each other and with the truth.
    pub fn new(predictions: Vec<Option<Predictions>>, truth: Option<Arc<GroundTruth>>) -> Self {
        let objects = match_objects(&predictions.iter().map(Option::as_ref).collect::<Vec<_>>());
        let evaluated = |predictions: &Option<Predictions>| {
            let Predictions { detections, classes } = predictions.as_ref()?;
            Some(evaluate(detections, classes, truth.as_deref()?))
        };
        let evaluations = predictions.iter().map(evaluated).collect();
        Self { predictions, objects, truth, evaluations }
    }

    /// Matches what `panels` found in the picture of this number. Reactive in the panels' runs and classes.
    pub fn of_panels(panels: &[Panel], picture: Option<u32>, truth: Option<Arc<GroundTruth>>, filter: &Filter) -> Self {
        let predictions = panels.iter().map(|panel| {
            let run = panel.run(picture?)?;
            let classes = panel.classes();
            Some(Predictions { detections: filter.apply(&run, &classes), classes })
        });
        Self::new(predictions.collect(), truth)
    }

    /// The share of objects that all panels find, 0 to 1; nothing where there is nothing to agree on.
    pub fn agreement_rate(&self) -> Option<f64> {
        let looked = self.predictions.iter().flatten().count();
        let agreed = self.objects.iter().filter(|object| object.is_agreed()).count();
        (looked > 1 && !self.objects.is_empty()).then(|| agreed as f64 / self.objects.len() as f64)
    }
}

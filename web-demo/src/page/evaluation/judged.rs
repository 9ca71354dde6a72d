//! What one model found in one picture, beside what is in it.

use std::collections::BTreeSet;

use shared_model::evaluation::{MAX_IOU, MIN_SCORE, PictureCounts};
use shared_model::{Detection, canonical_class, nms};

use crate::page::compare::Filter;
use crate::page::panel::Run;
use crate::page::truth::{DetectionOutcome, GroundTruth, ObjectOutcome, evaluate};

/// What a model found in an annotated picture, both by the official settings and by the page's.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedRun {
    /// The boxes that the official score counts.
    pub official: Vec<Detection>,
    /// The boxes that the page shows if its threshold is the least, in order of falling score, and what came of them.
    pub shown: Vec<(Detection, DetectionOutcome)>,
    /// Whether each object of the truth is to be found: it is of a class that the model knows, and not difficult.
    pub wanted: Vec<bool>,
}

/// The boxes of a picture that are right or wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecidedBoxes {
    /// Score, and whether it is right, in order of falling score.
    pub boxes: Vec<(f32, bool)>,
    /// Objects that were to be found: of classes that the model knows, without difficult ones.
    pub objects: usize,
}

impl JudgedRun {
    /// Compares what a network found with the truth; `classes` are the names of the model's. Of boxes of a class that overlap
    /// by more than `max_iou` (IoU), the page shows the best. `None` where the run failed.
    pub fn new(run: &Run, classes: &[String], truth: &GroundTruth, max_iou: f32) -> Option<Self> {
        let candidates = run.candidates.as_ref().ok()?;
        let passing: Vec<_> = candidates.iter().copied().filter(|found| found.score >= MIN_SCORE).collect();
        let filter = Filter { score: MIN_SCORE, max_iou, hidden: BTreeSet::new() };
        let shown = filter.apply(run, classes);
        let evaluation = evaluate(&shown, classes, truth);
        let counts = |outcome: &ObjectOutcome| matches!(outcome, ObjectOutcome::Found | ObjectOutcome::FalseNegative);
        Some(Self {
            official: nms(&passing, MAX_IOU),
            wanted: evaluation.objects.iter().map(counts).collect(),
            shown: shown.into_iter().zip(evaluation.detections).collect(),
        })
    }

    /// The boxes that are right or wrong; `known` are the names of the model's classes. Boxes of classes that do not occur in
    /// the whole set (`occurring`, names of [`canonical_class`]) are left out, as they are of AP.
    pub fn decided(&self, known: &[String], occurring: &BTreeSet<&str>) -> DecidedBoxes {
        let occurs: Vec<bool> = known.iter().map(|name| occurring.contains(canonical_class(name))).collect();
        let decide = |&(Detection { score, class, .. }, outcome): &(Detection, DetectionOutcome)| match outcome {
            DetectionOutcome::TruePositive(_) => Some((score, true)),
            DetectionOutcome::FalsePositive if occurs.get(class).copied().unwrap_or_default() => Some((score, false)),
            DetectionOutcome::FalsePositive | DetectionOutcome::Ignored => None,
        };
        DecidedBoxes {
            boxes: self.shown.iter().filter_map(decide).collect(),
            objects: self.wanted.iter().filter(|wanted| **wanted).count(),
        }
    }
}

impl DecidedBoxes {
    /// How many boxes are right and wrong, if those under `threshold` are left out.
    pub fn counts(&self, threshold: f32) -> PictureCounts {
        let kept = self.boxes.partition_point(|(score, _)| *score >= threshold);
        let right = self.boxes[..kept].iter().filter(|(_, is_right)| *is_right).count();
        PictureCounts { right, wrong: kept - right, objects: self.objects }
    }
}

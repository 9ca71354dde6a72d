//! Evaluation during training: the score that `yolox-nano eval` prints, of the mean of the weights.

use std::time::Instant;

use anyhow::{Context, Result};
use shared_model::voc::Object;
use shared_model::{Detection, Detector, Weights};

use crate::data::{DataFile, TrainingSet};
use crate::eval::{MAX_IOU, MIN_SCORE, Report, detect_all};

/// The pictures that weights are scored on.
#[derive(Clone, Debug)]
pub struct Validation {
    /// The pictures' files.
    pub pictures: Vec<DataFile>,
    /// Their annotated objects.
    pub truth: Vec<Vec<Object>>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The score.
    pub report: Report,
    /// The detections in each picture.
    pub found: Vec<Vec<Detection>>,
    /// How long it took.
    pub seconds: f64,
}

impl Validation {
    /// The pictures of a set.
    pub fn new(set: &TrainingSet) -> Self {
        let object = |class: usize| set.class_names[class].clone();
        let objects = |item: &crate::data::Item| {
            let boxes = item.boxes.iter();
            boxes.map(|b| Object { class: object(b.class), difficult: b.difficult, bbox: b.bbox }).collect()
        };
        Self {
            pictures: set.items.iter().map(|item| item.picture.clone()).collect(),
            truth: set.items.iter().map(objects).collect(),
        }
    }

    /// Scores weights.
    ///
    /// # Errors
    /// Fails where a picture cannot be read, naming it, or none has an object.
    pub fn score(&self, weights: &Weights) -> Result<Scored> {
        let started = Instant::now();
        let detector = Detector::new(weights)?;
        let found = detect_all(&detector, &self.pictures, MIN_SCORE, MAX_IOU, &|| ())?;
        let report = Report::new(&self.truth, &found, &weights.metadata.class_names).context("evaluation")?;
        Ok(Scored { report, found, seconds: started.elapsed().as_secs_f64() })
    }
}

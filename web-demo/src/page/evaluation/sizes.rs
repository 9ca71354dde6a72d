//! How many objects a model finds, by their size in the picture.

use super::{ModelEvaluation, SetEvaluation};
use crate::page::truth::DetectionOutcome;

/// COCO's limits between small, medium and large objects, in square pixels of the picture: 32 x 32 and 96 x 96.
const LIMITS: [f32; 2] = [1024.0, 9216.0];

/// Objects of a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Objects to be found: of classes that the model knows, without difficult ones.
    pub objects: usize,
    /// Those that were.
    pub found: usize,
}

/// Small, medium and large objects, if boxes with scores under `threshold` are left out.
pub fn by_size(set: &SetEvaluation, model: &ModelEvaluation, threshold: f32) -> [SizeClass; 3] {
    let mut sizes = [SizeClass::default(); 3];
    for (picture, run) in set.pictures.iter().zip(&model.judged) {
        let objects = &picture.truth.objects;
        let size = |i: usize| {
            let b = objects[i].bbox;
            let area = (b.x2 - b.x1) * (b.y2 - b.y1);
            LIMITS.iter().filter(|limit| area >= **limit).count()
        };
        (0..objects.len()).filter(|&i| run.wanted[i]).for_each(|i| sizes[size(i)].objects += 1);
        for (detection, outcome) in &run.shown {
            if let DetectionOutcome::TruePositive(i) = *outcome
                && detection.score >= threshold
            {
                sizes[size(i)].found += 1;
            }
        }
    }
    sizes
}

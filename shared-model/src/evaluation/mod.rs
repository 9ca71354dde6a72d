//! Pascal VOC's score of a detector, as the official YOLOX evaluator computes it (`yolox/evaluators/voc_eval.py`): one
//! evaluator for the command line and the page.

mod average_precision;
mod bootstrap;
mod class_map;
mod confusion;
mod operating;
mod ranked;
mod report;

use serde::Serialize;

use crate::voc::VocBox;

pub use average_precision::{Curve, ScoredBox, Truth, matches};
pub use bootstrap::{Ap50Bootstrap, Difference, PictureCounts, f1_difference};
pub use class_map::ClassMap;
pub use confusion::Confusion;
pub use operating::{OperatingPoint, best_f1, operating_points};
pub use ranked::RankedBoxes;
pub use report::{EvalReport, Figures, MAX_IOU, MIN_SCORE, NothingToScore, ReportRow, collect};

/// The IoU thresholds .50:.05:.95, at which AP is averaged; AP50 is the first alone.
pub fn thresholds() -> [f64; 10] {
    // Rounded as numpy.linspace(0.5, 0.95, 10), with which the official figures are computed.
    std::array::from_fn(|i| if i == 9 { 0.95 } else { 0.5 + i as f64 * ((0.95 - 0.5) / 9.0) })
}

/// What is known about one class.
#[derive(Clone, Debug, Default)]
struct Class {
    truths: Vec<Vec<Truth>>,
    detections: Vec<ScoredBox>,
}

/// Collects the detections and the annotated objects of a set of images.
#[derive(Clone, Debug)]
pub struct Evaluator {
    names: Vec<String>,
    classes: Vec<Class>,
    images: usize,
}

/// AP of one class at each of the [`thresholds`], 0-1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Its name in the annotations.
    pub class: String,
    /// Annotated objects, without difficult ones.
    pub objects: usize,
    /// Mean of the best precisions at recalls of 0, 0.1 ... 1: the metric of VOC2007.
    pub ap_11: [f64; 10],
    /// Area under the curve of precision over recall: the metric of later VOC years.
    pub ap_area: [f64; 10],
}

impl Evaluator {
    /// For objects of the classes called `names`.
    pub fn new(names: Vec<String>) -> Self {
        let classes = vec![Class::default(); names.len()];
        Self { names, classes, images: 0 }
    }

    /// Adds an image: its annotated objects and what was detected, each with the position of its class in the names.
    pub fn add(
        &mut self,
        truths: impl IntoIterator<Item = (usize, Truth)>,
        detections: impl IntoIterator<Item = (usize, f64, VocBox)>,
    ) {
        let image = self.images;
        self.images += 1;
        for class in &mut self.classes {
            class.truths.push(Vec::new());
        }
        for (class, truth) in truths {
            self.classes[class].truths[image].push(truth);
        }
        for (class, score, bbox) in detections {
            self.classes[class].detections.push(ScoredBox { image, score, bbox });
        }
    }

    /// The score of every class, in the order of the names; `None` where a class has no object (difficult ones aside),
    /// so that its AP is not defined.
    pub fn scores(&self) -> Vec<Option<ClassScore>> {
        let score = |(name, class): (&String, &Class)| {
            let objects = class.truths.iter().flatten().filter(|truth| !truth.difficult).count();
            if objects == 0 {
                return None;
            }
            let matches = matches(&class.detections, &class.truths);
            let curves = thresholds().map(|min_iou| Curve::new(&matches, &class.truths, min_iou));
            let ap_11 = std::array::from_fn(|i| curves[i].ap_11());
            let ap_area = std::array::from_fn(|i| curves[i].ap_area());
            Some(ClassScore { class: name.clone(), objects, ap_11, ap_area })
        };
        self.names.iter().zip(&self.classes).map(score).collect()
    }

    /// Precision over recall of every class that has an object (difficult ones aside), with its name.
    pub fn curves(&self, min_iou: f64) -> Vec<(&str, Curve)> {
        let with_objects = self
            .names
            .iter()
            .zip(&self.classes)
            .filter(|(_, class)| class.truths.iter().flatten().any(|truth| !truth.difficult));
        with_objects
            .map(|(name, class)| {
                (name.as_str(), Curve::new(&matches(&class.detections, &class.truths), &class.truths, min_iou))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: VocBox = VocBox { xmin: 1.0, ymin: 1.0, xmax: 10.0, ymax: 10.0 };

    #[test]
    fn difficult_objects_neither_count_nor_hurt() {
        let mut evaluator = Evaluator::new(vec!["dog".into(), "cat".into()]);
        let easy = Truth { bbox: BOX, difficult: false };
        let hard = Truth { bbox: VocBox { xmin: 20.0, xmax: 30.0, ..BOX }, difficult: true };
        evaluator.add([(0, easy), (0, hard), (1, hard)], [(0, 0.9, hard.bbox), (0, 0.8, BOX)]);
        let scores = evaluator.scores();
        let dog = scores[0].as_ref().unwrap();
        assert_eq!((dog.objects, dog.ap_area[0]), (1, 1.0));
        assert!((dog.ap_11[9] - 1.0).abs() < 1e-12);
        assert_eq!(scores[1], None, "a class with difficult objects alone has no AP");
    }

    #[test]
    fn thresholds_are_coco_s() {
        let expected = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
        assert!(thresholds().iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12));
    }
}

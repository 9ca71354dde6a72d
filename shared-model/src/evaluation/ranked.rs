//! AP50 of a detector on drawings of the same images, as a bootstrap asks for by the thousand.

use super::average_precision::{by_score, matches, verdicts};
use super::{collect, thresholds};
use crate::detection::Detection;
use crate::voc::VocObject;

/// Levels of recall at which VOC2007's metric reads precision.
const LEVELS: usize = 11;

/// A detector's boxes on a set of images, in order of falling score, each judged once: whether a box is right does not depend
/// on the other images.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedBoxes {
    images: usize,
    classes: Vec<RankedClass>,
}

/// The boxes of a class that the detector knows.
#[derive(Clone, Debug, PartialEq)]
struct RankedClass {
    /// Objects in each image, without difficult ones.
    objects: Vec<usize>,
    /// The image, and whether the box is right; those that do not count are left out.
    boxes: Vec<(usize, bool)>,
}

impl RankedBoxes {
    /// What was detected in each image beside its annotated objects; `known` are the names of the weights' classes.
    pub fn new(truth: &[Vec<VocObject>], found: &[Vec<Detection>], known: &[String]) -> Self {
        let (evaluator, unknown) = collect(truth, found, known);
        let is_known = |name: &String| !unknown.contains(name);
        let classes = evaluator.names.iter().zip(&evaluator.classes).filter(|(name, _)| is_known(name));
        let classes = classes.map(|(_, class)| {
            let right = verdicts(&matches(&class.detections, &class.truths), &class.truths, thresholds()[0]);
            let boxes = by_score(&class.detections).into_iter().zip(right);
            RankedClass {
                objects: class.truths.iter().map(|of| of.iter().filter(|truth| !truth.difficult).count()).collect(),
                boxes: boxes.filter_map(|(detection, right)| Some((detection.image, right?))).collect(),
            }
        });
        Self { images: truth.len(), classes: classes.collect() }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// AP50 in per cent (11 points, the mean over classes), if image `i` is there `counts[i]` times; `None` where no class has
    /// an object.
    pub fn ap50(&self, counts: &[usize]) -> Option<f64> {
        let (mut sum, mut classes) = (0.0, 0);
        for RankedClass { objects, boxes } in &self.classes {
            let objects: usize = objects.iter().zip(counts).map(|(objects, count)| objects * count).sum();
            if objects == 0 {
                continue;
            }
            let (mut right, mut all) = (0, 0);
            // Of recalls of at least 0, 0.1 ... 1.
            let mut best = [0.0_f64; LEVELS];
            for &(image, is_right) in boxes {
                all += counts[image];
                if is_right && counts[image] > 0 {
                    right += counts[image];
                    let (recall, precision) = (right as f64 / objects as f64, right as f64 / all as f64);
                    let reached = best.iter_mut().enumerate().take_while(|(level, _)| recall >= *level as f64 * 0.1);
                    reached.for_each(|(_, best)| *best = best.max(precision));
                }
            }
            sum += best.iter().map(|best| best / LEVELS as f64).sum::<f64>();
            classes += 1;
        }
        (classes > 0).then(|| 100.0 * sum / f64::from(classes))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::BBox;
    use crate::evaluation::EvalReport;
    use crate::voc::VocBox;

    /// Images with objects of two classes at places of a row, and boxes about them.
    fn images(count: usize) -> (Vec<Vec<VocObject>>, Vec<Vec<Detection>>) {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let image = |_| {
            let objects = (0..4).map(|i| VocObject {
                class: if random.random_bool(0.5) { "cat" } else { "dog" }.into(),
                difficult: random.random_bool(0.1),
                bbox: VocBox {
                    xmin: 30.0 * f64::from(i) + 1.0,
                    ymin: 1.0,
                    xmax: 30.0 * f64::from(i) + 20.0,
                    ymax: 20.0,
                },
            });
            let objects = objects.collect();
            let detections = (0..12).map(|_| {
                let x = random.random_range(0.0..110.0);
                let bbox = BBox { x1: x, y1: 0.0, x2: x + 20.0, y2: 20.0 };
                Detection { class: random.random_range(0..2), score: random.random(), bbox }
            });
            (objects, detections.collect())
        };
        (0..count).map(image).unzip()
    }

    #[test]
    fn drawings_score_as_the_images_themselves() {
        let (truth, found) = images(12);
        let known = ["cat", "dog"].map(String::from);
        let ranked = RankedBoxes::new(&truth, &found, &known);
        for counts in [vec![1; 12], vec![3, 0, 1, 2, 0, 0, 1, 1, 4, 0, 0, 0]] {
            let drawn = |of: &dyn Fn(usize) -> usize| -> Vec<usize> {
                counts.iter().enumerate().flat_map(|(i, &count)| vec![of(i); count]).collect()
            };
            let order = drawn(&|i| i);
            let truth: Vec<_> = order.iter().map(|&i| truth[i].clone()).collect();
            let found: Vec<_> = order.iter().map(|&i| found[i].clone()).collect();
            let expected = EvalReport::new(&truth, &found, &known).unwrap().mean.ap50_11;
            let ap50 = ranked.ap50(&counts).unwrap();
            // Images that are there twice have equal scores, between which precision may be read there, and not here.
            let exact = counts.iter().all(|&count| count < 2);
            assert!((ap50 - expected).abs() < if exact { 1e-9 } else { 2.0 }, "{ap50}, not {expected}");
            assert!(expected > 5.0 && expected < 95.0, "{expected}");
        }
        assert_eq!(ranked.ap50(&[0; 12]), None);
    }
}

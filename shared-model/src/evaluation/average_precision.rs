//! Average precision of one class.

use crate::voc::{VocBox, most_overlapping};

/// An annotated object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Where it is.
    pub bbox: VocBox,
    /// Difficult objects are not asked for: finding one counts neither as right nor as wrong.
    pub difficult: bool,
}

/// A detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// Number of its image.
    pub image: usize,
    /// How sure the detector is.
    pub score: f64,
    /// Where the object is.
    pub bbox: VocBox,
}

/// The annotated object that a detection overlaps most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestOverlap {
    image: usize,
    truth: usize,
    iou: f64,
}

/// For each detection, in order of falling score, the object of its image that it overlaps most; `None` where its
/// image has no object of the class. Equal scores keep their order.
pub fn matches(detections: &[ScoredBox], truths: &[Vec<Truth>]) -> Vec<Option<BestOverlap>> {
    let best = |detection: &ScoredBox| {
        let image = detection.image;
        let objects = truths[image].iter().map(|truth| truth.bbox).enumerate();
        most_overlapping(&detection.bbox, objects).map(|(truth, iou)| BestOverlap { image, truth, iou })
    };
    by_score(detections).into_iter().map(best).collect()
}

/// In order of falling score. Equal scores keep their order.
pub(super) fn by_score(detections: &[ScoredBox]) -> Vec<&ScoredBox> {
    let mut sorted: Vec<&ScoredBox> = detections.iter().collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    sorted
}

/// Whether each detection is right: its best object overlaps it by more than `min_iou` and was not found before; a second
/// detection of an object is wrong. `None`: its object is difficult, so that it does not count.
pub(super) fn verdicts(matches: &[Option<BestOverlap>], truths: &[Vec<Truth>], min_iou: f64) -> Vec<Option<bool>> {
    let mut found: Vec<Vec<bool>> = truths.iter().map(|truths| vec![false; truths.len()]).collect();
    let verdict = |best: &Option<BestOverlap>| match best {
        Some(best) if best.iou > min_iou => {
            let found = &mut found[best.image][best.truth];
            (!truths[best.image][best.truth].difficult).then(|| !std::mem::replace(found, true))
        }
        _ => Some(false),
    };
    matches.iter().map(verdict).collect()
}

/// Precision and recall after each detection, in order of falling score.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    recall: f64,
    precision: f64,
}

impl Curve {
    /// Of detections that are right where their best object overlaps them by more than `min_iou` and was not found before.
    pub fn new(matches: &[Option<BestOverlap>], truths: &[Vec<Truth>], min_iou: f64) -> Self {
        let objects = truths.iter().flatten().filter(|truth| !truth.difficult).count() as f64;
        let (mut right, mut wrong) = (0.0, 0.0);
        let mut points = Vec::with_capacity(matches.len());
        for verdict in verdicts(matches, truths, min_iou) {
            match verdict {
                Some(true) => right += 1.0,
                Some(false) => wrong += 1.0,
                None => {}
            }
            let precision = right / f64::max(right + wrong, f64::EPSILON);
            points.push(Point { recall: right / objects, precision });
        }
        Self { points }
    }

    /// Recall and precision after each detection.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().map(|point| (point.recall, point.precision))
    }

    /// Mean of the best precisions at recalls of at least 0, 0.1 ... 1.
    pub fn ap_11(&self) -> f64 {
        let best_from = |recall: f64| {
            let reached = self.points.iter().filter(|point| point.recall >= recall);
            reached.map(|point| point.precision).fold(0.0, f64::max)
        };
        // `0.1 * i` rather than exact tenths: numpy.arange(0.0, 1.1, 0.1).
        (0..=10).map(|i| best_from(f64::from(i) * 0.1) / 11.0).sum()
    }

    /// Area under the curve, each precision raised to the best one at the same or a greater recall.
    pub fn ap_area(&self) -> f64 {
        let mut area = 0.0;
        let mut best = 0.0;
        for (i, point) in self.points.iter().enumerate().rev() {
            let before = if i == 0 { 0.0 } else { self.points[i - 1].recall };
            best = f64::max(best, point.precision);
            area += (point.recall - before) * best;
        }
        area
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: VocBox = VocBox { xmin: 1.0, ymin: 1.0, xmax: 10.0, ymax: 10.0 };
    const FAR: VocBox = VocBox { xmin: 100.0, ymin: 1.0, xmax: 110.0, ymax: 10.0 };

    fn curve(detections: &[(f64, VocBox)], truths: &[VocBox]) -> Curve {
        let truths = vec![truths.iter().map(|&bbox| Truth { bbox, difficult: false }).collect()];
        let detections: Vec<_> = detections.iter().map(|&(score, bbox)| ScoredBox { image: 0, score, bbox }).collect();
        Curve::new(&matches(&detections, &truths), &truths, 0.5)
    }

    /// Right, wrong (found again), right: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1.
    #[test]
    fn a_second_detection_of_an_object_is_wrong() {
        let curve = curve(&[(0.7, FAR), (0.9, BOX), (0.8, BOX)], &[BOX, FAR]);
        assert!((curve.ap_area() - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
        assert!((curve.ap_11() - (6.0 + 5.0 * 2.0 / 3.0) / 11.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_found_scores_zero() {
        let empty = curve(&[], &[BOX]);
        assert_eq!((empty.ap_11(), empty.ap_area()), (0.0, 0.0));
    }
}

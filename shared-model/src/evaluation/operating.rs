//! Precision, recall and F1 at every threshold of the score: which threshold to choose.

use serde::Serialize;

/// What a detector achieves if detections under a score are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The least score of detections, 0-1.
    pub threshold: f32,
    /// Right detections among all, 0-1; 1 where there is none.
    pub precision: f64,
    /// Objects found among all, 0-1.
    pub recall: f64,
    /// Harmonic mean of both, 0-1.
    pub f1: f64,
}

/// The points of `thresholds`, in their order. `detections` are scores and whether each is right; `objects` is how many
/// there are to find, 0 of which gives no points.
///
/// A detection's being right must not depend on detections of lower scores, as it does not by VOC's rule.
pub fn operating_points(
    mut detections: Vec<(f32, bool)>,
    objects: usize,
    thresholds: impl IntoIterator<Item = f32>,
) -> Vec<OperatingPoint> {
    if objects == 0 {
        return Vec::new();
    }
    detections.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right_among_first = vec![0];
    for (i, (_, is_right)) in detections.iter().enumerate() {
        right_among_first.push(right_among_first[i] + usize::from(*is_right));
    }
    let point = |threshold: f32| {
        let kept = detections.partition_point(|(score, _)| *score >= threshold);
        let right = right_among_first[kept];
        OperatingPoint {
            threshold,
            precision: if kept == 0 { 1.0 } else { right as f64 / kept as f64 },
            recall: right as f64 / objects as f64,
            f1: 2.0 * right as f64 / (kept + objects) as f64,
        }
    };
    thresholds.into_iter().map(point).collect()
}

/// The point of the greatest F1, of several the one of the greatest threshold; `None` without points.
pub fn best_f1(points: &[OperatingPoint]) -> Option<OperatingPoint> {
    points.iter().copied().max_by(|a, b| a.f1.total_cmp(&b.f1).then(a.threshold.total_cmp(&b.threshold)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_at_every_threshold() {
        let detections = vec![(0.3, false), (0.9, true), (0.5, true)];
        let points = operating_points(detections, 4, [0.1, 0.3, 0.5, 0.6, 0.95]);
        let figures: Vec<_> = points.iter().map(|p| (p.precision, p.recall, p.f1)).collect();
        let low = (2.0 / 3.0, 0.5, 4.0 / 7.0);
        assert_eq!(figures, [low, low, (1.0, 0.5, 4.0 / 6.0), (1.0, 0.25, 2.0 / 5.0), (1.0, 0.0, 0.0)]);
        assert_eq!(best_f1(&points).unwrap().threshold, 0.5);
    }

    #[test]
    fn nothing_to_find_has_no_points() {
        assert!(operating_points(vec![(0.5, false)], 0, [0.5]).is_empty());
        assert_eq!(best_f1(&[]), None);
    }
}

//! Which detection has found which object of an image.

use super::{CocoDetection, CocoImageOfClass, CocoObject, MAX_DETECTIONS};
use shared_model::evaluation::thresholds;

/// What came of an image, for one range of areas.
pub(super) struct Matched {
    /// Objects that are to be found.
    pub(super) objects: usize,
    /// In order of falling score.
    pub(super) detections: Vec<MatchedDetection>,
}

/// What came of a detection.
pub(super) struct MatchedDetection {
    pub(super) score: f64,
    /// At each of the thresholds, whether it is right; `None` where it does not count.
    pub(super) right: [Option<bool>; 10],
}

/// Matches the best detections, better ones first, each with the free object that it overlaps most. Crowds and objects of
/// other sizes are taken only where no other is left, and neither count nor hurt; nor do detections of other sizes that
/// have none.
pub(super) fn matched(image: &CocoImageOfClass, [least, most]: [f64; 2]) -> Matched {
    let is_outside = |area: f64| area < least || area > most;
    let is_ignored = |object: &CocoObject| object.crowd || is_outside(object.area);
    // Those that count come first.
    let mut objects: Vec<&CocoObject> = image.objects.iter().collect();
    objects.sort_by_key(|object| is_ignored(object));
    let wanted = objects.iter().filter(|object| !is_ignored(object)).count();
    let mut detections: Vec<&CocoDetection> = image.detections.iter().collect();
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(MAX_DETECTIONS[2]);
    let overlaps: Vec<Vec<f64>> =
        detections.iter().map(|detection| objects.iter().map(|object| overlap(detection, object)).collect()).collect();

    let mut matched: Vec<_> =
        detections.iter().map(|detection| MatchedDetection { score: detection.score, right: [None; 10] }).collect();
    for (threshold, min_iou) in thresholds().into_iter().enumerate() {
        let mut taken = vec![false; objects.len()];
        for (i, detection) in detections.iter().enumerate() {
            let mut best = None;
            let mut best_iou = f64::min(min_iou, 1.0 - 1e-10);
            for (j, object) in objects.iter().enumerate() {
                if taken[j] && !object.crowd {
                    continue;
                }
                // What counts goes before what does not, however well that would fit.
                if j >= wanted && best.is_some_and(|best| best < wanted) {
                    break;
                }
                // Of several that fit alike, the last.
                if overlaps[i][j] >= best_iou {
                    (best, best_iou) = (Some(j), overlaps[i][j]);
                }
            }
            let [.., width, height] = detection.bbox;
            matched[i].right[threshold] = match best {
                Some(j) => {
                    taken[j] = true;
                    (j < wanted).then_some(true)
                }
                None => (!is_outside(width * height)).then_some(false),
            };
        }
    }
    Matched { objects: wanted, detections: matched }
}

/// Intersection over union; of a crowd, over the detection's area alone.
fn overlap(detection: &CocoDetection, object: &CocoObject) -> f64 {
    let ([x, y, width, height], [left, top, object_width, object_height]) = (detection.bbox, object.bbox);
    let w = f64::min(width + x, object_width + left) - f64::max(x, left);
    let h = f64::min(height + y, object_height + top) - f64::max(y, top);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let (both, area) = (w * h, width * height);
    both / if object.crowd { area } else { area + object_width * object_height - both }
}

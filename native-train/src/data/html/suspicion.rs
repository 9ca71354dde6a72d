//! What looks odd about an image and its boxes: often right, but what a person should see first.

use shared_model::voc::VocObject;

use super::{Looked, sides};

/// A box is tiny whose area is that of a square of less than this, in pixels where the image's longer side is 416.
const TINY: f64 = 8.0;
const INPUT: f64 = 416.0;

/// A box is long whose sides are further apart than this.
const LONG: f64 = 8.0;

/// Two boxes of a class are one that overlap by more (IoU).
const SAME: f64 = 0.85;

/// A box is as large as the image that covers more of it.
const WHOLE: f64 = 0.98;

/// How many objects are not many, for images with these numbers: up to three standard deviations over the mean.
pub(super) fn usual_count(counts: impl Iterator<Item = usize>) -> usize {
    let counts: Vec<f64> = counts.map(|count| count as f64).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let centre = mean(&counts);
    let spread = mean(&counts.iter().map(|count| (count - centre).powi(2)).collect::<Vec<_>>()).sqrt();
    ((centre + 3.0 * spread).ceil() as usize).max(10)
}

/// What is wrong or odd about an image, and how much; more than `most` objects are many.
pub(super) fn of(image: &Looked, most: usize) -> (Vec<String>, f64) {
    let Looked { problems, objects, .. } = image;
    let mut reasons = Vec::new();
    let mut weight = 0.0;
    let mut add = |count: usize, each: f64, what: &str| {
        if count > 0 {
            reasons.push(if count == 1 { what.to_string() } else { format!("{what} ({count})") });
            // Many of a kind say little more than some.
            weight += each * (1.0 + (count as f64).ln());
        }
    };
    let mut kinds: Vec<_> = problems.iter().map(|problem| problem.kind).collect();
    kinds.sort_unstable();
    for same in kinds.chunk_by(|a, b| a == b) {
        add(same.len(), if same[0].poisons_training() { 10.0 } else { 4.0 }, same[0].plural());
    }

    let Some(size) = image.size else { return (reasons, weight) };
    let scale = INPUT / size[0].max(size[1]);
    let boxes: Vec<_> = objects.iter().filter_map(|object| Some((object, sides(&object.bbox)?))).collect();
    let count = |is_odd: &dyn Fn(&VocObject, [f64; 2]) -> bool| {
        boxes.iter().filter(|(object, sides)| is_odd(object, *sides)).count()
    };
    add(count(&|_, [width, height]| (width * height).sqrt() * scale < TINY), 3.0, "tiny box");
    add(count(&|_, [width, height]| f64::max(width / height, height / width) > LONG), 3.0, "long and thin box");
    add(count(&|_, [width, height]| width * height > WHOLE * size[0] * size[1]), 2.0, "box as large as the image");
    let same = boxes.iter().enumerate().filter(|(i, (object, _))| {
        let others = boxes[..*i].iter().filter(|(other, _)| other.class == object.class);
        others.into_iter().any(|(other, _)| other.bbox.iou(&object.bbox) > SAME)
    });
    add(same.count(), 3.0, "nearly the same box twice");
    add(usize::from(objects.len() > most), 2.0, "many objects");
    let at_edge = count(&|object, _| {
        let [x1, y1, x2, y2] = object.bbox.corners();
        [x1, y1, size[0] - x2, size[1] - y2].iter().filter(|gap| **gap < 1.5).count() >= 2
    });
    add(at_edge, 0.5, "box at two edges");
    (reasons, weight)
}

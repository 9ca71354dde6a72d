//! COCO's score of a detector, as pycocotools computes it for boxes (`pycocotools/cocoeval.py`): average precision at 101
//! recalls, by size of the objects, and average recall.

mod matching;
mod report;
mod results;

use rayon::prelude::*;
use shared_model::evaluation::thresholds;

use matching::{Matched, matched};

pub use report::{CocoReport, CocoRow};
pub use results::results;

/// Recalls at which precision is read: 0, 0.01 ... 1.
const RECALLS: usize = 101;

/// Numbers of detections in an image, the best ones, that recall is told for. The last is also the most that count.
pub const MAX_DETECTIONS: [usize; 3] = [1, 10, 100];

/// Areas of objects in square pixels: all, small, medium, large. Both ends belong to each.
pub const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// An annotated object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CocoObject {
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// In square pixels: that of the outline, where there is one.
    pub area: f64,
    /// Whether it is a crowd: any number of detections may be of it, and they neither count nor hurt.
    pub crowd: bool,
}

/// What a model found of the class that is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CocoDetection {
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// How sure the detector is.
    pub score: f64,
}

/// What is in an image of one class, and what was found.
#[derive(Clone, Debug, Default)]
pub struct CocoImageOfClass {
    pub objects: Vec<CocoObject>,
    pub detections: Vec<CocoDetection>,
}

/// Precision and recall of one class for one range of areas, at each of the [`thresholds`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CocoScore {
    /// Mean of the precisions at the 101 recalls, with 100 detections an image.
    pub ap: [f64; 10],
    /// Greatest recall, with each of [`MAX_DETECTIONS`].
    pub recall: [[f64; 10]; 3],
}

/// The score of one class in each of [`AREAS`]; `None` where no object is of that size. Images come in the order of their
/// ids, which decides between equal scores.
pub fn score(images: &[CocoImageOfClass]) -> [Option<CocoScore>; 4] {
    AREAS.map(|area| {
        let matched: Vec<Matched> = images.iter().map(|image| matched(image, area)).collect();
        let objects = matched.iter().map(|image| image.objects).sum::<usize>();
        (objects > 0).then(|| accumulate(&matched, objects))
    })
}

/// The scores of several classes.
pub fn scores(classes: &[Vec<CocoImageOfClass>]) -> Vec<[Option<CocoScore>; 4]> {
    classes.par_iter().map(|images| score(images)).collect()
}

fn accumulate(images: &[Matched], objects: usize) -> CocoScore {
    let mut recall = [[0.0; 10]; 3];
    let mut ap = [0.0; 10];
    for (most, recall) in MAX_DETECTIONS.into_iter().zip(&mut recall) {
        let mut sorted: Vec<_> = images.iter().flat_map(|image| image.detections.iter().take(most)).collect();
        sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
        for threshold in 0..thresholds().len() {
            let outcomes = sorted.iter().filter_map(|detection| detection.right[threshold]);
            let (mut right, mut wrong) = (0.0, 0.0);
            let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
            for is_right in outcomes {
                if is_right {
                    right += 1.0;
                } else {
                    wrong += 1.0;
                }
                recalls.push(right / objects as f64);
                precisions.push(right / (right + wrong + f64::EPSILON));
            }
            recall[threshold] = right / objects as f64;
            if most == MAX_DETECTIONS[2] {
                ap[threshold] = mean_precision(&recalls, &mut precisions);
            }
        }
    }
    CocoScore { ap, recall }
}

/// Mean of the best precisions at the first detections that reach each of the recalls.
fn mean_precision(recalls: &[f64], precisions: &mut [f64]) -> f64 {
    for i in (1..precisions.len()).rev() {
        precisions[i - 1] = f64::max(precisions[i - 1], precisions[i]);
    }
    // As numpy.linspace(0, 1, 101) rounds them.
    let wanted = (0..RECALLS).map(|i| i as f64 * 0.01);
    let read = |wanted: f64| precisions.get(recalls.partition_point(|recall| *recall < wanted)).copied().unwrap_or(0.0);
    wanted.map(read).sum::<f64>() / RECALLS as f64
}

#[cfg(test)]
mod tests;

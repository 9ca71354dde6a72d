//! Which class is taken for which.

use crate::detection::Detection;
use crate::voc::{VocBox, VocObject, matched};
use serde::Serialize;

/// How often objects of each class were detected as each class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The classes; both axes have one place more, for "nothing".
    pub class_names: Vec<String>,
    /// Detections with a lower score do not count.
    pub min_score: f32,
    /// `counts[annotated][detected]`; the last row are detections of nothing, the last column objects that were missed.
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// Matches detections, better ones first, with the object that they overlap most, whatever its class, if nobody has it.
    /// Difficult objects and what is matched with them do not count.
    pub fn new(truth: &[Vec<VocObject>], found: &[Vec<Detection>], class_names: &[String], min_score: f32) -> Self {
        let nothing = class_names.len();
        let mut counts = vec![vec![0; nothing + 1]; nothing + 1];
        for (objects, detections) in truth.iter().zip(found) {
            let mut open: Vec<&VocObject> = objects.iter().collect();
            let mut detections: Vec<&Detection> = detections.iter().filter(|d| d.score >= min_score).collect();
            detections.sort_by(|a, b| b.score.total_cmp(&a.score));
            let class = |object: &VocObject| class_names.iter().position(|name| *name == object.class);
            for detection in detections {
                let bbox = VocBox::from(detection.bbox);
                match matched(&bbox, open.iter().map(|object| object.bbox).enumerate()) {
                    Some(i) => {
                        let object = open.remove(i);
                        if let Some(class) = class(object).filter(|_| !object.difficult) {
                            counts[class][detection.class] += 1;
                        }
                    }
                    None => counts[nothing][detection.class] += 1,
                }
            }
            for class in open.into_iter().filter(|object| !object.difficult).filter_map(class) {
                counts[class][nothing] += 1;
            }
        }
        Self { class_names: class_names.to_vec(), min_score, counts }
    }
}

#[cfg(test)]
mod tests {
    use crate::detection::BBox;

    use super::*;

    #[test]
    fn every_object_and_every_detection_has_one_place() {
        let object = |class: &str, x: f64, difficult| VocObject {
            class: class.into(),
            difficult,
            bbox: VocBox { xmin: x, ymin: 1.0, xmax: x + 9.0, ymax: 10.0 },
        };
        let detection = |class, score, x: f32| Detection {
            class,
            score,
            bbox: BBox { x1: x - 1.0, y1: 0.0, x2: x + 8.0, y2: 9.0 },
        };
        let truth = [vec![
            object("cat", 1.0, false),
            object("cat", 101.0, false),
            object("dog", 201.0, false),
            object("dog", 301.0, true),
            object("dog", 401.0, true),
        ]];
        let found = [vec![
            detection(0, 0.9, 1.0),
            detection(0, 0.8, 1.0),
            detection(1, 0.7, 101.0),
            detection(0, 0.6, 301.0),
            detection(1, 0.1, 201.0),
        ]];
        let confusion = Confusion::new(&truth, &found, &["cat".into(), "dog".into()], 0.25);
        // Cat as cat and cat as dog; the dog was missed; the cat was found again.
        assert_eq!(confusion.counts, [vec![1, 1, 0], vec![0, 0, 1], vec![1, 0, 0]]);
    }
}

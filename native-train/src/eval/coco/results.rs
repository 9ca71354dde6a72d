//! Detections in the format of COCO's results (<https://cocodataset.org/#format-results>).

use serde::Serialize;
use shared_model::evaluation::ClassMap;
use shared_model::{BBox, Detection};

use crate::data::labels::Labels;

/// A detection, as pycocotools reads it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CocoResult {
    image_id: i64,
    category_id: i64,
    /// Left, top, width, height in pixels.
    bbox: [f64; 4],
    score: f64,
}

/// All detections, by the ids of the data set's images and classes; those of classes that it does not have are left out.
/// `known` are the names of the weights' classes.
pub fn results(truth: &Labels, found: &[Vec<Detection>], known: &[String]) -> Vec<CocoResult> {
    let names: Vec<String> = truth.numbered.iter().map(|class| class.name.clone()).collect();
    let map = ClassMap::new(known, &names);
    let images = truth.images.iter().zip(found);
    let of_image = images.flat_map(|(image, found)| {
        found.iter().filter_map(|detection| {
            Some(CocoResult {
                image_id: image.id,
                category_id: truth.numbered[map.to_data(detection.class)?].id,
                bbox: xywh(detection.bbox),
                score: f64::from(detection.score),
            })
        })
    });
    of_image.collect()
}

/// Left, top, width and height.
pub(super) fn xywh(b: BBox) -> [f64; 4] {
    let [x1, y1, x2, y2] = [b.x1, b.y1, b.x2, b.y2].map(f64::from);
    [x1, y1, x2 - x1, y2 - y1]
}

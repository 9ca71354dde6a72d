//! COCO's figures of a detector on a set of images.

use anyhow::{Result, anyhow};
use comfy_table::Table;
use serde::Serialize;
use shared_model::Detection;
use shared_model::evaluation::ClassMap;

use super::results::xywh;
use super::{CocoDetection, CocoImageOfClass, CocoObject, CocoScore, scores};
use crate::data::labels::{LabelledImage, Labels};
use crate::table::table;

/// COCO's figures, per cent; `None` where no object is of that size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoReport {
    /// Number of images.
    pub images: usize,
    /// Average precision: mean over classes, IoU .50:.05:.95 and 101 recalls.
    pub ap: Option<f64>,
    /// At IoU .50.
    pub ap50: Option<f64>,
    /// At IoU .75.
    pub ap75: Option<f64>,
    /// Of objects of at most 32 x 32 pixels.
    pub ap_small: Option<f64>,
    /// Of objects of 32 x 32 to 96 x 96 pixels.
    pub ap_medium: Option<f64>,
    /// Of objects of at least 96 x 96 pixels.
    pub ap_large: Option<f64>,
    /// Average recall with 1 detection an image and class.
    pub ar_1: Option<f64>,
    /// With 10.
    pub ar_10: Option<f64>,
    /// With 100.
    pub ar_100: Option<f64>,
    /// With 100, of objects of at most 32 x 32 pixels.
    pub ar_small: Option<f64>,
    /// With 100, of objects of 32 x 32 to 96 x 96 pixels.
    pub ar_medium: Option<f64>,
    /// With 100, of objects of at least 96 x 96 pixels.
    pub ar_large: Option<f64>,
    /// The classes that occur and that the weights know.
    pub per_class: Vec<CocoRow>,
    /// Classes with objects that the weights do not know: not in the means.
    pub unknown_classes: Vec<String>,
}

/// A class's figures, per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoRow {
    pub class: String,
    /// Annotated objects, without crowds.
    pub objects: usize,
    /// Mean over IoU .50:.05:.95.
    pub ap: f64,
    /// At IoU .50.
    pub ap50: f64,
    /// At IoU .75.
    pub ap75: f64,
}

impl CocoReport {
    /// Scores what was detected in each image, in pixels of its file as the labels are; `known` are the names of the
    /// weights' classes.
    ///
    /// # Errors
    /// Fails where the weights know no class with an object.
    pub fn new(truth: &Labels, found: &[Vec<Detection>], known: &[String]) -> Result<Self> {
        let names: Vec<String> = truth.numbered.iter().map(|class| class.name.clone()).collect();
        let map = ClassMap::new(known, &names);
        // pycocotools goes through images by their ids.
        let mut order: Vec<usize> = (0..truth.images.len()).collect();
        order.sort_by_key(|&i| truth.images[i].id);
        let mut classes = vec![vec![CocoImageOfClass::default(); order.len()]; names.len()];
        for (place, &i) in order.iter().enumerate() {
            add(&mut classes, place, &truth.images[i], &found[i], &names, &map);
        }
        let counts: Vec<usize> = classes
            .iter()
            .map(|images| images.iter().flat_map(|image| &image.objects).filter(|object| !object.crowd).count())
            .collect();
        let (unknown, scored): (Vec<usize>, Vec<usize>) =
            (0..names.len()).filter(|&class| counts[class] > 0).partition(|class| map.unknown().contains(class));
        if scored.is_empty() {
            let names: Vec<_> = unknown.iter().map(|&class| names[class].as_str()).collect();
            return Err(anyhow!(
                "nothing can be scored: of the images' classes ({}) the weights know none with an object",
                names.join(", ")
            ));
        }
        let classes: Vec<_> = scored.iter().map(|&class| std::mem::take(&mut classes[class])).collect();
        let scores = scores(&classes);
        let rows = scored.iter().zip(&scores).filter_map(|(&class, areas)| {
            let CocoScore { ap, .. } = areas[0]?;
            let [mean, ap50, ap75] = [mean(ap), ap[0], ap[5]].map(|figure| 100.0 * figure);
            Some(CocoRow { class: names[class].clone(), objects: counts[class], ap: mean, ap50, ap75 })
        });
        let over = |area: usize, figure: &dyn Fn(&CocoScore) -> f64| {
            let figures: Vec<f64> = scores.iter().filter_map(|areas| areas[area].as_ref()).map(figure).collect();
            (!figures.is_empty()).then(|| 100.0 * figures.iter().sum::<f64>() / figures.len() as f64)
        };
        let [ap, ap_small, ap_medium, ap_large] = [0, 1, 2, 3].map(|area| over(area, &|score| mean(score.ap)));
        let recall = |area, most: usize| over(area, &|score| mean(score.recall[most]));
        Ok(Self {
            images: truth.images.len(),
            ap,
            ap50: over(0, &|score| score.ap[0]),
            ap75: over(0, &|score| score.ap[5]),
            ap_small,
            ap_medium,
            ap_large,
            ar_1: recall(0, 0),
            ar_10: recall(0, 1),
            ar_100: recall(0, 2),
            ar_small: recall(1, 2),
            ar_medium: recall(2, 2),
            ar_large: recall(3, 2),
            per_class: rows.collect(),
            unknown_classes: unknown.into_iter().map(|class| names[class].clone()).collect(),
        })
    }

    /// The figures of each class and their means.
    pub fn tables(&self) -> [Table; 2] {
        let mut classes = table(&["class", "objects", "AP", "AP50", "AP75"], 1);
        let figure = |figure: f64| format!("{figure:.2}");
        for row in &self.per_class {
            let figures = [row.ap, row.ap50, row.ap75].map(figure);
            classes.add_row([row.class.clone(), row.objects.to_string()].into_iter().chain(figures));
        }
        let optional = |value: Option<f64>| value.map_or("-".into(), figure);
        let objects: usize = self.per_class.iter().map(|row| row.objects).sum();
        let means = [self.ap, self.ap50, self.ap75].map(optional);
        let mean_of = format!("mean of {}", self.per_class.len());
        classes.add_row([mean_of, objects.to_string()].into_iter().chain(means));
        let mut sizes = table(&["objects", "AP", "AR 1", "AR 10", "AR 100"], 1);
        sizes.add_row(["all".into()].into_iter().chain([self.ap, self.ar_1, self.ar_10, self.ar_100].map(optional)));
        for (name, ap, ar) in [
            ("small (up to 32 x 32)", self.ap_small, self.ar_small),
            ("medium", self.ap_medium, self.ar_medium),
            ("large (from 96 x 96)", self.ap_large, self.ar_large),
        ] {
            sizes.add_row([name.into(), optional(ap), String::new(), String::new(), optional(ar)]);
        }
        [classes, sizes]
    }
}

fn add(
    classes: &mut [Vec<CocoImageOfClass>],
    place: usize,
    image: &LabelledImage,
    found: &[Detection],
    names: &[String],
    map: &ClassMap,
) {
    for annotated in &image.objects {
        let object = &annotated.object;
        let Some(class) = names.iter().position(|name| *name == object.class) else { continue };
        let [x1, y1, x2, y2] = object.bbox.corners();
        let bbox = [x1, y1, x2 - x1, y2 - y1];
        let area = annotated.coco.and_then(|coco| coco.area).unwrap_or(bbox[2] * bbox[3]);
        classes[class][place].objects.push(CocoObject { bbox, area, crowd: object.difficult });
    }
    for detection in found {
        let Some(class) = map.to_data(detection.class) else { continue };
        let detection = CocoDetection { bbox: xywh(detection.bbox), score: f64::from(detection.score) };
        classes[class][place].detections.push(detection);
    }
}

fn mean(values: [f64; 10]) -> f64 {
    values.iter().sum::<f64>() / 10.0
}

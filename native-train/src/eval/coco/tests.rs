use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::*;

const BOX: [f64; 4] = [0.0, 0.0, 40.0, 40.0];

fn object(bbox: [f64; 4], crowd: bool) -> CocoObject {
    CocoObject { bbox, area: bbox[2] * bbox[3], crowd }
}

fn score_of(objects: &[CocoObject], detections: &[(f64, [f64; 4])]) -> [Option<CocoScore>; 4] {
    let detections = detections.iter().map(|&(score, bbox)| CocoDetection { bbox, score }).collect();
    score(&[CocoImageOfClass { objects: objects.to_vec(), detections }])
}

#[test]
fn a_second_detection_is_wrong_and_one_of_a_crowd_is_nothing() {
    let far = [100.0, 0.0, 40.0, 40.0];
    let once = score_of(&[object(BOX, false), object(far, true)], &[(0.9, BOX), (0.8, far), (0.7, far)]);
    let perfect = once[0].unwrap();
    assert!((perfect.ap[9] - 1.0).abs() < 1e-12 && perfect.recall[0][0] == 1.0);
    // Wrong, then right: precision one half at all recalls.
    let twice = score_of(&[object(BOX, false), object(far, false)], &[(0.9, BOX), (0.8, BOX), (0.7, far)]);
    let ap = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
    assert!((twice[0].unwrap().ap[0] - ap).abs() < 1e-12);
    assert_eq!(twice[0].unwrap().recall.map(|recall| recall[0]), [0.5, 1.0, 1.0]);
}

#[test]
fn sizes_are_those_of_the_objects() {
    let small = [100.0, 0.0, 20.0, 20.0];
    let [all, of_small, of_medium, of_large] = score_of(&[object(BOX, false), object(small, false)], &[(0.9, BOX)]);
    assert_eq!(all.unwrap().recall[2][0], 0.5);
    assert_eq!(of_small.unwrap().recall[2][0], 0.0, "and the medium detection does not hurt");
    assert!((of_medium.unwrap().ap[0] - 1.0).abs() < 1e-12);
    assert_eq!(of_large, None);
}

#[derive(Deserialize)]
struct Golden {
    truth: Truth,
    detections: Vec<Box>,
    figures: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Truth {
    images: Vec<Value>,
    annotations: Vec<Box>,
    categories: Vec<Value>,
}

#[derive(Deserialize)]
struct Box {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    #[serde(default)]
    area: f64,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default)]
    score: f64,
}

/// `tests/golden/coco_eval.py` drew the boxes and asked pycocotools: crowds, outlines, equal scores, more detections than
/// are looked at, ids without order.
#[test]
fn figures_are_those_of_pycocotools() {
    let Golden { truth, detections, figures } =
        serde_json::from_str(include_str!("../../../../tests/golden/coco_eval.json")).unwrap();
    let ids = |values: &[Value]| values.iter().map(|value| value["id"].as_i64().unwrap()).collect::<Vec<_>>();
    compare(ids(&truth.images), &ids(&truth.categories), &truth.annotations, &detections, &figures);
}

/// The same of 24,860 detections on 800 photographs: `tests/golden/coco_voc2007.py`.
#[test]
fn figures_of_photographs_are_those_of_pycocotools() {
    let objects = include_str!("../../../../tests/data/voc-eval/objects.csv");
    let packed = &include_bytes!("../../../../tests/data/voc-eval/detections.csv.gz")[..];
    let found = std::io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
    let rows = |text: &str| -> Vec<BTreeMap<String, String>> {
        let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
        let names = lines.next().unwrap();
        lines.map(|fields| names.iter().cloned().zip(fields).collect()).collect()
    };
    let (objects, found) = (rows(objects), rows(&found));
    let numbered = |column: &str, rows: &[&BTreeMap<String, String>]| -> BTreeMap<String, i64> {
        let names: BTreeSet<&String> = rows.iter().map(|row| &row[column]).collect();
        names.into_iter().cloned().zip(1..).collect()
    };
    let all: Vec<_> = objects.iter().chain(&found).collect();
    let (images, classes) = (numbered("image", &all), numbered("class", &objects.iter().collect::<Vec<_>>()));
    let number = |row: &BTreeMap<String, String>, column: &str| -> f64 {
        row.get(column).map_or(0.0, |text| text.parse().unwrap())
    };
    let boxed = |row: &BTreeMap<String, String>| {
        let [x1, y1, x2, y2] = ["xmin", "ymin", "xmax", "ymax"].map(|side| number(row, side));
        Box {
            image_id: images[&row["image"]],
            category_id: classes[&row["class"]],
            bbox: [x1, y1, x2 - x1, y2 - y1],
            area: (x2 - x1) * (y2 - y1),
            iscrowd: number(row, "difficult") as u8,
            score: number(row, "score"),
        }
    };
    let of = |rows: &[BTreeMap<String, String>]| rows.iter().map(boxed).collect::<Vec<_>>();
    let figures = serde_json::from_str(include_str!("../../../../tests/golden/coco_voc2007.json")).unwrap();
    let numbers = |of: &BTreeMap<String, i64>| of.values().copied().collect::<Vec<_>>();
    compare(numbers(&images), &numbers(&classes), &of(&objects), &of(&found), &figures);
}

fn compare(
    mut images: Vec<i64>,
    categories: &[i64],
    annotations: &[Box],
    detections: &[Box],
    figures: &BTreeMap<String, f64>,
) {
    images.sort_unstable();
    let of_class = |class: i64| {
        let of_image = |image: &i64| {
            let is_here = |b: &&Box| b.image_id == *image && b.category_id == class;
            let object = |b: &Box| CocoObject { bbox: b.bbox, area: b.area, crowd: b.iscrowd != 0 };
            let detection = |b: &Box| CocoDetection { bbox: b.bbox, score: b.score };
            CocoImageOfClass {
                objects: annotations.iter().filter(is_here).map(object).collect(),
                detections: detections.iter().filter(is_here).map(detection).collect(),
            }
        };
        images.iter().map(of_image).collect::<Vec<_>>()
    };
    let scores = scores(&categories.iter().map(|&class| of_class(class)).collect::<Vec<_>>());
    let mean = |area: usize, figure: &dyn Fn(&CocoScore) -> f64| {
        let figures: Vec<f64> = scores.iter().filter_map(|areas| areas[area].as_ref()).map(figure).collect();
        figures.iter().sum::<f64>() / figures.len() as f64
    };
    let over = |values: [f64; 10]| values.iter().sum::<f64>() / 10.0;
    for (name, figure) in [
        ("ap", mean(0, &|score| over(score.ap))),
        ("ap50", mean(0, &|score| score.ap[0])),
        ("ap75", mean(0, &|score| score.ap[5])),
        ("ap_small", mean(1, &|score| over(score.ap))),
        ("ap_medium", mean(2, &|score| over(score.ap))),
        ("ap_large", mean(3, &|score| over(score.ap))),
        ("ar_1", mean(0, &|score| over(score.recall[0]))),
        ("ar_10", mean(0, &|score| over(score.recall[1]))),
        ("ar_100", mean(0, &|score| over(score.recall[2]))),
        ("ar_small", mean(1, &|score| over(score.recall[2]))),
        ("ar_medium", mean(2, &|score| over(score.recall[2]))),
        ("ar_large", mean(3, &|score| over(score.recall[2]))),
    ] {
        assert!((figure - figures[name]).abs() < 1e-12, "{name}: {figure}, pycocotools has {}", figures[name]);
    }
}

//! The evaluator gives the official AP for every class and threshold, in both metrics.
//!
//! `tests/data/voc-eval` holds 24,860 detections on 800 images of VOC2007 test, the images' annotated objects, and
//! the AP that the official evaluator (Megvii YOLOX, `yolox/evaluators/voc_eval.py`) gives. Scores there have three
//! decimals, so many are equal, and the order of equal scores moves AP. That order is numpy's (`argsort` on a processor
//! with AVX2), which is why the detections of each class are stored in it:
//!
//! ```python
//! for name in classes:    # NPY_DISABLE_CPU_FEATURES=X86_V4, numpy 2.4
//!     rows = [row for row in detections if row['class'] == name]
//!     for k in np.argsort(-np.array([float(row['score']) for row in rows])): out.append(rows[k])
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use integration_tests::{repository, shared};
use native_train::data::labels::{self, Classes, LabelledImage};
use native_train::data::{Reading, Source};
use shared_model::evaluation::{Curve, ScoredBox, Truth, matches, thresholds};
use shared_model::voc::{AnnotatedObject, VocBox};

fn data(name: &str) -> PathBuf {
    repository().join("tests/data/voc-eval").join(name)
}

/// Lines of a CSV file after its header.
fn lines(reader: impl BufRead) -> Vec<String> {
    reader.lines().skip(1).map(|line| line.unwrap()).collect()
}

fn detections() -> Vec<String> {
    lines(BufReader::new(GzDecoder::new(File::open(data("detections.csv.gz")).unwrap())))
}

fn objects() -> Vec<String> {
    lines(BufReader::new(File::open(data("objects.csv")).unwrap()))
}

fn bbox(fields: &[&str]) -> VocBox {
    let [xmin, ymin, xmax, ymax] = [0, 1, 2, 3].map(|i| fields[i].parse().unwrap());
    VocBox { xmin, ymin, xmax, ymax }
}

#[test]
fn official_ap_for_every_class_and_threshold() {
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(data("expected.json")).unwrap()).unwrap();
    let (objects, detections) = (objects(), detections());
    assert_eq!(detections.len(), 24_860);
    let mut images = BTreeMap::new();
    for line in objects.iter().chain(&detections) {
        let count = images.len();
        images.entry(line.split(',').next().unwrap()).or_insert(count);
    }
    assert_eq!(images.len(), 800);

    let classes = expected["ap_11pt"].as_object().unwrap();
    assert_eq!(classes.len(), 20);
    let mut means = [[0.0; 10]; 2];
    for class in classes.keys() {
        let fields = |line: &'_ String| line.split(',').map(String::from).collect::<Vec<_>>();
        let of_class = |lines: &[String]| lines.iter().map(fields).filter(|f| &f[1] == class).collect::<Vec<_>>();
        let mut truths = vec![Vec::new(); images.len()];
        for f in of_class(&objects) {
            let f: Vec<&str> = f.iter().map(String::as_str).collect();
            truths[images[f[0]]].push(Truth { bbox: bbox(&f[3..]), difficult: f[2] == "1" });
        }
        let scored = of_class(&detections).into_iter().map(|f| {
            let f: Vec<&str> = f.iter().map(String::as_str).collect();
            ScoredBox { image: images[f[0]], score: f[2].parse().unwrap(), bbox: bbox(&f[3..]) }
        });
        let matches = matches(&scored.collect::<Vec<_>>(), &truths);
        for (i, min_iou) in thresholds().into_iter().enumerate() {
            let curve = Curve::new(&matches, &truths, min_iou);
            for ((metric, ap), means) in
                [("ap_11pt", curve.ap_11()), ("ap_area", curve.ap_area())].into_iter().zip(&mut means)
            {
                let official = expected[metric][class][i].as_f64().unwrap();
                assert!((ap - official).abs() < 1e-5, "{class}, {metric} over {min_iou}: {ap}, not {official}");
                means[i] += ap / 20.0;
            }
        }
    }
    for (metric, means) in ["mean_ap_11pt", "mean_ap_area"].into_iter().zip(means) {
        let official = |key: &str| expected[metric][key].as_f64().unwrap();
        assert!((means[0] - official(".50")).abs() < 1e-5, "{metric}");
        assert!((means.iter().sum::<f64>() / 10.0 - official(".50:.95")).abs() < 1e-5, "{metric}");
    }
}

#[test]
fn the_stored_data_are_the_shared_folders() {
    let Some(shared) = shared("whether tests/data/voc-eval is the shared folder's") else { return };
    let official = File::open(shared.join("golden/voc-eval/detections.csv.gz")).unwrap();
    let mut official = lines(BufReader::new(GzDecoder::new(official)));
    let mut stored = detections();
    official.sort();
    stored.sort();
    assert_eq!(stored, official);

    let source = Source { folder: shared.join("voc/VOC2007"), split: "test".into() };
    let labels = labels::read(&[source], Classes::Any, &Reading::default()).unwrap();
    let mut annotated = Vec::new();
    for LabelledImage { name: image, objects, .. } in labels.images {
        for AnnotatedObject { object, .. } in objects {
            let VocBox { xmin, ymin, xmax, ymax } = object.bbox;
            let difficult = u8::from(object.difficult);
            annotated.push(format!("{image},{},{difficult},{xmin},{ymin},{xmax},{ymax}", object.class));
        }
    }
    assert_eq!(objects(), annotated);
}

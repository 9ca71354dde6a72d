//! Figures as JSON: boxes as `yolox-nano detect --json` writes them, for every model, and the objects they were matched to.

use serde_json::{Value, json};

use super::Snapshot;
use crate::page::compare::{Agreement, Comparison};
use crate::page::truth::{DetectionOutcome, ObjectOutcome};

/// The text of the file.
pub fn json(content: &Snapshot) -> String {
    let comparison = &content.comparison;
    let models = content.models.iter().enumerate().map(|(i, model)| {
        json!({
            "model": model.name,
            "variant": model.variant,
            "sha256": model.sha256,
            "input_size": model.input_size,
            "gflops": model.gflops,
            "network_ms": model.network_ms,
            "runs": model.runs,
            "detections": detections(comparison, i),
            "truth": evaluation(comparison, i),
        })
    });
    let objects = comparison.objects.iter().map(|object| {
        let found = object.boxes.iter().zip(&content.models).filter(|(found, _)| found.is_some());
        let missed = object.agreements.iter().zip(&content.models).filter(|(s, _)| **s == Agreement::Missed);
        json!({
            "class": object.class,
            "found_by": found.map(|(_, model)| &model.name).collect::<Vec<_>>(),
            "missed_by": missed.map(|(_, model)| &model.name).collect::<Vec<_>>(),
        })
    });
    let all = json!({
        "picture": content.picture,
        "width": content.size.0,
        "height": content.size.1,
        "score_threshold": rounded(content.score),
        "nms_threshold": rounded(content.max_iou),
        "agreement": comparison.agreement_rate(),
        "models": models.collect::<Vec<_>>(),
        "objects": objects.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).expect("values of JSON are JSON") + "\n"
}

fn detections(comparison: &Comparison, panel: usize) -> Vec<Value> {
    let Some(seen) = &comparison.predictions[panel] else { return Vec::new() };
    let outcome = |place: usize| Some(comparison.evaluations[panel].as_ref()?.detections[place]);
    let detection = |(place, found): (usize, &shared_model::Detection)| {
        let mut value = json!({
            "class": seen.classes.get(found.class),
            "score": rounded(found.score),
            "x1": rounded(found.bbox.x1),
            "y1": rounded(found.bbox.y1),
            "x2": rounded(found.bbox.x2),
            "y2": rounded(found.bbox.y2),
        });
        if let Some(outcome) = outcome(place) {
            value["outcome"] = match outcome {
                DetectionOutcome::TruePositive(_) => "hit",
                DetectionOutcome::FalsePositive => "false alarm",
                DetectionOutcome::Ignored => "ignored",
            }
            .into();
        }
        value
    };
    seen.detections.iter().enumerate().map(detection).collect()
}

fn evaluation(comparison: &Comparison, panel: usize) -> Option<Value> {
    let evaluation = comparison.evaluations[panel].as_ref()?;
    let missed = comparison.truth.as_ref()?.objects.iter().zip(&evaluation.objects);
    let missed =
        missed.filter(|(_, outcome)| **outcome == ObjectOutcome::FalseNegative).map(|(object, _)| &object.class);
    Some(json!({
        "hits": evaluation.true_positives(),
        "misses": evaluation.false_negatives(),
        "false_alarms": evaluation.false_positives(),
        "missed_classes": missed.collect::<Vec<_>>(),
    }))
}

/// A figure as its shortest decimal in single precision, not with the digits of its double.
fn rounded(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

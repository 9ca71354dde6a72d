//! Figures as JSON: boxes as `yolox-nano detect --json` writes them, for every model, and the objects they were matched to.

use serde_json::{Value, json};

use super::Content;
use crate::page::compare::Standing;
use crate::page::state::Comparison;
use crate::page::truth::{DetectionOutcome, ObjectOutcome};

/// The text of the file.
pub fn json(content: &Content) -> String {
    let comparison = &content.comparison;
    let models = content.models.iter().enumerate().map(|(i, model)| {
        json!({
            "model": model.name,
            "variant": model.variant,
            "sha256": model.sha256,
            "network_ms": model.network_ms,
            "runs": model.runs,
            "detections": detections(comparison, i),
            "truth": judgement(comparison, i),
        })
    });
    let objects = comparison.groups.iter().map(|group| {
        let found = group.boxes.iter().zip(&content.models).filter(|(found, _)| found.is_some());
        let missed = group.standings.iter().zip(&content.models).filter(|(s, _)| **s == Standing::Missed);
        json!({
            "class": group.class,
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
        "agreement": comparison.agreement(),
        "models": models.collect::<Vec<_>>(),
        "objects": objects.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).expect("values of JSON are JSON") + "\n"
}

fn detections(comparison: &Comparison, panel: usize) -> Vec<Value> {
    let Some(seen) = &comparison.seen[panel] else { return Vec::new() };
    let outcome = |place: usize| Some(comparison.judgements[panel].as_ref()?.detections[place]);
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
                DetectionOutcome::Hit(_) => "hit",
                DetectionOutcome::FalseAlarm => "false alarm",
                DetectionOutcome::Ignored => "ignored",
            }
            .into();
        }
        value
    };
    seen.detections.iter().enumerate().map(detection).collect()
}

fn judgement(comparison: &Comparison, panel: usize) -> Option<Value> {
    let judgement = comparison.judgements[panel].as_ref()?;
    let missed = comparison.truth.as_ref()?.objects.iter().zip(&judgement.objects);
    let missed = missed.filter(|(_, outcome)| **outcome == ObjectOutcome::Missed).map(|(object, _)| &object.class);
    Some(json!({
        "hits": judgement.hits(),
        "misses": judgement.misses(),
        "false_alarms": judgement.false_alarms(),
        "missed_classes": missed.collect::<Vec<_>>(),
    }))
}

/// A figure as its shortest decimal in single precision, not with the digits of its double.
fn rounded(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

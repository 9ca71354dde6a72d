//! The evaluation to take away: the official figures as JSON, or as CSV with a line for each model's classes and their mean.

use serde_json::json;
use shared_model::evaluation::{EvalReport, Figures};

use super::csv::quoted;
use crate::page::evaluation::{SetEvaluation, confusion};

/// JSON: each model's report as `yolox-nano eval --json` has it, with precision, recall and F1 (0-1) at all thresholds, and the
/// confusion of classes at the best.
pub fn evaluation_json(set: &SetEvaluation) -> String {
    let models = set.models.iter().enumerate().map(|(i, model)| {
        json!({
            "model": model.model,
            "report": model.report,
            "best_f1": model.best,
            "f1_against_first": model.against_first,
            "ap50_against_first": set.ap50_against_first(i),
            "confusion": model.best.map(|best| confusion(set, model, best.threshold)),
            "thresholds": model.points,
        })
    });
    let pictures: Vec<_> = set.pictures.iter().map(|picture| &picture.name).collect();
    let all = json!({ "pictures": pictures, "models": models.collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).expect("values of JSON are JSON") + "\n"
}

/// CSV (RFC 4180): a line a model and class, then one of the means, whose class is empty. Figures are per cent.
pub fn evaluation_csv(set: &SetEvaluation) -> String {
    let mut text = String::from("model,class,objects,ap50,ap,ap50_area,ap_area,best_f1,best_threshold\r\n");
    for model in &set.models {
        let Some(report) = &model.report else { continue };
        let best = model.best.map_or(",".into(), |best| format!("{},{:.2}", 100.0 * best.f1, best.threshold));
        for row in &report.per_class {
            text += &line(&model.model, &row.class, row.objects, &row.figures, ",");
        }
        text += &line(&model.model, "", objects(report), &report.mean, &best);
    }
    text
}

fn objects(report: &EvalReport) -> usize {
    report.per_class.iter().map(|row| row.objects).sum()
}

fn line(model: &str, class: &str, objects: usize, figures: &Figures, best: &str) -> String {
    let Figures { ap50_11, ap_11, ap50_area, ap_area } = figures;
    format!("{},{},{objects},{ap50_11},{ap_11},{ap50_area},{ap_area},{best}\r\n", quoted(model), quoted(class))
}

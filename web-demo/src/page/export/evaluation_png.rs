//! The evaluation as a picture: the models' figures, and under them what the threshold does to each.

use leptos::prelude::*;
use shared_model::evaluation::OperatingPoint;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement};

use crate::page::evaluation::{ModelEvaluation, SetEvaluation};
use crate::page::language::text;
use crate::page::picture::encode;
use crate::page::words;

/// Pixels of a model's curves, and between and around all parts.
const CHART: (f64, f64) = (560.0, 360.0);
const GAP: f64 = 24.0;
/// Height of a line of text.
const LINE: f64 = 30.0;
/// Where the table's columns end: the model's name begins at the left, figures end here.
const COLUMNS: [f64; 4] = [500.0, 700.0, 860.0, 1100.0];
/// A figure of a point of a curve, 0-1.
type Figure = fn(&OperatingPoint) -> f64;

const INK: &str = "#1a1f29";
const GRID: &str = "#d5dae3";

/// Draws the evaluation.
///
/// # Errors
/// Passes on the browser's.
pub async fn evaluation_png(set: &SetEvaluation) -> Result<Blob, JsValue> {
    let columns = if set.models.len() > 1 { 2 } else { 1 };
    let rows = set.models.len().div_ceil(columns);
    let table = LINE * (set.models.len() + 2) as f64;
    let width = 2.0 * (CHART.0 + GAP) + GAP;
    let height = table + rows as f64 * (CHART.1 + GAP) + 2.0 * GAP;
    let canvas: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let context: CanvasRenderingContext2d = canvas.get_context("2d")?.ok_or("no canvas")?.unchecked_into();
    context.set_fill_style_str("#ffffff");
    context.fill_rect(0.0, 0.0, width, height);
    context.set_text_baseline("middle");
    figures(&context, set)?;
    for (i, model) in set.models.iter().enumerate() {
        let (x, y) = ((i % columns) as f64 * (CHART.0 + GAP) + GAP, (i / columns) as f64 * (CHART.1 + GAP));
        context.save();
        context.translate(x, GAP + table + y)?;
        curves(&context, model)?;
        context.restore();
    }
    encode(&canvas, "image/png", 1.0).await
}

/// The table.
fn figures(context: &CanvasRenderingContext2d, set: &SetEvaluation) -> Result<(), JsValue> {
    let write = |cells: [String; 5], y: f64| -> Result<(), JsValue> {
        let [name, figures @ ..] = cells;
        context.set_text_align("left");
        context.fill_text_with_max_width(&name, GAP, y, COLUMNS[0] - 120.0)?;
        context.set_text_align("right");
        figures.iter().zip(COLUMNS).try_for_each(|(figure, x)| context.fill_text(figure, x, y))
    };
    context.set_fill_style_str(INK);
    context.set_font("600 18px system-ui, sans-serif");
    let head = [text!("Model"), "AP50".into(), "AP".into(), text!("Best F1"), text!("Difference")];
    write(head, GAP + LINE / 2.0)?;
    context.set_font("18px system-ui, sans-serif");
    for (i, model) in set.models.iter().enumerate() {
        let mean = model.report.as_ref().map(|report| report.mean);
        let cells = [
            model.model.clone(),
            words::percent(mean.map(|mean| mean.ap50_11)),
            words::percent(mean.map(|mean| mean.ap_11)),
            words::percent(model.best.map(|best| 100.0 * best.f1)),
            set.ap50_against_first(i).map_or("\u{2013}".into(), |ap50| words::difference(&ap50, 1.0)),
        ];
        write(cells, GAP + LINE * (i as f64 + 1.5))?;
    }
    Ok(())
}

/// Precision, recall and F1 of a model against the threshold.
fn curves(context: &CanvasRenderingContext2d, model: &ModelEvaluation) -> Result<(), JsValue> {
    let (left, top, width, height) = (52.0, 70.0, CHART.0 - 64.0, CHART.1 - 110.0);
    let place = |threshold: f64, figure: f64| (left + width * threshold, top + height * (1.0 - figure));
    context.set_text_align("left");
    context.set_fill_style_str(INK);
    context.set_font("600 18px system-ui, sans-serif");
    let best = model.best.map(|best| {
        text!(
            "Best F1: %{f1} at %{score}",
            f1 = words::percent(Some(100.0 * best.f1)),
            score = format!("{:.2}", best.threshold)
        )
    });
    context.fill_text(&format!("{}  \u{b7}  {}", model.model, best.unwrap_or_default()), 0.0, 14.0)?;
    context.set_font("15px system-ui, sans-serif");
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y) = place(tick, tick);
        line(context, GRID, &[(left, y), (left + width, y)]);
        context.set_text_align("right");
        context.fill_text(&format!("{:.0}", 100.0 * tick), left - 8.0, y)?;
        context.set_text_align("center");
        context.fill_text(&tick.to_string(), x, top + height + 20.0)?;
    }
    context.set_text_align("left");
    let all: [(String, &str, Figure); 3] = [
        (text!("Precision"), "#0b7fc1", |point| point.precision),
        (text!("Recall"), "#a07c00", |point| point.recall),
        ("F1".into(), "#1a1f29", |point| point.f1),
    ];
    for (i, (name, colour, figure)) in all.into_iter().enumerate() {
        let x = left + 130.0 * i as f64;
        line(context, colour, &[(x, 44.0), (x + 24.0, 44.0)]);
        context.fill_text(&name, x + 32.0, 44.0)?;
        let points: Vec<_> = model.points.iter().map(|point| place(point.threshold.into(), figure(point))).collect();
        line(context, colour, &points);
    }
    Ok(())
}

fn line(context: &CanvasRenderingContext2d, colour: &str, points: &[(f64, f64)]) {
    context.set_stroke_style_str(colour);
    context.set_line_width(2.0);
    context.begin_path();
    points.iter().for_each(|&(x, y)| context.line_to(x, y));
    context.stroke();
}

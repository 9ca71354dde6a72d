//! Precision, recall and F1 against the threshold of the score, as SVG. Its colours come from the page's style sheet.

use leptos::prelude::*;
use shared_model::evaluation::OperatingPoint;

use super::percent;
use crate::page::evaluation::{ModelEvaluation, SetEvaluation};
use crate::page::language::text;
use crate::page::state::State;

/// The drawing's size, and the curves' place in it: left, top, width, height, in units of the drawing.
const SIZE: (f64, f64) = (360.0, 230.0);
const PLOT: (f64, f64, f64, f64) = (38.0, 10.0, 310.0, 180.0);

/// A drawing a model.
#[component]
pub fn ThresholdCurves(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let models = move || set.get().models.into_iter().filter(|model| !model.points.is_empty());
    view! {
        <section class="card" aria-labelledby="threshold-curves-title">
            <h2 id="threshold-curves-title">{move || text!("Precision, recall and F1 against the score threshold")}</h2>
            <ul class="curve-legend">
                <li><span class="precision" aria-hidden="true"></span>{move || text!("Precision")}</li>
                <li><span class="recall" aria-hidden="true"></span>{move || text!("Recall")}</li>
                <li><span class="f1" aria-hidden="true"></span>"F1"</li>
            </ul>
            <div class="threshold-curves">
                {move || models().map(|model| view! { <Drawing model/> }).collect_view()}
            </div>
        </section>
    }
}

#[component]
fn Drawing(model: ModelEvaluation) -> impl IntoView {
    let state = State::get();
    let line = |figure: fn(&OperatingPoint) -> f64| polyline(&model.points, figure);
    let name = model.model.clone();
    let (left, top, width, height) = PLOT;
    let best = model.best.map(|best| {
        let (x, y) = place(best.threshold, best.f1);
        view! { <circle class="best" cx=x.to_string() cy=y.to_string() r="5"/> }
    });
    let caption = model.best.map(|best| {
        let score = format!("{:.2}", best.threshold);
        let label = score.clone();
        view! {
            <span data-testid="best-point">{move || text!(
                "Best F1: %{f1} at %{score}",
                f1 = percent(best.f1),
                score = score
            )}</span>
            " "
            <button type="button" class="plain" data-testid="apply-best"
                on:click=move |_| state.display.score.set(best.threshold)
            >{move || text!("Apply %{score}", score = label)}</button>
        }
    });
    // The page's own threshold, which the visitor may move.
    let chosen = move || place(state.display.score.get(), 0.0).0.to_string();
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| {
        let (x, y) = place(part as f32, part);
        view! {
            <line class="grid" x1=left.to_string() x2=(left + width).to_string() y1=y.to_string() y2=y.to_string()/>
            <text x=(left - 6.0).to_string() y=(y + 4.0).to_string() text-anchor="end">{format!("{:.0}", 100.0 * part)}</text>
            <text x=x.to_string() y=(top + height + 18.0).to_string() text-anchor="middle">{format!("{part}")}</text>
        }
    });
    view! {
        <figure data-testid="threshold-curve" data-model=model.model.clone()>
            <svg viewBox=format!("0 0 {} {}", SIZE.0, SIZE.1) role="img"
                aria-label=move || text!("Precision, recall and F1 of %{model} in per cent, against the score threshold", model = name)>
                {ticks.into_iter().collect_view()}
                <line class="chosen" x1=chosen x2=chosen y1=top.to_string() y2=(top + height).to_string()/>
                <polyline class="precision" points=line(|point| point.precision)/>
                <polyline class="recall" points=line(|point| point.recall)/>
                <polyline class="f1" points=line(|point| point.f1)/>
                {best}
            </svg>
            <figcaption><strong>{model.model.clone()}</strong>" "{caption}</figcaption>
        </figure>
    }
}

/// Where a figure (0-1) at a threshold (0-1) lies in the drawing.
fn place(threshold: f32, figure: f64) -> (f64, f64) {
    let (left, top, width, height) = PLOT;
    (left + width * f64::from(threshold), top + height * (1.0 - figure))
}

fn polyline(points: &[OperatingPoint], figure: fn(&OperatingPoint) -> f64) -> String {
    let point = |point: &OperatingPoint| {
        let (x, y) = place(point.threshold, figure(point));
        format!("{x:.1},{y:.1}")
    };
    points.iter().map(point).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_thresholds_are_further_right_and_better_figures_further_up() {
        let at = |threshold, f1| OperatingPoint { threshold, precision: 1.0, recall: 0.0, f1 };
        assert_eq!(polyline(&[at(0.0, 0.0), at(1.0, 1.0)], |point| point.f1), "38.0,190.0 348.0,10.0");
    }
}

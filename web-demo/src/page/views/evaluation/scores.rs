//! The models side by side: AP, and the best F1 with its threshold.

use leptos::prelude::*;
use shared_model::evaluation::{Difference, OperatingPoint};

use super::intervals::ap50_differences;
use super::percent;
use crate::page::evaluation::{ModelEvaluation, SetEvaluation};
use crate::page::language::text;
use crate::page::state::State;
use crate::page::words;

/// A line a model.
#[component]
pub fn ScoreTable(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let differences = ap50_differences(set);
    let rows = move || {
        let models = set.get().models.into_iter().enumerate();
        let row = |(i, model)| {
            let ap50 = Signal::derive(move || differences.read().get(i).copied().flatten());
            view! { <Row model ap50/> }
        };
        models.map(row).collect_view()
    };
    view! {
        <section class="card" aria-labelledby="scores-title">
            <h2 id="scores-title">{move || text!("Scores")}</h2>
            <p class="hint">{move || text!(
                "AP by Pascal VOC's rules, as yolox-nano eval computes it: scores from 0.01, NMS at 0.65, AP at IoU .50 and its mean over .50:.05:.95, with 11 points or by area. Precision, recall and F1 are over all objects, at IoU .50, with the page's NMS threshold."
            )}</p>
            <div class="table" tabindex="0" role="group" aria-labelledby="scores-title">
                <table data-testid="scores">
                    <thead><tr>
                        <th scope="col">{move || text!("Model")}</th>
                        <th scope="col" class="numbers">"AP50"</th>
                        <th scope="col" class="numbers"
                            title=move || text!("AP50 less the first model's, in points; in brackets the interval that holds 95 % of 1000 draws of as many pictures.")
                        >{move || text!("Difference")}</th>
                        <th scope="col" class="numbers">"AP"</th>
                        <th scope="col" class="numbers">{move || text!("AP50 (area)")}</th>
                        <th scope="col" class="numbers">{move || text!("AP (area)")}</th>
                        <th scope="col" class="numbers">{move || text!("Best F1")}</th>
                        <th scope="col" class="numbers"
                            title=move || text!("Best F1 less the first model's, in points; in brackets the interval that holds 95 % of 1000 draws of as many pictures.")
                        >{move || text!("Difference")}</th>
                        <th scope="col" class="numbers">{move || text!("Precision")}</th>
                        <th scope="col" class="numbers">{move || text!("Recall")}</th>
                        <th scope="col">{move || text!("Threshold")}</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
}

#[component]
fn Row(model: ModelEvaluation, ap50: Signal<Option<Difference>>) -> impl IntoView {
    let mean = model.report.as_ref().map(|report| report.mean);
    let unknown = model.report.as_ref().map(|report| report.unknown_classes.join(", ")).filter(|all| !all.is_empty());
    let is_scored = mean.is_some();
    let of_best = |figure: fn(&OperatingPoint) -> f64| {
        model.best.as_ref().map_or("\u{2013}".to_string(), |point| percent(figure(point)))
    };
    view! {
        <tr data-testid="score-row" data-model=model.model.clone()>
            <th scope="row">
                {model.model.clone()}
                {unknown.map(|names| view! { <p class="hint">{text!("Classes it does not know, left out: %{names}", names = names)}</p> })}
                {(!is_scored).then(|| view! { <p class="hint">{text!("It knows none of the annotated classes.")}</p> })}
            </th>
            <td class="numbers" data-testid="ap50">{words::percent(mean.map(|mean| mean.ap50_11))}</td>
            <td class="numbers" data-testid="ap50-difference">{move || ap50.get().map_or("\u{2013}".into(), |ap50| words::difference(&ap50, 1.0))}</td>
            <td class="numbers" data-testid="ap">{words::percent(mean.map(|mean| mean.ap_11))}</td>
            <td class="numbers">{words::percent(mean.map(|mean| mean.ap50_area))}</td>
            <td class="numbers">{words::percent(mean.map(|mean| mean.ap_area))}</td>
            <td class="numbers" data-testid="best-f1">{of_best(|point| point.f1)}</td>
            <td class="numbers" data-testid="f1-difference">{model.against_first.map_or("\u{2013}".into(), |f1| words::difference(&f1, 100.0))}</td>
            <td class="numbers">{of_best(|point| point.precision)}</td>
            <td class="numbers">{of_best(|point| point.recall)}</td>
            <td>{model.best.map(|best| view! { <Apply best model=model.model.clone()/> })}</td>
        </tr>
    }
}

/// Sets the page's threshold.
#[component]
fn Apply(best: OperatingPoint, model: String) -> impl IntoView {
    let state = State::get();
    let score = format!("{:.2}", best.threshold);
    let is_applied = move || (state.display.score.get() - best.threshold).abs() < 1e-4;
    view! {
        <button type="button" class="plain toggle" data-testid="apply-threshold"
            aria-pressed=move || is_applied().to_string()
            aria-label={
                let score = score.clone();
                move || text!("Apply the threshold %{score}, the best for %{model}", score = score, model = model)
            }
            on:click=move |_| state.display.score.set(best.threshold)
        >{score.clone()}</button>
    }
}

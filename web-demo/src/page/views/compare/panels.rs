//! The panels: a model each, on the same picture.

use leptos::html;
use leptos::prelude::*;

use super::model_choice::PanelHead;
use super::phase::Phase;
use super::stage::PictureStage;
use crate::page::compare::Agreement;
use crate::page::language::text;
use crate::page::panel::{Panel, median};
use crate::page::state::State;
use crate::page::words;

/// All panels side by side, or two of them over each other.
#[component]
pub fn PanelGrid() -> impl IntoView {
    let state = State::get();
    let aspect = move || state.input.shown().map_or(1.5, |opened| f64::from(opened.width) / f64::from(opened.height));
    let is_overlaid = Memo::new(move |_| state.display.overlaid.get() && state.panels.count() == 2);
    view! {
        <div
            class="panels"
            class:overlaid=is_overlaid
            data-count=move || state.panels.count()
            style:--aspect=move || aspect().to_string()
            data-testid="panels"
        >
            <ForEnumerate each=move || state.panels.shown() key=|panel| panel.name() let(i, panel)>
                <PanelView place=i panel is_overlaid/>
            </ForEnumerate>
            <Show when=move || is_overlaid.get()><Overlaid/></Show>
            <Show when=move || state.panels.count() == 0>
                <section class="panel" aria-hidden="true"><div class="stage waiting"></div></section>
            </Show>
        </div>
    }
}

/// One model's view of the picture.
#[component]
fn PanelView(place: ReadSignal<usize>, panel: Panel, is_overlaid: Memo<bool>) -> impl IntoView {
    let state = State::get();
    view! {
        <section class="panel" aria-label=move || text!("Model %{model}", model = panel.name()) data-testid="panel">
            <PanelHead place panel/>
            <figure
                class="viewer"
                data-testid="viewer"
                data-model=panel.name()
                data-picture=move || state.input.shown().map(|opened| opened.picture.name.clone())
                data-state=move || Phase::of(state, panel).name()
                data-runs=move || state.worker.runs()
            >
                {move || (!is_overlaid.get()).then(|| view! { <PictureStage panels=vec![(place.get(), panel)]/> })}
                {move || Phase::of(state, panel).text().map(|(text, progress)| view! {
                    <div class="busy">
                        <span>{text}</span>
                        {progress.map(|(done, of)| view! {
                            <progress value=done.to_string() max=of.to_string() aria-label=move || text!("Download")/>
                        })}
                    </div>
                })}
            </figure>
            <PanelResult place panel/>
        </section>
    }
}

/// What the panel found, in figures.
#[component]
fn PanelResult(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let summary = move || match Phase::of(state, panel) {
        Phase::Done => {
            let comparison = state.display.comparison.read();
            let seen = comparison.predictions.get(place.get()).and_then(Option::as_ref);
            seen.map(|seen| words::objects(seen.detections.len())).unwrap_or_default()
        }
        Phase::Stopped => text!("Stopped"),
        _ => text!("Working\u{2026}"),
    };
    let count = move |agreement: Agreement| {
        let comparison = state.display.comparison.read();
        comparison.objects.iter().filter(|object| object.is(place.get(), agreement)).count()
    };
    let details = move || {
        let comparison = state.display.comparison.read();
        if let Some(Some(evaluation)) = comparison.evaluations.get(place.get()) {
            let (hits, misses, alarms) =
                (evaluation.true_positives(), evaluation.false_negatives(), evaluation.false_positives());
            let unknown = evaluation.unknown_classes();
            let mut details = vec![
                ("hit", text!("hits: %{count}", count = hits)),
                ("overlooked", text!("overlooked: %{count}", count = misses)),
                ("alarm", text!("false alarms: %{count}", count = alarms)),
            ];
            if unknown > 0 {
                details.push(("unknown", text!("not among its classes: %{count}", count = unknown)));
            }
            return details;
        }
        if comparison.predictions.len() < 2 {
            return Vec::new();
        }
        let (only, missed, unknown) = (count(Agreement::Only), count(Agreement::Missed), count(Agreement::Unknown));
        let mut details = vec![
            ("only", text!("only here: %{count}", count = only)),
            ("missed", text!("missed here: %{count}", count = missed)),
        ];
        if unknown > 0 {
            details.push(("unknown", text!("not among its classes: %{count}", count = unknown)));
        }
        details
    };
    let error = move || panel.failure().or_else(|| state.run(panel)?.candidates.err());
    view! {
        <p class="result">
            <strong role="status" data-testid="summary">{summary}</strong>
            <span class="time" data-testid="panel-ms">{move || words::milliseconds(median(state.network_times(panel)))}</span>
            {move || details().into_iter().map(|(kind, text)| view! {
                <span class=format!("standing {kind}") data-testid=format!("count-{kind}")>{text}</span>
            }).collect_view()}
        </p>
        {move || error().map(|message| view! { <p class="error" data-testid="panel-error">{message}</p> })}
        <Nothing place panel/>
    }
}

/// No boxes: why, and the way to some.
#[component]
fn Nothing(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let is_empty = Memo::new(move |_| {
        let comparison = state.display.comparison.read();
        comparison
            .predictions
            .get(place.get())
            .is_some_and(|found| found.as_ref().is_some_and(|found| found.detections.is_empty()))
    });
    let best = move || {
        let run = state.run(panel)?;
        let candidates = run.candidates.ok()?;
        let best = candidates.iter().max_by(|a, b| a.score.total_cmp(&b.score))?;
        (best.score < state.display.score.get()).then_some((best.class, best.score))
    };
    view! {
        <Show when=move || is_empty.get() && !state.input.is_live()>
            <div class="nothing" data-testid="nothing">
                {move || match best() {
                    Some((class, score)) => {
                        let name = panel.classes().get(class).cloned().unwrap_or_default();
                        // Downwards, so that the box is in.
                        let lower = (score * 100.0).floor() / 100.0;
                        let text = text!(
                            "Nothing scores %{least} or more. The best guess is %{name}, at %{best}.",
                            least = format!("{:.2}", state.display.score.get()), name = name, best = format!("{score:.2}")
                        );
                        view! {
                            <p>{text}</p>
                            <button type="button" data-testid="lower" on:click=move |_| state.display.score.set(lower)>
                                {text!("Lower the threshold to %{score}", score = format!("{lower:.2}"))}
                            </button>
                        }.into_any()
                    }
                    None => view! { <p>{text!("The network sees none of its classes in this picture.")}</p> }.into_any(),
                }}
            </div>
        </Show>
    }
}

/// Two panels' boxes over one picture, divided by a slider.
#[component]
fn Overlaid() -> impl IntoView {
    let state = State::get();
    let split = RwSignal::new(0.5);
    let slider = NodeRef::<html::Input>::new();
    let panels = move || state.panels.shown().into_iter().enumerate().collect::<Vec<_>>();
    view! {
        <div class="overlay" data-testid="overlay">
            {move || view! { <PictureStage panels=panels() split/> }}
            <label class="swipe">
                <span>{move || state.panels.shown().first().map(|panel| panel.name())}</span>
                <input
                    type="range" min="0" max="1" step="0.005"
                    node_ref=slider
                    prop:value=move || split.get().to_string()
                    on:input=move |event| if let Ok(at) = event_target_value(&event).parse() { split.set(at) }
                    aria-label=move || text!("Divide between the two models")
                    data-testid="swipe"
                />
                <span>{move || state.panels.shown().get(1).map(|panel| panel.name())}</span>
            </label>
        </div>
    }
}

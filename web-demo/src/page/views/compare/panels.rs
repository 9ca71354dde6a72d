//! The panels: a model each, on the same picture.

use leptos::html;
use leptos::prelude::*;
use shared_model::ManifestEntry;

use super::options::Options;
use super::phase::Phase;
use super::stage::Stage;
use crate::page::compare::Standing;
use crate::page::language::text;
use crate::page::panel::{Panel, WeightsState};
use crate::page::state::{MAX_PANELS, State};
use crate::page::views::words;

/// All panels side by side, or two of them over each other.
#[component]
pub fn Panels() -> impl IntoView {
    let state = State::get();
    let aspect =
        move || state.picture.read().as_ref().map_or(1.5, |opened| f64::from(opened.width) / f64::from(opened.height));
    let is_overlaid = Memo::new(move |_| state.overlaid.get() && state.panels.read().len() == 2);
    view! {
        <div
            class="panels"
            class:overlaid=is_overlaid
            data-count=move || state.panels.read().len()
            style:--aspect=move || aspect().to_string()
            data-testid="panels"
        >
            <ForEnumerate each=move || state.panels.get() key=|panel| panel.name() let(i, panel)>
                <PanelView place=i panel is_overlaid/>
            </ForEnumerate>
            <Show when=move || is_overlaid.get()><Overlaid/></Show>
            <Show when=move || state.panels.read().is_empty()>
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
            <Head place panel/>
            <figure
                class="viewer"
                data-testid="viewer"
                data-model=panel.name()
                data-picture=move || state.picture.read().as_ref().map(|opened| opened.picture.name.clone())
                data-state=move || Phase::of(state, panel).name()
                data-runs=move || state.runs.get()
            >
                {move || (!is_overlaid.get()).then(|| view! { <Stage panels=vec![(place.get(), panel)]/> })}
                {move || Phase::of(state, panel).text().map(|(text, progress)| view! {
                    <div class="busy">
                        <span>{text}</span>
                        {progress.map(|(done, of)| view! {
                            <progress value=done.to_string() max=of.to_string() aria-label=move || text!("Download")/>
                        })}
                    </div>
                })}
            </figure>
            <Result place panel/>
        </section>
    }
}

/// Which model it is, and the ways to another one or none.
#[component]
fn Head(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let replace = move |model: String| {
        let mut models = untrack(|| state.shown_models());
        models[place.get_untracked()] = model;
        state.show_models(models);
    };
    let remove = move |_| {
        let others = untrack(|| state.shown_models()).into_iter().filter(|name| !panel.is(name));
        state.show_models(others.collect::<Vec<_>>());
    };
    let options = move || {
        let models = state.manifest().map(|manifest| manifest.models.clone()).unwrap_or_default();
        let shown = state.shown_models();
        let is_free = |entry: &ManifestEntry| panel.is(&entry.name) || !shown.contains(&entry.name);
        let free: Vec<_> = models.into_iter().filter(is_free).collect();
        // Weights of one's own are in the list only once they have proved good.
        let own = !free.iter().any(|entry| panel.is(&entry.name));
        view! {
            {own.then(|| view! { <option value=panel.name() selected=true>{panel.name()}</option> })}
            <Options models=free selected=panel.name()/>
        }
    };
    view! {
        <header class="panel-head">
            <select
                aria-label=move || text!("Model")
                data-testid="model"
                on:change=move |event| replace(event_target_value(&event))
            >
                {options}
            </select>
            <Show when=move || { state.panels.read().len() > 1 }>
                <button
                    type="button"
                    class="plain icon"
                    aria-label=move || text!("Remove %{model}", model = panel.name())
                    title=move || text!("Remove %{model}", model = panel.name())
                    data-testid="remove"
                    on:click=remove
                >"\u{2715}"</button>
            </Show>
        </header>
    }
}

/// What the panel found, in figures.
#[component]
fn Result(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let summary = move || match Phase::of(state, panel) {
        Phase::Done => {
            let comparison = state.comparison.read();
            let seen = comparison.seen.get(place.get()).and_then(Option::as_ref);
            seen.map(|seen| words::objects(seen.detections.len())).unwrap_or_default()
        }
        Phase::Stopped => text!("Stopped"),
        _ => text!("Working\u{2026}"),
    };
    let count = move |standing: Standing| {
        let comparison = state.comparison.read();
        comparison.groups.iter().filter(|group| group.stands(place.get(), standing)).count()
    };
    let details = move || {
        let comparison = state.comparison.read();
        if let Some(Some(judgement)) = comparison.judgements.get(place.get()) {
            let (hits, misses, alarms) = (judgement.hits(), judgement.misses(), judgement.false_alarms());
            let unknown = judgement.unknown();
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
        if comparison.seen.len() < 2 {
            return Vec::new();
        }
        let (only, missed, unknown) = (count(Standing::Only), count(Standing::Missed), count(Standing::Unknown));
        let mut details = vec![
            ("only", text!("only here: %{count}", count = only)),
            ("missed", text!("missed here: %{count}", count = missed)),
        ];
        if unknown > 0 {
            details.push(("unknown", text!("not among its classes: %{count}", count = unknown)));
        }
        details
    };
    let error = move || match panel.weights.get() {
        WeightsState::Failed(message) => Some(message),
        _ => panel.run(state).and_then(|run| run.candidates.err()),
    };
    view! {
        <p class="result">
            <strong role="status" data-testid="summary">{summary}</strong>
            <span class="time" data-testid="panel-ms">{move || words::milliseconds(panel.network_ms(state))}</span>
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
        let comparison = state.comparison.read();
        comparison
            .seen
            .get(place.get())
            .is_some_and(|seen| seen.as_ref().is_some_and(|seen| seen.detections.is_empty()))
    });
    let best = move || {
        let run = panel.run(state)?;
        let candidates = run.candidates.ok()?;
        let best = candidates.iter().max_by(|a, b| a.score.total_cmp(&b.score))?;
        (best.score < state.score.get()).then_some((best.class, best.score))
    };
    view! {
        <Show when=move || is_empty.get() && !state.live.get()>
            <div class="nothing" data-testid="nothing">
                {move || match best() {
                    Some((class, score)) => {
                        let name = panel.classes().get(class).cloned().unwrap_or_default();
                        // Downwards, so that the box is in.
                        let lower = (score * 100.0).floor() / 100.0;
                        let text = text!(
                            "Nothing scores %{least} or more. The best guess is %{name}, at %{best}.",
                            least = format!("{:.2}", state.score.get()), name = name, best = format!("{score:.2}")
                        );
                        view! {
                            <p>{text}</p>
                            <button type="button" data-testid="lower" on:click=move |_| state.score.set(lower.max(0.01))>
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
    let panels = move || state.panels.get().into_iter().enumerate().collect::<Vec<_>>();
    view! {
        <div class="overlay" data-testid="overlay">
            {move || view! { <Stage panels=panels() split/> }}
            <label class="swipe">
                <span>{move || state.panels.read().first().map(|panel| panel.name())}</span>
                <input
                    type="range" min="0" max="1" step="0.005"
                    node_ref=slider
                    prop:value=move || split.get().to_string()
                    on:input=move |event| if let Ok(at) = event_target_value(&event).parse() { split.set(at) }
                    aria-label=move || text!("Divide between the two models")
                    data-testid="swipe"
                />
                <span>{move || state.panels.read().get(1).map(|panel| panel.name())}</span>
            </label>
        </div>
    }
}

/// The way to one more panel.
#[component]
pub fn AddPanel() -> impl IntoView {
    let state = State::get();
    let free = move || {
        let shown = state.shown_models();
        let models = state.manifest().map(|manifest| manifest.models.clone()).unwrap_or_default();
        models.into_iter().filter(|entry| !shown.contains(&entry.name)).collect::<Vec<_>>()
    };
    let add = move |model: String| {
        let mut models = untrack(|| state.shown_models());
        models.push(model);
        state.show_models(models);
    };
    view! {
        <Show when=move || { state.panels.read().len() < MAX_PANELS && !free().is_empty() }>
            <select
                class="add"
                aria-label=move || text!("Add a model")
                data-testid="add"
                prop:value=""
                on:change=move |event| {
                    let model = event_target_value(&event);
                    if !model.is_empty() {
                        add(model);
                    }
                }
            >
                <option value="" selected=true>{move || text!("+ Add a model")}</option>
                {move || view! { <Options models=free()/> }}
            </select>
        </Show>
    }
}

//! Several pictures at once: what every model finds in each, and where they disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use leptos::wasm_split::wasm_split;

use super::on_demand::{MakeView, on_demand};
use super::pause::{PauseButton, looked_at};
use crate::page::compare::{Comparison, Filter, Predictions};
use crate::page::intake;
use crate::page::language::text;
use crate::page::latest::settled;
use crate::page::panel::Panel;
use crate::page::picture::Picture;
use crate::page::state::State;
use crate::page::words;

/// The thresholds follow the sliders with this delay, in milliseconds: a hundred pictures are not compared anew at every step.
const PAUSE: u32 = 200;

/// What the models make of one picture, and what that was made of: as long as this stays, so does the comparison.
#[derive(Clone)]
struct Compared {
    filter: Filter,
    /// Per panel: its name, and the address of what its run found, which tells runs apart.
    runs: Vec<(String, Option<usize>)>,
    comparison: Arc<Comparison>,
}

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.filter == other.filter && self.runs == other.runs
    }
}

/// Comparisons by the pictures' numbers.
type All = BTreeMap<u32, Compared>;

/// The comparisons of all pictures. Each is made anew only when it has to be: results come one by one, by the hundred.
fn comparisons(state: State) -> Memo<All> {
    let filter = settled(state.display.filter, PAUSE);
    Memo::new(move |old: Option<&All>| {
        let (panels, filter) = (state.panels.shown(), filter.get());
        let compare = |id: u32| {
            let run = |panel: &Panel| {
                let candidates = panel.run(id).and_then(|run| run.candidates.ok());
                (panel.name(), candidates.map(|candidates| candidates.as_ptr().addr()))
            };
            let runs: Vec<_> = panels.iter().map(run).collect();
            let kept = old.and_then(|old| old.get(&id)).filter(|kept| kept.filter == filter && kept.runs == runs);
            let compared = kept.cloned().unwrap_or_else(|| {
                let comparison = Comparison::of_panels(&panels, Some(id), None, &filter);
                Compared { filter: filter.clone(), runs, comparison: Arc::new(comparison) }
            });
            (id, compared)
        };
        state.input.gallery_ids().into_iter().map(compare).collect()
    })
}

/// The pictures that were given together, if there are several.
#[component]
pub fn Gallery() -> impl IntoView {
    let state = State::get();
    view! {
        <Show when=move || { state.input.gallery_len() > 0 }>
            {on_demand(|| Box::pin(gallery()))}
        </Show>
    }
}

#[wasm_split(gallery, wasm_split_path = leptos::wasm_split, fallible)]
fn gallery() -> MakeView {
    Ok(|| view! { <Pictures/> }.into_any())
}

/// A click on one of the pictures opens it.
#[component]
fn Pictures() -> impl IntoView {
    let state = State::get();
    let comparisons = comparisons(state);
    let done = move || looked_at(state);
    view! {
        <section class="gallery card" aria-labelledby="gallery-title" data-testid="gallery">
            <header>
                <h2 id="gallery-title">{move || text!("%{count} pictures", count = state.input.gallery_len())}</h2>
                <progress
                    aria-label=move || text!("Pictures that all models have looked at")
                    value=move || done().to_string()
                    max=move || state.input.gallery_len().to_string()
                />
                <span data-testid="gallery-done">{move || format!("{} / {}", done(), state.input.gallery_len())}</span>
                <PauseButton/>
                <button type="button" class="plain" data-testid="gallery-close"
                    on:click=move |_| state.input.close_gallery()
                >{move || text!("Close")}</button>
            </header>
            <Totals comparisons/>
            <ul>
                <For each=move || state.input.gallery() key=|picture| picture.id let(picture)>
                    <Item picture comparisons/>
                </For>
            </ul>
        </section>
    }
}

/// Objects and mean time of each model over all pictures, and how far the models agree.
#[component]
fn Totals(comparisons: Memo<All>) -> impl IntoView {
    let state = State::get();
    let objects = move |panel: usize| {
        comparisons.with(|all| {
            let seen = all.values().filter_map(|compared| compared.comparison.predictions.get(panel)?.as_ref());
            seen.map(|seen| seen.detections.len()).sum::<usize>()
        })
    };
    let mean = move |panel: Panel| {
        let ids = state.input.gallery_ids().into_iter();
        let times: Vec<f64> = ids.filter_map(|id| Some(panel.run(id)?.first?.network)).collect();
        (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
    };
    let agreement = move || {
        comparisons.with(|all| {
            let shares: Vec<f64> = all.values().filter_map(|compared| compared.comparison.agreement_rate()).collect();
            (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
        })
    };
    view! {
        <p class="totals" data-testid="gallery-totals">
            <ForEnumerate each=move || state.panels.shown() key=|panel| panel.name() let(i, panel)>
                <span><strong>{panel.name()}</strong>": "{move || words::objects(objects(i.get()))}", "
                    {move || text!("%{ms} on average", ms = words::milliseconds(mean(panel)))}</span>
            </ForEnumerate>
            {move || agreement().map(|share| view! {
                <span data-testid="gallery-agreement">{text!("Agreement: %{percent} %", percent = format!("{:.0}", 100.0 * share))}</span>
            })}
        </p>
    }
}

#[component]
fn Item(picture: Picture, comparisons: Memo<All>) -> impl IntoView {
    let state = State::get();
    let id = picture.id;
    // Objects that each panel finds, and how many of them not all do.
    let figures = Memo::new(move |_| {
        comparisons.with(|all| {
            let comparison = &all.get(&id)?.comparison;
            let found = |seen: &Option<Predictions>| seen.as_ref().map(|seen| seen.detections.len());
            let differences = comparison.objects.iter().filter(|object| !object.is_agreed()).count();
            Some((comparison.predictions.iter().map(found).collect::<Vec<_>>(), differences))
        })
    });
    let refused = move || state.input.refusal(id);
    let name = picture.name.clone();
    let opened = picture.clone();
    view! {
        <li>
            <button
                type="button"
                class="plain"
                aria-current=move || (state.input.shown_id() == Some(id)).then_some("true")
                title=picture.name.clone()
                data-testid="gallery-item"
                data-picture=picture.name.clone()
                disabled=move || refused().is_some()
                on:click=move |_| {
                    state.input.set_live(false);
                    intake::show(state, opened.clone());
                }
            >
                <img src=picture.url() alt="" loading="lazy" decoding="async"/>
                <span class="name">{name}</span>
                {move || match refused() {
                    Some(why) => view! { <span class="error">{why}</span> }.into_any(),
                    None => {
                        let (found, differs) = figures.get().unwrap_or_default();
                        let count = |found: Option<usize>| found.map_or("\u{2026}".into(), |count| count.to_string());
                        let counts: Vec<String> = found.into_iter().map(count).collect();
                        view! {
                            <span class="counts" data-testid="gallery-counts">{counts.join(" \u{b7} ")}</span>
                            {(differs > 0).then(|| view! {
                                <span class="standing only">{text!("differences: %{count}", count = differs)}</span>
                            })}
                        }.into_any()
                    }
                }}
            </button>
        </li>
    }
}

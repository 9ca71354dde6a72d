//! Several pictures at once: what every model finds in each, and where they disagree.

use leptos::prelude::*;

use super::words;
use crate::page::intake;
use crate::page::language::text;
use crate::page::panel::Panel;
use crate::page::picture::Picture;
use crate::page::state::{Comparison, State};

/// The pictures that were given together; a click opens one.
#[component]
pub fn Gallery() -> impl IntoView {
    let state = State::get();
    let done = move || {
        let (panels, refused) = (state.panels.get(), state.refused.read());
        let is_done = |picture: &&Picture| {
            refused.contains_key(&picture.id) || panels.iter().all(|panel| panel.runs.read().contains_key(&picture.id))
        };
        state.gallery.read().iter().filter(is_done).count()
    };
    view! {
        <Show when=move || !state.gallery.read().is_empty()>
            <section class="gallery card" aria-labelledby="gallery-title" data-testid="gallery">
                <header>
                    <h2 id="gallery-title">{move || text!("%{count} pictures", count = state.gallery.read().len())}</h2>
                    <progress
                        aria-label=move || text!("Pictures that all models have looked at")
                        value=move || done().to_string()
                        max=move || state.gallery.read().len().to_string()
                    />
                    <span data-testid="gallery-done">{move || format!("{} / {}", done(), state.gallery.read().len())}</span>
                    <button type="button" class="plain" data-testid="gallery-close"
                        on:click=move |_| intake::close_gallery(state)
                    >{move || text!("Close")}</button>
                </header>
                <Totals/>
                <ul>
                    <For each=move || state.gallery.get() key=|picture| picture.id let(picture)>
                        <Item picture/>
                    </For>
                </ul>
            </section>
        </Show>
    }
}

/// Objects and mean time of each model over all pictures, and how far the models agree.
#[component]
fn Totals() -> impl IntoView {
    let state = State::get();
    let comparisons = Memo::new(move |_| {
        let panels = state.panels.get();
        let ids: Vec<u32> = state.gallery.read().iter().map(|picture| picture.id).collect();
        state.with_filter(|filter| {
            ids.iter().map(|id| Comparison::new(&panels, Some(*id), None, filter)).collect::<Vec<_>>()
        })
    });
    let objects = move |panel: usize| {
        comparisons.with(|all| {
            let seen = all.iter().filter_map(|comparison| comparison.seen.get(panel)?.as_ref());
            seen.map(|seen| seen.detections.len()).sum::<usize>()
        })
    };
    let mean = move |panel: Panel| {
        let runs = panel.runs.read();
        let gallery = state.gallery.read();
        let times: Vec<f64> =
            gallery.iter().filter_map(|picture| Some(runs.get(&picture.id)?.first?.network)).collect();
        (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
    };
    let agreement = move || {
        comparisons.with(|all| {
            let shares: Vec<f64> = all.iter().filter_map(Comparison::agreement).collect();
            (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
        })
    };
    view! {
        <p class="totals" data-testid="gallery-totals">
            <ForEnumerate each=move || state.panels.get() key=|panel| panel.name() let(i, panel)>
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
fn Item(picture: Picture) -> impl IntoView {
    let state = State::get();
    let id = picture.id;
    let comparison =
        Memo::new(move |_| state.with_filter(|filter| Comparison::new(&state.panels.read(), Some(id), None, filter)));
    let refused = move || state.refused.read().get(&id).cloned();
    let name = picture.name.clone();
    let opened = picture.clone();
    view! {
        <li>
            <button
                type="button"
                class="plain"
                aria-current=move || (state.shown() == Some(id)).then_some("true")
                title=picture.name.clone()
                data-testid="gallery-item"
                data-picture=picture.name.clone()
                disabled=move || refused().is_some()
                on:click=move |_| {
                    state.live.set(false);
                    intake::show(state, opened.clone());
                }
            >
                <img src=picture.url.clone() alt="" loading="lazy" decoding="async"/>
                <span class="name">{name}</span>
                {move || match refused() {
                    Some(why) => view! { <span class="error">{why}</span> }.into_any(),
                    None => {
                        let comparison = comparison.get();
                        let count = |seen: &Option<_>| {
                            seen.as_ref().map_or("\u{2026}".into(), |seen: &crate::page::compare::Seen| seen.detections.len().to_string())
                        };
                        let counts: Vec<String> = comparison.seen.iter().map(count).collect();
                        let differs = comparison.groups.iter().filter(|group| !group.is_agreed()).count();
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

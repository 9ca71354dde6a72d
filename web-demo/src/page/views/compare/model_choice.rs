//! Which models are on show, and at which input size: the choice at the head of a panel, and the way to one more.

use leptos::prelude::*;
use shared_model::ManifestEntry;

use crate::page::language::text;
use crate::page::panel::Panel;
use crate::page::results::COMPARISONS;
use crate::page::state::{INPUT_SIZES, MAX_PANELS, State, split_size};
use crate::page::words;

/// Which model it is, and the ways to another one or none.
#[component]
pub fn PanelHead(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let options = move || {
        // Another model comes at the same size.
        let at_size = |entry: ManifestEntry| match split_size(&panel.name()).1 {
            Some(side) => state.models.entry(&state.models.name_at(&entry.name, side)),
            None => Some(entry),
        };
        let is_free = |entry: &ManifestEntry| panel.is(&entry.name) || !state.panels.shows(&entry.name);
        let free: Vec<_> = state.models.entries().into_iter().filter_map(at_size).filter(is_free).collect();
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
                on:change=move |event| state.panels.replace(place.get_untracked(), event_target_value(&event))
            >
                {options}
            </select>
            <SizeChoice place panel/>
            <Show when=move || { state.panels.count() > 1 }>
                <button
                    type="button"
                    class="plain icon"
                    aria-label=move || text!("Remove %{model}", model = panel.name())
                    title=move || text!("Remove %{model}", model = panel.name())
                    data-testid="remove"
                    on:click=move |_| state.panels.remove(&panel.name())
                >"\u{2715}"</button>
            </Show>
        </header>
    }
}

/// The side of the square that pictures are fitted into.
#[component]
fn SizeChoice(place: ReadSignal<usize>, panel: Panel) -> impl IntoView {
    let state = State::get();
    let size = move || state.models.entry(&panel.name()).map(|entry| entry.input_size);
    let options = move || {
        let current = size();
        let mut sizes: Vec<usize> = INPUT_SIZES.into_iter().chain(current).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let option = move |side: usize| {
            let is_taken = state.panels.shows(&state.models.name_at(&panel.name(), side));
            let is_current = current == Some(side);
            view! {
                <option value=side selected=is_current disabled=is_taken && !is_current>{format!("{side} px")}</option>
            }
        };
        sizes.into_iter().map(option).collect_view()
    };
    view! {
        <Show when=move || size().is_some()>
            <select
                class="size"
                aria-label=move || text!("Input size")
                title=move || text!("Input size")
                data-testid="input-size"
                on:change=move |event| if let Ok(side) = event_target_value(&event).parse() {
                    let name = untrack(|| state.models.name_at(&panel.name(), side));
                    state.panels.replace(place.get_untracked(), name);
                }
            >
                {options}
            </select>
        </Show>
    }
}

/// Sizes at which a model that is on show at its own is offered once more, the most telling ones first.
const FURTHER_SIZES: [usize; 5] = [640, 320, 512, 224, 416];

/// A model as it can be added: at its own size, or, where it is on show at that, at another.
fn addable(state: State, entry: &ManifestEntry) -> Option<ManifestEntry> {
    let names = std::iter::once(entry.input_size).chain(FURTHER_SIZES);
    let free = names.map(|side| state.models.name_at(&entry.name, side)).find(|name| !state.panels.shows(name))?;
    state.models.entry(&free)
}

/// The way to one more panel.
#[component]
pub fn AddPanel() -> impl IntoView {
    let state = State::get();
    let free = move || state.models.entries().iter().filter_map(|entry| addable(state, entry)).collect::<Vec<_>>();
    view! {
        <Show when=move || { state.panels.count() < MAX_PANELS && !free().is_empty() }>
            <select
                class="add"
                aria-label=move || text!("Add a model")
                data-testid="add"
                prop:value=""
                on:change=move |event| {
                    let model = event_target_value(&event);
                    if !model.is_empty() {
                        state.panels.add(model);
                    }
                }
            >
                <option value="" selected=true>{move || text!("+ Add a model")}</option>
                {move || view! { <Options models=free()/> }}
            </select>
        </Show>
    }
}

/// An option a model, under the name of its comparison where there are several.
#[component]
fn Options(models: Vec<ManifestEntry>, #[prop(optional)] selected: Option<String>) -> impl IntoView {
    let option = |entry: &ManifestEntry| {
        let is_selected = selected.as_ref() == Some(&entry.name);
        view! { <option value=entry.name.clone() selected=is_selected>{words::model(entry)}</option> }
    };
    let groups: Vec<_> = COMPARISONS
        .into_iter()
        .filter_map(|comparison| {
            let options: Vec<_> = models.iter().filter(|entry| entry.protocol == comparison).map(option).collect();
            (!options.is_empty()).then_some((comparison, options))
        })
        .collect();
    if let [_] = groups[..] {
        return groups.into_iter().map(|(_, options)| options).collect_view().into_any();
    }
    let named = |(comparison, options)| view! { <optgroup label=words::comparison(comparison)>{options}</optgroup> };
    groups.into_iter().map(named).collect_view().into_any()
}

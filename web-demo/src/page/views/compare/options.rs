//! The models that a list offers.

use leptos::prelude::*;
use shared_model::ManifestEntry;

use crate::page::results::COMPARISONS;
use crate::page::views::words;

/// An option a model, under the name of its comparison where there are several.
#[component]
pub fn Options(models: Vec<ManifestEntry>, #[prop(optional)] selected: Option<String>) -> impl IntoView {
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

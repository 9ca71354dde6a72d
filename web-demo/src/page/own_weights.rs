//! Weight files of the visitor's own: they become models like the published ones, for as long as the tab lives.

use leptos::prelude::*;
use shared_model::{Manifest, ManifestEntry, Variant, cost};
use std::sync::Arc;
use web_sys::{Blob, File};

use super::language::text;
use super::state::{MAX_PANELS, Models, State};
use crate::protocol::Facts;

/// Takes a file in: a panel shows how far it is, or why it is no use.
pub fn take(state: State, file: File) {
    let Some(manifest) = untrack(|| state.manifest()) else {
        return state.tell(text!("The list of models is not here yet. Please try again in a moment."));
    };
    let name = free_name(&manifest, state, &file.name());
    state.own_weights.update_value(|own| drop(own.insert(name.clone(), Blob::from(file))));
    let mut models = untrack(|| state.shown_models());
    // Beside what is on show if there is room, else in the last one's place.
    models.truncate(MAX_PANELS - 1);
    models.push(name);
    state.show_models(models);
}

/// The file's name without its extension, and a number if there is a model of that name.
fn free_name(manifest: &Manifest, state: State, file: &str) -> String {
    let stem = file.strip_suffix(".safetensors").unwrap_or(file);
    // The page's address separates models by commas.
    let stem = stem.replace([',', ' '], "-");
    let is_taken =
        |name: &str| manifest.named(name).is_some() || state.own_weights.with_value(|own| own.contains_key(name));
    let numbered = (2..).map(|i| format!("{stem}-{i}"));
    std::iter::once(stem.clone()).chain(numbered).find(|name| !is_taken(name)).expect("numbers do not end")
}

/// Lists a file that has proved good among the models.
pub fn list(state: State, model: &str, facts: &Facts) {
    let Some(manifest) = state.manifest().filter(|manifest| manifest.named(model).is_none()) else { return };
    let Ok(variant) = Variant::named(&facts.variant) else { return };
    let cost = cost(&variant.graph(facts.classes.len()), facts.input_size, facts.input_size);
    let bytes = state.own_weights.with_value(|own| own.get(model).map_or(0.0, Blob::size)) as u64;
    let mut manifest = Manifest::clone(&manifest);
    manifest.models.push(ManifestEntry {
        name: model.into(),
        variant: facts.variant.clone(),
        classes: facts.classes.len(),
        bytes,
        parameters: cost.parameters,
        gflops: cost.gflops,
        input_size: facts.input_size,
        source: facts.source.clone(),
        ..ManifestEntry::default()
    });
    state.models.set(Models::Listed(Arc::new(manifest)));
}

/// Takes a file that is no use off the page, and says why.
pub fn refuse(state: State, model: &str, message: &str) {
    state.own_weights.update_value(|own| drop(own.remove(model)));
    let others = state.shown_models().into_iter().filter(|name| name != model).collect::<Vec<_>>();
    state.show_models(others);
    state.known.update(|known| known.retain(|panel| !panel.is(model)));
    state.tell(text!("%{file}.safetensors cannot be used: %{reason}", file = model, reason = message));
}

//! How models come onto the list: the site's by its manifest, the visitor's own by their files or by a link, and those that this
//! browser has kept.

use std::sync::Arc;

use futures_util::future::join;
use leptos::prelude::untrack;
use leptos::task::spawn_local;
use shared_model::Manifest;
use web_sys::{Blob, File};

use super::elsewhere;
use super::kept::{self, KeptModel};
use super::language::text;
use super::link::{Link, default_models};
use super::site::fetch_text;
use super::state::{ModelList, State, split_size};

/// Fetches the manifest, adds the models that this browser keeps, and shows those that `link` names.
pub async fn fetch(state: State, link: Link) {
    let url = state.assets.url("models/manifest.json");
    let (text, kept) = join(fetch_text(&url), kept::all()).await;
    let manifest = text.and_then(|text| Manifest::from_json(&text).map_err(|error| unreadable(&error)));
    match manifest {
        Ok(manifest) => {
            let mut manifest = manifest.for_downloads();
            let with_url = |model: KeptModel| (model.clone(), kept::url(&model.entry.name));
            state.models.restore(kept.into_iter().map(with_url).collect(), &mut manifest);
            state.panels.show(link.models_in(&manifest));
            state.models.set(ModelList::Listed(Arc::new(manifest)));
            follow(state, &link);
        }
        Err(message) => state.models.set(ModelList::Failed(message)),
    }
}

fn unreadable(error: &impl ToString) -> String {
    text!("It cannot be read (%{reason}).", reason = error.to_string())
}

/// Takes a weight file in: a panel shows how far it is, and it is listed once the worker has found it good.
pub fn take(state: State, file: File) {
    let name = file.name();
    add(state, &name, Blob::from(file), None);
}

fn add(state: State, file: &str, weights: Blob, origin: Option<String>) {
    match state.models.add_own(file, weights, origin) {
        Some(name) => state.panels.add(name),
        None => state.notices.tell(text!("The list of models is not here yet. Please try again in a moment.")),
    }
}

/// Keeps a model that has proved good in this browser.
pub fn keep(state: State, model: KeptModel, weights: Blob) {
    spawn_local(async move {
        match kept::keep(&model, &weights).await {
            Ok(()) => state.models.set_kept(&model.entry.name),
            Err(message) => state.notices.tell(message),
        }
    });
}

/// Removes a model of the visitor's own from the page and from this browser.
pub fn remove(state: State, model: &str) {
    take_off(state, model);
    let model = model.to_string();
    spawn_local(async move { kept::remove(&model).await });
}

/// Takes a model of the visitor's own off the list and off the page, which never becomes empty thereby.
fn take_off(state: State, model: &str) {
    let left = untrack(|| state.panels.names()).into_iter().filter(|name| split_size(name).0 != model);
    let left: Vec<String> = left.collect();
    state.models.remove_own(model);
    let opening = || untrack(|| state.models.manifest()).map(|list| default_models(&list)).unwrap_or_default();
    state.panels.show(if left.is_empty() { opening() } else { left });
}

/// Follows a link to weights: shows them if they were fetched before, else asks the visitor.
pub fn follow(state: State, link: &Link) {
    let Some(url) = link.weights.clone() else { return };
    if let Some(model) = state.models.fetched_from(&url) {
        if !untrack(|| state.panels.shows(&model)) {
            state.panels.add(model);
        }
    } else if elsewhere::host(&url).is_some() {
        state.models.offer(Some(url));
    } else {
        state.notices.tell(text!("The link names weights at %{url}, which is no https address.", url = url));
    }
}

/// Fetches the weights that a link offers, as the visitor has agreed.
pub fn accept(state: State) {
    let Some(url) = untrack(|| state.models.offered()) else { return };
    state.models.offer(None);
    spawn_local(async move {
        match elsewhere::fetch(state.assets, &url).await {
            Ok(weights) => add(state, &elsewhere::file_name(&url), weights, Some(url)),
            Err(message) => state.notices.tell(message),
        }
    });
}

/// Takes a weight file that is of no use off the page, and says why.
pub fn refuse(state: State, model: &str, message: &str) {
    take_off(state, model);
    state.panels.forget(model);
    state.notices.tell(text!("%{file}.safetensors cannot be used: %{reason}", file = model, reason = message));
}

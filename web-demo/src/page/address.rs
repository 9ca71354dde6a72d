//! The page's address says what is on show, and what is on show follows it.

use leptos::ev;
use leptos::prelude::*;
use leptos_use_signal_debounce_throttle::signal_debounced;
use shared_model::Manifest;
use wasm_bindgen::JsValue;

use super::intake;
use super::language::Language;
use super::link::{Link, resolve};
use super::samples::{SAMPLES, Sample};
use super::state::State;

/// Writes no more often: browsers count.
const PAUSE: f64 = 400.0;

/// Shows what the address says, and from then on writes to it what is on show. Returns the link that it found.
pub fn provide(state: State) -> Link {
    let link = current();
    apply(state, &link);
    let sample = link.sample.as_deref().and_then(named).unwrap_or(&SAMPLES[0]);
    intake::open_sample(state, sample);

    let hash = Memo::new(move |_| of_state(state).to_hash());
    let hash: Signal<String> = signal_debounced(hash, PAUSE);
    Effect::new(move |before: Option<()>| {
        let hash = hash.get();
        // What the visitor came with stays until something changes.
        if before.is_some() && state.manifest().is_some() {
            write(&hash);
        }
    });
    // The visitor has changed the address by hand, or followed a link.
    let changed = window_event_listener(ev::hashchange, move |_| {
        let link = current();
        apply(state, &link);
        if let Some(manifest) = untrack(|| state.manifest()) {
            state.show_models(models(&link, &manifest));
        }
        if let Some(sample) = link.sample.as_deref().and_then(named) {
            intake::open_sample(state, sample);
        }
    });
    on_cleanup(move || changed.remove());
    link
}

/// The models that a link names; without any, those that the manifest opens with.
pub fn models(link: &Link, manifest: &Manifest) -> Vec<String> {
    let named: Vec<String> =
        link.models.iter().filter_map(|name| resolve(name, manifest)).map(|entry| entry.name.clone()).collect();
    if named.is_empty() { default_models(manifest) } else { named }
}

fn default_models(manifest: &Manifest) -> Vec<String> {
    let opening: Vec<String> = manifest.opening.iter().filter(|name| manifest.named(name).is_some()).cloned().collect();
    if !opening.is_empty() {
        return opening;
    }
    let others = manifest.models.iter().map(|entry| &entry.name).filter(|name| **name != manifest.default);
    std::iter::once(&manifest.default).chain(others).take(2).cloned().collect()
}

fn named(id: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.id == id)
}

fn current() -> Link {
    Link::parse(&window().location().hash().unwrap_or_default())
}

fn apply(state: State, link: &Link) {
    state.view.set(link.view.unwrap_or_default());
    if let Some(score) = link.score {
        state.score.set(score);
    }
    if let Some(max_iou) = link.max_iou {
        state.max_iou.set(max_iou);
    }
    state.hidden.set(link.hidden.iter().cloned().collect());
    link.language.as_deref().and_then(Language::of_code).unwrap_or_else(Language::of_browser).speak();
}

fn of_state(state: State) -> Link {
    let models = state.shown_models();
    let is_default = state.manifest().is_none_or(|manifest| models == default_models(&manifest));
    let view = state.view.get();
    let language = Language::current();
    let sample = state.picture.read().as_ref().and_then(|opened| opened.picture.sample);
    let differs = |value: f32, default: f32| ((value - default).abs() > 1e-4).then_some(value);
    Link {
        view: (view != Default::default()).then_some(view),
        models: if is_default { Vec::new() } else { models },
        score: differs(state.score.get(), super::state::SCORE),
        max_iou: differs(state.max_iou.get(), super::state::MAX_IOU),
        sample: sample.filter(|sample| **sample != SAMPLES[0]).map(|sample| sample.id.to_string()),
        language: (language != Language::of_browser()).then(|| language.code().to_string()),
        hidden: state.hidden.read().iter().cloned().collect(),
    }
}

/// Puts a hash behind the address, without an entry in the browser's history for every step of a slider.
fn write(hash: &str) {
    let location = window().location();
    let (Ok(path), Ok(search)) = (location.pathname(), location.search()) else { return };
    if let Ok(history) = window().history() {
        // Some browsers refuse when asked too often; the next change tries again.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&format!("{path}{search}{hash}")));
    }
}

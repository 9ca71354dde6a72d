//! The page's address says what is on show, and what is on show follows it.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::intake;
use super::language::Language;
use super::latest::settled;
use super::link::{Link, default_models};
use super::model_list;
use super::samples::{SAMPLES, Sample};
use super::state::{PageView, State};

/// Writes no more often: browsers count.
const PAUSE: u32 = 400;

/// Shows what the address says, and from then on writes to it what is on show. Returns the link that it found.
pub fn provide(state: State) -> Link {
    let link = current();
    apply(state, &link);
    let sample = link.sample.as_deref().and_then(named).unwrap_or(&SAMPLES[0]);
    intake::open_sample(state, sample);

    let hash = Memo::new(move |_| of_state(state).to_hash());
    let hash = settled(hash, PAUSE);
    Effect::new(move |before: Option<()>| {
        let hash = hash.get();
        // What the visitor came with stays until something changes.
        if before.is_some() && state.models.manifest().is_some() {
            write(&hash);
        }
    });
    // The visitor has changed the address by hand, or followed a link.
    let changed = window_event_listener(ev::hashchange, move |_| {
        let link = current();
        apply(state, &link);
        if let Some(sample) = link.sample.as_deref().and_then(named) {
            intake::open_sample(state, sample);
        }
        if let Some(manifest) = untrack(|| state.models.manifest()) {
            state.panels.show(link.models_in(&manifest));
            model_list::follow(state, &link);
        }
    });
    on_cleanup(move || changed.remove());
    link
}

fn named(id: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.id == id)
}

fn current() -> Link {
    Link::parse(&window().location().hash().unwrap_or_default())
}

/// The language that the address asks for, or else the browser.
pub fn language() -> Language {
    language_of(&current())
}

fn language_of(link: &Link) -> Language {
    link.language.as_deref().and_then(Language::of_code).unwrap_or_else(Language::of_browser)
}

fn apply(state: State, link: &Link) {
    let State { display, .. } = state;
    display.view.set(link.view.unwrap_or_default());
    if let Some(score) = link.score {
        display.score.set(score);
    }
    if let Some(max_iou) = link.max_iou {
        display.max_iou.set(max_iou);
    }
    display.hide(link.hidden.iter().cloned());
    language_of(link).speak(state);
}

fn of_state(State { display, input, models, panels, .. }: State) -> Link {
    let shown = panels.names();
    let weights = models.offered().or_else(|| shown.iter().find_map(|name| models.origin(name)));
    let is_default = models.manifest().is_none_or(|manifest| shown == default_models(&manifest));
    let view = display.view.get();
    let language = Language::current();
    let sample = input.shown().and_then(|opened| opened.picture.sample);
    Link {
        view: (view != PageView::default()).then_some(view),
        models: if is_default { Vec::new() } else { shown },
        score: display.score.chosen(),
        max_iou: display.max_iou.chosen(),
        sample: sample.filter(|sample| **sample != SAMPLES[0]).map(|sample| sample.id.to_string()),
        language: (language != Language::of_browser()).then(|| language.code().to_string()),
        hidden: display.hidden().into_iter().collect(),
        weights,
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

//! How many objects each model finds along a video file.

use std::collections::BTreeMap;

use leptos::prelude::*;

use super::state::State;

/// Places of a video that are told apart: of several frames at one, the last counts.
const PLACES: usize = 200;

/// Frames whose place is remembered until all models have looked at them: the one on show, and those on their way.
const FRAMES: usize = 8;

/// By model: objects at each place that was looked at. Handles, cheap to copy.
#[derive(Clone, Copy)]
pub struct FilmCounts {
    counts: RwSignal<BTreeMap<String, BTreeMap<usize, usize>>>,
    /// The last frames' picture numbers and places.
    frames: StoredValue<Vec<(u32, usize)>>,
}

impl FilmCounts {
    /// Counts what is on show from now on.
    pub fn new(state: State) -> Self {
        let own = Self { counts: RwSignal::new(BTreeMap::new()), frames: StoredValue::new(Vec::new()) };
        Effect::new(move |_| {
            let comparison = state.display.comparison.get();
            let Some(shown) = state.input.shown_id() else { return };
            let place = own.frames.with_value(|frames| frames.iter().find(|(id, _)| *id == shown).map(|(_, at)| *at));
            let Some(place) = place else { return };
            let names = state.panels.shown().into_iter().map(|panel| panel.name());
            let found: Vec<(String, usize)> = names
                .zip(&comparison.predictions)
                .filter_map(|(name, predictions)| Some((name, predictions.as_ref()?.detections.len())))
                .collect();
            own.counts.update(|counts| {
                for (name, objects) in found {
                    counts.entry(name).or_default().insert(place, objects);
                }
            });
        });
        // Counts under other thresholds cannot be compared.
        Effect::new(move |before: Option<()>| {
            state.display.filter.track();
            if before.is_some() {
                own.counts.set(BTreeMap::new());
            }
        });
        own
    }

    /// A frame has become a picture; `part`: where in the video it is, 0-1.
    pub fn remember(self, picture: u32, part: f64) {
        self.frames.update_value(|frames| {
            frames.push((picture, (part.clamp(0.0, 1.0) * (PLACES - 1) as f64).round() as usize));
            let surplus = frames.len().saturating_sub(FRAMES);
            frames.drain(..surplus);
        });
    }

    /// Forgets all: another video begins.
    pub fn clear(self) {
        self.frames.set_value(Vec::new());
        self.counts.set(BTreeMap::new());
    }

    /// A model's objects, by the part of the video (0-1) before them.
    pub fn of(self, model: &str) -> Vec<(f64, usize)> {
        let counts = self.counts.read();
        let places = counts.get(model).into_iter().flatten();
        places.map(|(place, objects)| (*place as f64 / (PLACES - 1) as f64, *objects)).collect()
    }

    /// The most objects at a place, at least one.
    pub fn most(self) -> usize {
        self.counts.read().values().flat_map(BTreeMap::values).copied().max().unwrap_or(0).max(1)
    }
}

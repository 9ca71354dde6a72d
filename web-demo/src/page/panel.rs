//! A model on the page: its weights, and what it found in which picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leptos::prelude::*;
use shared_model::Detection;

use super::failures;
use crate::protocol::{LoadError, ModelFacts, Timing};

/// Runs on a picture after the first, for a median that one disturbance does not move.
pub const WARM_RUNS: usize = 5;

/// A model that is on show, or was. A handle, cheap to copy; what it tells is tracked.
#[derive(Clone, Copy, PartialEq)]
pub struct Panel {
    name: StoredValue<String>,
    weights: RwSignal<WeightsState>,
    /// What it found, by the picture's number.
    runs: RwSignal<BTreeMap<u32, Run>>,
    /// The time of its first run in this worker.
    cold: RwSignal<Option<Timing>>,
}

/// How a panel's weights are.
#[derive(Clone, PartialEq)]
pub enum WeightsState {
    /// On their way: bytes so far.
    Loading(u64),
    Ready(Arc<ModelFacts>),
    /// Not to be had, and why.
    Failed(LoadError),
}

/// What a model found in a picture.
#[derive(Clone, PartialEq)]
pub struct Run {
    /// Width and height of the picture in pixels.
    pub size: (u32, u32),
    /// All boxes, or why there are none.
    pub candidates: Result<Arc<[Detection]>, String>,
    /// The time of the run behind the boxes.
    pub first: Option<Timing>,
    /// Times of the runs after it, for their time alone.
    pub warm: Vec<Timing>,
}

impl Run {
    /// Whether the runs for their time are over.
    pub fn is_measured(&self) -> bool {
        self.missing_runs() == 0
    }

    /// How often the model has still to be timed.
    pub fn missing_runs(&self) -> usize {
        if self.candidates.is_ok() { WARM_RUNS.saturating_sub(self.warm.len()) } else { 0 }
    }

    /// Milliseconds of the network, run by run: of the warm runs, as soon as there are enough.
    pub fn network_times(&self) -> Vec<f64> {
        let counted = if self.warm.len() >= WARM_RUNS { &self.warm } else { self.first.as_slice() };
        counted.iter().map(|timing| timing.network).collect()
    }
}

impl Panel {
    /// A panel for a model whose weights are still to come.
    pub fn new(name: String) -> Self {
        Self {
            name: StoredValue::new(name),
            weights: RwSignal::new(WeightsState::Loading(0)),
            runs: RwSignal::new(BTreeMap::new()),
            cold: RwSignal::new(None),
        }
    }
    pub fn name(self) -> String {
        self.name.get_value()
    }

    /// Whether this is the model called `name`.
    pub fn is(self, name: &str) -> bool {
        self.name.with_value(|own| own == name)
    }

    /// How its weights are.
    pub fn weights(self) -> WeightsState {
        self.weights.get()
    }

    /// What its weight file says, once it is loaded.
    pub fn facts(self) -> Option<Arc<ModelFacts>> {
        match &*self.weights.read() {
            WeightsState::Ready(facts) => Some(Arc::clone(facts)),
            _ => None,
        }
    }

    /// Why its weights are not to be had, in a sentence, if so.
    pub fn failure(self) -> Option<String> {
        match &*self.weights.read() {
            WeightsState::Failed(error) => Some(failures::loading(&self.name(), error)),
            _ => None,
        }
    }

    /// Names of the classes; none while the weights are on their way.
    pub fn classes(self) -> Vec<String> {
        self.facts().map(|facts| facts.classes.clone()).unwrap_or_default()
    }

    /// What it found in a picture.
    pub fn run(self, picture: u32) -> Option<Run> {
        self.runs.read().get(&picture).cloned()
    }

    /// Whether it has looked at a picture.
    pub fn has_run(self, picture: u32) -> bool {
        self.runs.read().contains_key(&picture)
    }

    /// Numbers of the pictures that it has looked at.
    pub fn pictures(self) -> BTreeSet<u32> {
        self.runs.read().keys().copied().collect()
    }

    /// The time of its first run in this worker.
    pub fn cold(self) -> Option<Timing> {
        self.cold.get()
    }

    /// Subscribes to its weights and runs.
    pub fn track(self) {
        self.weights.track();
        self.runs.track();
    }

    /// So many bytes of its weights have arrived; none, if they are asked for anew.
    pub fn set_loading(self, bytes: u64) {
        self.weights.set(WeightsState::Loading(bytes));
    }

    /// Its weights are loaded.
    pub fn set_ready(self, facts: ModelFacts) {
        self.weights.set(WeightsState::Ready(Arc::new(facts)));
    }

    /// Its weights are not to be had.
    pub fn set_failed(self, error: LoadError) {
        self.weights.set(WeightsState::Failed(error));
    }

    /// Keeps the time of its first run.
    pub fn set_cold(self, timing: Timing) {
        self.cold.set(Some(timing));
    }

    /// Its worker is gone, and with it the weights. What it found stays.
    pub fn unload(self) {
        self.set_loading(0);
        self.cold.set(None);
    }

    /// Files a run, in place of an earlier one on the same picture.
    pub fn put_run(self, picture: u32, run: Run) {
        self.runs.update(|runs| drop(runs.insert(picture, run)));
    }

    /// Adds times to the run on a picture, if that is still there.
    pub fn add_timings(self, picture: u32, timings: Vec<Timing>) {
        self.runs.update(|runs| {
            if let Some(run) = runs.get_mut(&picture) {
                run.warm.extend(timings);
            }
        });
    }

    /// Forgets what it found in all pictures but these.
    pub fn retain_runs(self, is_kept: impl Fn(u32) -> bool) {
        self.runs.update(|runs| runs.retain(|picture, _| is_kept(*picture)));
    }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}

//! A model on the page: its weights, and what it found in which picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use shared_model::{Detection, ManifestEntry};

use super::jobs::WARM_RUNS;
use super::state::State;
use crate::protocol::{Facts, Timing};

/// A model that is on show, or was. A handle, cheap to copy.
#[derive(Clone, Copy, PartialEq)]
pub struct Panel {
    name: StoredValue<String>,
    /// Its weights.
    pub weights: RwSignal<WeightsState>,
    /// What it found, by the picture's number.
    pub runs: RwSignal<BTreeMap<u32, Run>>,
    /// The time of its first run in this worker.
    pub cold: RwSignal<Option<Timing>>,
}

/// How a panel's weights are.
#[derive(Clone, PartialEq)]
pub enum WeightsState {
    /// On their way: bytes so far.
    Loading(u64),
    /// Ready to run.
    Ready(Arc<Facts>),
    /// Not to be had, and why.
    Failed(String),
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
        self.candidates.is_err() || self.warm.len() >= WARM_RUNS
    }

    /// The times that count: the warm ones, as soon as there are enough.
    pub fn timings(&self) -> &[Timing] {
        if self.warm.len() >= WARM_RUNS { &self.warm } else { self.first.as_slice() }
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

    /// The model's name.
    pub fn name(self) -> String {
        self.name.get_value()
    }

    /// Whether this is the model called `name`.
    pub fn is(self, name: &str) -> bool {
        self.name.with_value(|own| own == name)
    }

    /// What the manifest says about the model.
    pub fn entry(self, state: State) -> Option<ManifestEntry> {
        state.manifest()?.named(&self.name()).cloned()
    }

    /// Names of the classes; none while the weights are on their way.
    pub fn classes(self) -> Vec<String> {
        match &*self.weights.read() {
            WeightsState::Ready(facts) => facts.classes.clone(),
            _ => Vec::new(),
        }
    }

    /// What it found in the picture on show.
    pub fn run(self, state: State) -> Option<Run> {
        let shown = state.shown()?;
        self.runs.read().get(&shown).cloned()
    }

    /// Whether the boxes are those of the picture on show.
    pub fn is_current(self, state: State) -> bool {
        state.shown().is_some_and(|shown| self.runs.read().contains_key(&shown))
    }

    /// Milliseconds that the network took on the picture on show, run by run.
    pub fn network_times(self, state: State) -> Vec<f64> {
        let run = self.run(state);
        run.iter().flat_map(Run::timings).map(|timing| timing.network).collect()
    }

    /// The median of [`Panel::network_times`].
    pub fn network_ms(self, state: State) -> Option<f64> {
        median(self.network_times(state))
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

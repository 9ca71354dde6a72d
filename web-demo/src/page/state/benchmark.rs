//! Times that the visitor has asked for: of all models, and of the layers of a variant.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;

use crate::protocol::Timing;

/// Runs of each model, after one to warm up.
pub const BENCHMARK_RUNS: usize = 20;

/// A model's times on this device.
#[derive(Clone, Default, PartialEq)]
pub struct ModelTimes {
    /// The first run in this worker.
    pub cold: Option<Timing>,
    /// Runs after it.
    pub timings: Vec<Timing>,
    /// Why there are none.
    pub failed: Option<String>,
}

/// The store of what has been measured, and of what has still to be.
#[derive(Clone, Copy)]
pub struct Benchmark {
    /// By model.
    times: RwSignal<BTreeMap<String, ModelTimes>>,
    queue: RwSignal<Vec<String>>,
    /// Milliseconds of every layer, in the order of the graph, by variant.
    layer_times: RwSignal<BTreeMap<String, Arc<[f64]>>>,
    /// Models whose layers have still to be timed.
    layer_queue: RwSignal<Vec<String>>,
}

impl Benchmark {
    pub(super) fn new() -> Self {
        Self {
            times: RwSignal::new(BTreeMap::new()),
            queue: RwSignal::new(Vec::new()),
            layer_times: RwSignal::new(BTreeMap::new()),
            layer_queue: RwSignal::new(Vec::new()),
        }
    }

    /// A model's times, as far as it has been measured.
    pub fn times(self, model: &str) -> Option<ModelTimes> {
        self.times.read().get(model).cloned()
    }

    /// How many models have still to be measured.
    pub fn remaining(self) -> usize {
        self.queue.read().len()
    }

    /// The model that is measured next, or just now.
    pub fn next(self) -> Option<String> {
        self.queue.read().first().cloned()
    }

    /// Whether a model has still to be measured.
    pub fn is_queued(self, model: &str) -> bool {
        self.queue.read().iter().any(|queued| queued == model)
    }

    /// Milliseconds of every layer of a variant, in the order of its graph, once they are measured.
    pub fn layer_times(self, variant: &str) -> Option<Arc<[f64]>> {
        self.layer_times.read().get(variant).cloned()
    }

    /// The model whose layers are timed next, or just now.
    pub fn next_layers(self) -> Option<String> {
        self.layer_queue.read().first().cloned()
    }

    /// Subscribes to what has still to be measured.
    pub fn track(self) {
        self.queue.track();
        self.layer_queue.track();
    }

    /// Begins anew, with these models.
    pub fn start(self, models: Vec<String>) {
        self.times.update(BTreeMap::clear);
        self.queue.set(models);
    }

    /// Measures no more models. What has been measured stays.
    pub fn stop(self) {
        self.queue.set(Vec::new());
    }

    /// Measures nothing more, neither models nor layers.
    pub fn stop_all(self) {
        self.stop();
        self.layer_queue.set(Vec::new());
    }

    /// Adds times of a model; with [`BENCHMARK_RUNS`] of them it is done.
    pub fn add(self, model: &str, cold: Option<Timing>, timings: Vec<Timing>) {
        let is_complete = self.times.try_update(|all| {
            let entry = all.entry(model.into()).or_default();
            entry.cold = cold;
            entry.timings.extend(timings);
            entry.timings.len() >= BENCHMARK_RUNS
        });
        if is_complete == Some(true) {
            self.queue.update(|queue| queue.retain(|queued| queued != model));
        }
    }

    /// Takes a model that cannot be measured out of the queue; whether it was in there.
    pub fn fail(self, model: &str, why: &str) -> bool {
        let is_queued = untrack(|| self.is_queued(model));
        if is_queued {
            self.queue.update(|queue| queue.retain(|queued| queued != model));
            self.times.update(|all| all.entry(model.into()).or_default().failed = Some(why.into()));
        }
        is_queued
    }

    /// Has a model's layers timed.
    pub fn queue_layers(self, model: String) {
        self.layer_queue.update(|queue| queue.push(model));
    }

    /// A model's layers have been timed, or cannot be.
    pub fn end_layers(self, model: &str) {
        self.layer_queue.update(|queue| queue.retain(|queued| queued != model));
    }

    /// Keeps the times of a variant's layers.
    pub fn put_layer_times(self, variant: String, times: Arc<[f64]>) {
        self.layer_times.update(|all| drop(all.insert(variant, times)));
    }
}

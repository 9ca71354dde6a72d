//! How the worker is, by what it has said.

use leptos::prelude::*;

use crate::protocol::Timing;

/// Whether the worker can be given work.
#[derive(Clone, PartialEq)]
pub enum WorkerState {
    /// Not listening yet: what were posted to it now would be lost.
    Starting,
    Ready,
    /// Does not come up, and why.
    Broken(String),
}

/// A build of the worker's program.
#[derive(Clone, PartialEq)]
pub struct WorkerBuild {
    /// Threads that share the work.
    pub threads: usize,
    /// Whether it multiplies and adds in one instruction.
    pub relaxed_simd: bool,
    /// Why there is one thread only, in `assets/start-worker.js`'s words; empty if there are more.
    pub why: String,
}

/// The store of what is known about the worker.
#[derive(Clone, Copy)]
pub struct WorkerStatus {
    state: RwSignal<WorkerState>,
    build: RwSignal<Option<WorkerBuild>>,
    memory: RwSignal<u64>,
    runs: RwSignal<usize>,
    busy_ms: RwSignal<f64>,
}

impl WorkerStatus {
    pub(super) fn new() -> Self {
        Self {
            state: RwSignal::new(WorkerState::Starting),
            build: RwSignal::new(None),
            memory: RwSignal::new(0),
            runs: RwSignal::new(0),
            busy_ms: RwSignal::new(0.0),
        }
    }

    /// Whether it can be given work.
    pub fn state(self) -> WorkerState {
        self.state.get()
    }

    /// Whether it listens.
    pub fn is_ready(self) -> bool {
        *self.state.read() == WorkerState::Ready
    }

    /// Why it does not come up, if so.
    pub fn failure(self) -> Option<String> {
        match &*self.state.read() {
            WorkerState::Broken(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Which build is running, or was before the worker died; none until one has said so.
    pub fn build(self) -> Option<WorkerBuild> {
        self.build.get()
    }

    /// WebAssembly memory that it has taken, in bytes.
    pub fn memory(self) -> u64 {
        self.memory.get()
    }

    /// How often networks have run, in this worker and those before it.
    pub fn runs(self) -> usize {
        self.runs.get()
    }

    /// Milliseconds that all these runs took.
    pub fn busy_ms(self) -> f64 {
        self.busy_ms.get()
    }

    /// A worker is starting.
    pub fn set_starting(self) {
        self.state.set(WorkerState::Starting);
    }

    /// The worker listens.
    pub fn set_ready(self, build: WorkerBuild) {
        self.build.set(Some(build));
        self.state.set(WorkerState::Ready);
    }

    /// No worker comes up.
    pub fn set_broken(self, why: String) {
        self.state.set(WorkerState::Broken(why));
    }

    /// Networks have run and taken these times, after which the worker has so many bytes.
    pub fn count_runs(self, timings: &[Timing], memory: u64) {
        self.runs.update(|all| *all += timings.len());
        let total = |timing: &Timing| timing.preprocess + timing.network + timing.postprocess;
        self.busy_ms.update(|all| *all += timings.iter().map(total).sum::<f64>());
        self.memory.set(memory);
    }

    /// Subscribes to whether it can be given work.
    pub fn track(self) {
        self.state.track();
    }
}

//! Notices a worker that no longer answers, as one does whose helper thread the browser has ended without an error: the first thread
//! waits for its part of the work for ever.

use std::time::Duration;

use leptos::prelude::*;

use super::{Death, WorkerDriver};

/// How often it is looked at.
const TICK: Duration = Duration::from_secs(1);

/// Ticks without a word from a worker that has a job. None takes so long, not on the slowest phone either. Ticks, not a time: of a tab that
/// was put to sleep, the worker slept too.
const PATIENCE: u32 = 60;

impl WorkerDriver {
    /// Keeps an eye on the worker of the moment, and on those that come after it.
    pub(super) fn watch(self) {
        set_interval(move || untrack(|| self.tick()), TICK);
    }

    fn tick(self) {
        let is_silent = self.assigned_mut(|assigned| {
            assigned.silent_ticks = if assigned.busy.is_some() { assigned.silent_ticks + 1 } else { 0 };
            assigned.silent_ticks >= PATIENCE
        });
        if is_silent {
            self.replace(Death::Silent);
        }
    }
}

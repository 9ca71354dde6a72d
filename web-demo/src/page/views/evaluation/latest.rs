//! Work of which only the newest counts.

use futures_util::future::{AbortHandle, abortable};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// A task at a time: another one ends the one before, and so does the end of the view.
#[derive(Clone, Copy)]
pub struct LatestTask(StoredValue<Option<AbortHandle>>);

impl LatestTask {
    /// None so far.
    pub fn new() -> Self {
        let running: StoredValue<Option<AbortHandle>> = StoredValue::new(None);
        on_cleanup(move || abort(running, None));
        Self(running)
    }

    /// Begins a task.
    pub fn run(self, task: impl Future<Output = ()> + 'static) {
        let (task, handle) = abortable(task);
        abort(self.0, Some(handle));
        spawn_local(async move {
            // Ended early, nobody waits for it.
            let _ = task.await;
        });
    }
}

fn abort(running: StoredValue<Option<AbortHandle>>, next: Option<AbortHandle>) {
    if let Some(Some(handle)) = running.try_update_value(|running| std::mem::replace(running, next)) {
        handle.abort();
    }
}

//! Work of which only the newest counts.

use futures_util::future::{AbortHandle, abortable};
use gloo_timers::future::TimeoutFuture;
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
            // Where it was ended early, nobody waits for it.
            let _ = task.await;
        });
    }
}

/// A value once it has stayed for so many milliseconds: what follows a slider need not follow its every step.
pub fn settled<T: Clone + PartialEq + Send + Sync + 'static>(value: Memo<T>, pause: u32) -> ReadSignal<T> {
    let (settled, set_settled) = signal(value.get_untracked());
    let task = LatestTask::new();
    Effect::new(move |_| {
        let value = value.get();
        task.run(async move {
            TimeoutFuture::new(pause).await;
            // What is as before changes nothing for others.
            if settled.read_untracked() != value {
                set_settled.set(value);
            }
        });
    });
    settled
}

fn abort(running: StoredValue<Option<AbortHandle>>, next: Option<AbortHandle>) {
    if let Some(Some(handle)) = running.try_update_value(|running| std::mem::replace(running, next)) {
        handle.abort();
    }
}

//! Bootstrap intervals of AP50, computed a little at a time, so that the page stays quick.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use shared_model::evaluation::{Ap50Bootstrap, Difference, RankedBoxes};

use crate::page::evaluation::SetEvaluation;
use crate::page::latest::LatestTask;

/// Draws at a time: of 1,000 pictures some milliseconds.
const STEP: usize = 20;

/// AP50 of each model less the first one's, in points; `None` for the first, and until it is known. Another set ends what is being
/// computed.
pub fn ap50_differences(set: ReadSignal<SetEvaluation>) -> ReadSignal<Vec<Option<Difference>>> {
    let (differences, set_differences) = signal(Vec::new());
    let task = LatestTask::new();
    Effect::new(move |_| {
        let ranked: Vec<Option<Arc<RankedBoxes>>> =
            set.read().models.iter().map(|model| model.ranked.clone()).collect();
        set_differences.set(vec![None; ranked.len()]);
        task.run(async move {
            let Some(Some(first)) = ranked.first() else { return };
            for (i, other) in ranked.iter().enumerate().skip(1) {
                let Some(other) = other else { continue };
                let Some(mut bootstrap) = Ap50Bootstrap::new(Arc::clone(first), Arc::clone(other)) else { continue };
                let difference = loop {
                    TimeoutFuture::new(0).await;
                    if let Some(difference) = bootstrap.advance(STEP) {
                        break difference;
                    }
                };
                set_differences.update(|differences| differences[i] = Some(difference));
            }
        });
    });
    differences
}

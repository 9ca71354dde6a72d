//! A dead worker's successor.

use super::connection::WorkerStart;
use super::jobs::Job;
use super::{Death, WorkerDriver};
use crate::page::language::text;
use crate::page::state::State;

/// Starts in a row without a sign of life after which another is pointless.
const MAX_FAILED_STARTS: u32 = 2;

impl WorkerDriver {
    /// Replaces the worker at once; the picture that it died on has to wait for the visitor.
    pub(super) fn replace(self, death: Death) {
        let State { worker, panels, benchmark, .. } = self.state;
        let reason = match &death {
            Death::Said(reason) => reason,
            Death::Silent => "it no longer answers",
        };
        leptos::logging::warn!("the worker died: {reason}");
        let died_on = self.assigned(|assigned| assigned.busy.as_ref().and_then(Job::picture));
        let had_started = worker.is_ready();
        // Threads are the first suspect: the successor does without.
        let has_retreated = WorkerStart::get().is_some_and(|start| start.retreat(reason));
        let failed_starts = self.assigned_mut(|assigned| {
            if !had_started && !has_retreated {
                assigned.failed_starts += 1;
            }
            assigned.failed_starts
        });
        if failed_starts >= MAX_FAILED_STARTS {
            self.assigned_mut(|assigned| assigned.connection = None);
            return worker.set_broken(text!(
                "The part of the page that runs the networks does not start (%{reason}).",
                reason = reason
            ));
        }
        for panel in panels.known() {
            panel.unload();
        }
        // What was asked for beside pictures may have been the cause too.
        benchmark.stop_all();
        self.report_death(&death, died_on, had_started);
        self.connect();
    }

    fn report_death(self, death: &Death, died_on: Option<u32>, had_started: bool) {
        let State { input, notices, .. } = self.state;
        let is_silent = matches!(death, Death::Silent);
        match died_on {
            // Of a camera, the next frame may be on its way already: it waits, too, lest worker after worker dies.
            Some(picture) if Some(picture) == input.wanted() || input.is_live() => {
                input.set_suspect(input.wanted().unwrap_or(picture));
                notices.offer_retry(if is_silent {
                    text!("The worker that runs the networks has not answered for a minute on this picture. It has been replaced.")
                } else {
                    text!("The worker that runs the networks crashed or ran out of memory on this picture. It has been replaced.")
                });
            }
            Some(picture) => {
                drop(input.refuse(
                    picture,
                    if is_silent {
                        text!("The worker did not answer for a minute on this picture.")
                    } else {
                        text!("The worker crashed or ran out of memory on this picture.")
                    },
                ));
            }
            None if had_started => notices.tell(if is_silent {
                text!("The worker that runs the networks has not answered for a minute. It has been replaced.")
            } else {
                text!("The worker that runs the networks crashed or ran out of memory. It has been replaced.")
            }),
            None => {}
        }
    }
}

//! What the worker's answers change: each is filed in the stores that it is about.

use super::connection::WorkerStart;
use super::jobs::Job;
use super::{Death, WorkerDriver};
use crate::page::failures;
use crate::page::intake::annotations;
use crate::page::model_list;
use crate::page::panel::{Panel, Run};
use crate::page::picture::OpenedPicture;
use crate::page::state::{State, WorkerBuild, random_variant};
use crate::protocol::{LoadError, ModelFacts, Reply, Request, Timing};

impl WorkerDriver {
    pub(super) fn file(self, reply: Reply) {
        let state = self.state;
        match reply {
            Reply::Ready { threads, relaxed_simd } => {
                self.assigned_mut(|assigned| assigned.failed_starts = 0);
                let why = WorkerStart::get().map(|start| match threads < start.threads() {
                    true => "not-started".into(),
                    false => start.why(),
                });
                state.worker.set_ready(WorkerBuild { threads, relaxed_simd, why: why.unwrap_or_default() });
            }
            Reply::Progress { model, received } => state.panels.of(&model).set_loading(received),
            Reply::Loaded { model, facts } => self.loaded(&model, facts),
            Reply::LoadFailed { model, error } => self.load_failed(&model, error),
            Reply::Opened { picture, width, height } => self.opened(picture, (width, height)),
            Reply::OpenFailed { picture, error } => {
                self.done(&Job::Open(picture));
                let message = failures::opening(&error);
                if let Some(awaited) = state.input.refuse(picture, message.clone()) {
                    state.notices.tell(format!("{}: {message}", awaited.name));
                }
            }
            Reply::Found { picture, model, candidates, timing, cold, memory } => {
                let panel = state.panels.of(&model);
                state.worker.count_runs(&[timing], memory);
                if cold {
                    panel.set_cold(timing);
                }
                let (candidates, first) = (Ok(candidates.into()), Some(timing));
                self.put_run(picture, panel, |size| Run { size, candidates, first, warm: vec![] });
                self.done(&Job::Run { picture, model });
            }
            Reply::RunFailed { picture, model, error } => {
                let message = failures::running(&error);
                state.benchmark.fail(&model, &message);
                let candidates = Err(message);
                let panel = state.panels.of(&model);
                self.put_run(picture, panel, |size| Run { size, candidates, first: None, warm: vec![] });
                self.done(&Job::Run { picture, model });
            }
            Reply::Measured { picture, model, timings, memory } => {
                state.worker.count_runs(&timings, memory);
                self.measured(picture, &model, timings);
            }
            Reply::Profiled { model, times } => {
                state.benchmark.end_layers(&model);
                if let Some(facts) = state.panels.of(&model).facts() {
                    state.benchmark.put_layer_times(facts.variant.clone(), times.into());
                }
                self.done(&Job::Profile(model.clone()));
                self.unload_random(&model);
            }
            Reply::Died(reason) => self.replace(Death::Said(reason)),
        }
    }

    /// The worker has answered; unless it was already given another job, it is free.
    fn done(self, job: &Job) {
        self.assigned_mut(|assigned| {
            if assigned.busy.as_ref() == Some(job) {
                assigned.busy = assigned.ahead.pop_front();
            }
        });
    }

    fn loaded(self, model: &str, facts: ModelFacts) {
        let state = self.state;
        if state.models.is_own(model)
            && let Some((known, weights)) = state.models.list_own(model, &facts)
        {
            model_list::keep(state, known, weights);
        }
        state.panels.of(model).set_ready(facts);
    }

    fn load_failed(self, model: &str, error: LoadError) {
        let state = self.state;
        let message = failures::loading(model, &error);
        if state.models.is_own(model) {
            self.assigned_mut(|assigned| assigned.loads.remove(model));
            return model_list::refuse(state, model, &message);
        }
        if state.benchmark.fail(model, &message) {
            self.assigned_mut(|assigned| assigned.loads.remove(model));
        }
        state.benchmark.end_layers(model);
        state.panels.of(model).set_failed(error);
    }

    /// A picture has proved good: what is annotated in it can be told, and if the visitor waits for it, it is put on show.
    fn opened(self, id: u32, size: (u32, u32)) {
        let State { input, panels, display, .. } = self.state;
        self.done(&Job::Open(id));
        self.assigned_mut(|assigned| assigned.opened = Some((id, Some(size))));
        if let Some(picture) = input.find(id) {
            annotations::resolve_opened(self.state, picture, size);
        }
        let Some(picture) = input.pending().filter(|pending| pending.id == id) else { return };
        for panel in panels.known() {
            // What was found in pictures that cannot be shown again is of no use.
            panel.retain_runs(|seen| seen == id || input.is_in_gallery(seen));
        }
        // Frames of a camera are views of one scene, and keep its window.
        if !input.is_live() {
            display.reset_zoom();
        }
        input.show(OpenedPicture { picture, width: size.0, height: size.1 });
    }

    /// Files a run on the picture that the worker holds.
    fn put_run(self, picture: u32, panel: Panel, run: impl FnOnce((u32, u32)) -> Run) {
        let Some((opened, Some(size))) = self.assigned(|assigned| assigned.opened) else { return };
        if opened == picture {
            panel.put_run(picture, run(size));
        }
    }

    fn measured(self, picture: u32, model: &str, timings: Vec<Timing>) {
        let (panels, benchmark) = (self.state.panels, self.state.benchmark);
        let job = self.assigned(|assigned| assigned.busy.clone());
        let panel = panels.of(model);
        if benchmark.next().as_deref() == Some(model) && !timings.is_empty() {
            benchmark.add(model, panel.cold(), timings);
        } else {
            panel.add_timings(picture, timings);
        }
        if let Some(job @ Job::Measure { .. }) = job {
            self.done(&job);
        }
        if !benchmark.is_queued(model) {
            self.unload_random(model);
        }
    }

    /// Random weights have served once they are measured: their memory goes to the next ones.
    fn unload_random(self, model: &str) {
        let panels = self.state.panels;
        if random_variant(model).is_none() || panels.shows(model) {
            return;
        }
        self.assigned_mut(|assigned| {
            assigned.loads.remove(model);
            assigned.send(&Request::Unload { model: model.into() });
        });
        panels.forget(model);
    }
}

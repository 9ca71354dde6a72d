//! What the worker is given: the next model, and the next job as soon as it is free for it.

use std::collections::VecDeque;

use super::jobs::{Job, PanelProgress, Situation};
use super::{Assigned, WorkerDriver};
use crate::page::panel::{Panel, Run, WeightsState};
use crate::page::state::{random_variant, split_size};
use crate::protocol::{ModelFile, Request, WeightsSource};

impl WorkerDriver {
    /// Reads what decides about jobs, so that the calling effect runs again when it changes.
    pub(super) fn track(self) {
        let state = self.state;
        state.worker.track();
        state.models.track();
        state.input.track();
        state.benchmark.track();
        state.panels.track();
    }

    /// Gives the worker what it lacks.
    pub(super) fn dispatch(self) {
        if self.state.worker.is_ready() {
            self.assigned_mut(|assigned| self.assign(assigned));
        }
    }

    fn assign(self, assigned: &mut Assigned) {
        if let Some(request) = self.next_load(assigned) {
            assigned.send(&request);
        }
        let situation = self.situation(assigned);
        let next = situation.next();
        let is_free = |next: &Job| assigned.busy.as_ref().is_none_or(|busy| busy.gives_way() && !next.gives_way());
        // The worker need not wait for a camera's next frame: it is there while the last panel looks at the one before.
        let is_early = |next: &Job| {
            let is_last = matches!(assigned.busy, Some(Job::Run { .. })) && assigned.ahead.is_empty();
            is_last && situation.is_live && matches!(next, Job::Open(_))
        };
        let Some(job) = next.filter(|next| is_free(next) || is_early(next)) else { return };
        let is_now = is_free(&job);
        if let (Job::Open(picture), true) = (&job, is_now) {
            assigned.opened = Some((*picture, None));
        }
        let (ahead, mut jobs) = (situation.ahead_of(&job), VecDeque::from([job]));
        jobs.extend(ahead);
        jobs.retain(|job| match self.request(job) {
            Some(request) => {
                assigned.send(&request);
                true
            }
            None => false,
        });
        if is_now {
            assigned.busy = jobs.pop_front();
            assigned.silent_ticks = 0;
        }
        assigned.ahead.extend(jobs);
    }

    /// The request for the next model that is called for, if none is on its way: one after another, so that the first model's
    /// boxes do not wait for the others' weights on a slow connection.
    fn next_load(self, assigned: &mut Assigned) -> Option<Request> {
        let (panels, benchmark) = (self.state.panels, self.state.benchmark);
        let wanted = panels.names().into_iter().chain(benchmark.next()).chain(benchmark.next_layers());
        for model in wanted {
            if assigned.loads.contains(&model) {
                if matches!(panels.of(&model).weights(), WeightsState::Loading(_)) {
                    return None;
                }
                continue;
            }
            let source = self.source(&model)?;
            assigned.loads.insert(model.clone());
            let input_size = split_size(&model).1;
            return Some(Request::Load { model, source, input_size });
        }
        None
    }

    /// Where a model's weights come from, once that is known.
    fn source(self, model: &str) -> Option<WeightsSource> {
        let (assets, models) = (self.state.assets, self.state.models);
        if let Some(variant) = random_variant(split_size(model).0) {
            return Some(WeightsSource::Random { variant: variant.into() });
        }
        if let Some(source) = models.own_source(model) {
            return Some(source);
        }
        let entry = models.entry(model)?;
        let url = assets.find(&format!("models/{}", entry.file)).unwrap_or_default();
        let (bytes, sha256) = (entry.bytes, entry.sha256);
        Some(WeightsSource::Published(ModelFile { model: model.into(), url, bytes, sha256 }))
    }

    fn situation(self, assigned: &Assigned) -> Situation {
        let (input, panels, benchmark) = (self.state.input, self.state.panels, self.state.benchmark);
        let (shown, suspect) = (input.shown_id(), input.suspect());
        let progress = |panel: Panel| PanelProgress {
            model: panel.name(),
            is_ready: panel.facts().is_some(),
            seen: panel.pictures(),
            missing_runs: shown.and_then(|id| panel.run(id)).as_ref().map_or(0, Run::missing_runs),
        };
        let gallery = if input.is_paused() { Vec::new() } else { input.gallery_ids() };
        Situation {
            wanted: input.wanted().filter(|id| Some(*id) != suspect),
            is_pending: input.is_pending(),
            opened: assigned.opened.map(|(picture, _)| picture),
            panels: panels.shown().into_iter().map(progress).collect(),
            gallery: gallery.into_iter().filter(|id| !input.is_refused(*id) && Some(*id) != suspect).collect(),
            benchmark: benchmark.next().map(|model| {
                let panel = panels.of(&model);
                (progress(panel), panel.cold().is_some())
            }),
            profile: benchmark.next_layers().map(|model| progress(panels.of(&model))),
            is_live: input.is_live(),
        }
    }

    fn request(self, job: &Job) -> Option<Request> {
        Some(match job.clone() {
            Job::Open(picture) => Request::Open { picture, source: self.state.input.find(picture)?.source() },
            Job::Run { picture, model } => Request::Run { picture, model, thresholds: None },
            Job::Measure { picture, model, runs } => Request::Measure { picture, model, runs },
            Job::Profile(model) => Request::Profile { model },
        })
    }
}

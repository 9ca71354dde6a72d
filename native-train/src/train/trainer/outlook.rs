//! How much is still to be done, and how long it takes.

use std::sync::PoisonError;

use anyhow::Result;

use super::{PREFETCH, Trainer};
use crate::train::checkpoint::TrainingProgress;
use crate::train::metrics::{self, Record};
use crate::train::run_folder::KeptWeights;
use crate::train::schedule::TrainingStage;
use crate::train::throughput::Workload;

/// Iterations between two looks at the clock, where there is a time budget.
const REPLAN_PERIOD: usize = 10;
/// Evaluations where nobody says how often they come.
const EVALUATIONS: usize = 10;

impl Trainer {
    /// Where there is a time budget, as many iterations as the time allows.
    pub(super) fn replan(&mut self) {
        let TrainingProgress { settings, iteration, schedule, seconds, .. } = &self.progress;
        let Some(budget) = settings.time_budget else { return };
        if iteration % REPLAN_PERIOD != 0 {
            return;
        }
        let Some(affordable) = self.throughput.iterations(budget.0.as_secs_f64(), *seconds, self.work()) else {
            return;
        };
        let committed = PREFETCH.div_ceil(self.ranks.place().batches(settings.accumulate)) + 1;
        let schedule = schedule.replanned(*iteration, iteration + affordable, committed, settings.stage_lengths());
        self.progress.schedule = schedule;
        *self.schedule.lock().unwrap_or_else(PoisonError::into_inner) = schedule;
    }

    /// After an evaluation: whether so many in a row were no better that the last stage begins at once. The batches that
    /// are ready are not for it.
    pub(super) fn lose_patience(&mut self) -> Result<bool> {
        let TrainingProgress { settings, iteration, schedule, .. } = &self.progress;
        let Some(patience) = settings.patience else { return Ok(false) };
        if schedule.stage(*iteration) != TrainingStage::Cosine {
            return Ok(false);
        }
        // The file is that of the iterations so far, in a run that goes on too.
        let records = metrics::read(&self.parts.folder.metrics())?;
        let evaluations = records.iter().rev().filter_map(|record| match record {
            Record::Evaluation(evaluation) => Some(evaluation),
            Record::Step(_) => None,
        });
        if evaluations.take_while(|evaluation| !evaluation.best).count() < patience {
            return Ok(false);
        }
        let schedule = schedule.cut_short(*iteration);
        self.progress.schedule = schedule;
        *self.schedule.lock().unwrap_or_else(PoisonError::into_inner) = schedule;
        self.console.say(&format!("no better for {patience} evaluations: the last stage begins now"));
        self.write_weights(KeptWeights::LastMosaic)?;
        Ok(true)
    }

    pub(super) fn work(&self) -> Workload {
        Workload { evaluation_interval: self.evaluation_interval(), ..self.sizes() }
    }

    /// How large iterations and evaluations are.
    pub(super) fn sizes(&self) -> Workload {
        let images = self.parts.validation.as_ref().map_or(0, |validation| validation.images.len());
        let size = self.progress.settings.size;
        Workload {
            pixels: self.images_per_iteration() * self.parts.learner.plan.mean_pixels(),
            evaluation_pixels: (images * size * size) as f64,
            evaluation_interval: 1,
        }
    }

    pub(super) fn images_per_iteration(&self) -> f64 {
        self.parts.learner.plan.images as f64 / self.progress.schedule.per_epoch as f64
    }

    /// Iterations between two evaluations.
    pub(super) fn evaluation_interval(&self) -> usize {
        let TrainingProgress { settings, schedule, .. } = &self.progress;
        let interval = match (settings.eval_every, settings.time_budget) {
            (Some(epochs), _) => (epochs * schedule.per_epoch as f64).round() as usize,
            (None, None) => schedule.iterations / EVALUATIONS,
            (None, Some(_)) => {
                (schedule.iterations / EVALUATIONS).max(self.throughput.evaluation_interval(self.sizes()))
            }
        };
        interval.max(1)
    }
}

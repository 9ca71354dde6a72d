//! When the stages of a training begin: fitting to a teacher part by part, warm-up, cosine with mosaic, and the flat end without mosaic and with L1 loss.

use serde::{Deserialize, Serialize};

/// The stages of a training, in iterations; the first iteration is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Iterations of an epoch.
    pub per_epoch: usize,
    /// Before this iteration the network's parts are fitted to the teacher's, each by itself.
    #[serde(default)]
    pub fit: usize,
    /// The learning rate rises before this iteration.
    pub warmup: usize,
    /// From this iteration on there is no mosaic, the L1 loss is added and the learning rate stays.
    pub no_aug_from: usize,
    pub iterations: usize,
}

/// Steps that warm-up takes at least by default: after fewer, a network with random weights is still so far from anything
/// that the full learning rate sets it back.
const LEAST_WARMUP: f64 = 1000.0;

/// How long the first and the last stage are, in epochs; `None` for a share of the whole training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageLengths {
    /// Iterations of fitting, which come in addition to the training's.
    pub fit: usize,
    /// Of warm-up. By default as in the reference recipe a sixtieth of the training (5 of 300 epochs), but 1,000 iterations,
    /// or a tenth of the training, where that is too short.
    pub warmup: Option<f64>,
    /// Of the end without mosaic. By default as in the reference recipe a twentieth of the training (15 of 300 epochs),
    /// but an epoch, or a fifth of the training, where that is too short.
    pub plain: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingStage {
    /// The learning rate rises.
    Warmup,
    /// The learning rate falls along a cosine.
    Cosine,
    /// Images as they are, without mosaic; L1 loss.
    NoAug,
    /// Before all others: each part of the network learns to compute what the teacher's computes.
    Fit,
}

impl Schedule {
    /// The stages of a training of `iterations`, fitting among them.
    pub fn new(per_epoch: usize, iterations: usize, lengths: StageLengths) -> Self {
        let fit = lengths.fit.min(iterations);
        let epochs = (iterations - fit) as f64 / per_epoch as f64;
        let least = f64::min(LEAST_WARMUP / per_epoch as f64, epochs / 10.0);
        let warmup = lengths.warmup.unwrap_or_else(|| f64::max(epochs / 60.0, least));
        let plain = lengths.plain.unwrap_or_else(|| f64::max(epochs / 20.0, f64::min(1.0, epochs / 5.0)));
        let in_iterations = |epochs: f64| ((epochs * per_epoch as f64).round() as usize).min(iterations - fit);
        let no_aug_from = iterations - in_iterations(plain);
        Self { per_epoch, fit, warmup: (fit + in_iterations(warmup)).min(no_aug_from), no_aug_from, iterations }
    }

    /// The same training, which has come to `iteration`, with another number of iterations: what has begun stays begun,
    /// and mosaic does not end within the next `committed` iterations, whose batches may be there already.
    #[must_use]
    pub fn replanned(&self, iteration: usize, iterations: usize, committed: usize, lengths: StageLengths) -> Self {
        let iterations = iterations.max(iteration);
        let mut new = Self::new(self.per_epoch, iterations, StageLengths { fit: self.fit, ..lengths });
        new.no_aug_from = if iteration >= self.no_aug_from {
            self.no_aug_from
        } else {
            new.no_aug_from.max((iteration + committed).min(iterations))
        };
        new.warmup = if iteration >= self.warmup { self.warmup } else { new.warmup.max(iteration) };
        new
    }

    /// The same training, whose last stage begins at `iteration` already and is as long as planned.
    #[must_use]
    pub fn cut_short(&self, iteration: usize) -> Self {
        let no_aug_from = iteration.min(self.no_aug_from);
        let iterations = no_aug_from + self.iterations - self.no_aug_from;
        Self { no_aug_from, iterations, warmup: self.warmup.min(no_aug_from), ..*self }
    }

    /// The stage of an iteration.
    pub fn stage(&self, iteration: usize) -> TrainingStage {
        if iteration < self.fit {
            TrainingStage::Fit
        } else if iteration >= self.no_aug_from {
            TrainingStage::NoAug
        } else if iteration < self.warmup {
            TrainingStage::Warmup
        } else {
            TrainingStage::Cosine
        }
    }

    /// The number of epochs of `iterations`.
    pub fn epochs(&self, iterations: usize) -> f64 {
        iterations as f64 / self.per_epoch as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_stages_are_the_references() {
        let schedule = Schedule::new(259, 77_700, StageLengths::default());
        assert_eq!((schedule.warmup, schedule.no_aug_from), (5 * 259, 285 * 259));
        let short = Schedule::new(100, 1200, StageLengths::default());
        assert_eq!((short.warmup, short.no_aug_from), (120, 1100));
        let tiny = Schedule::new(100, 200, StageLengths::default());
        assert_eq!((tiny.warmup, tiny.no_aug_from), (20, 160));
    }

    #[test]
    fn stages_follow_each_other() {
        let lengths = StageLengths { warmup: Some(1.0), plain: Some(0.5), fit: 0 };
        let schedule = Schedule::new(10, 30, lengths);
        let stages: Vec<TrainingStage> = (0..30).map(|i| schedule.stage(i)).collect();
        assert_eq!(stages[..10], [TrainingStage::Warmup; 10]);
        assert_eq!(stages[10..25], [TrainingStage::Cosine; 15]);
        assert_eq!(stages[25..], [TrainingStage::NoAug; 5]);
        let none = Schedule::new(10, 30, StageLengths { warmup: Some(0.0), plain: Some(0.0), fit: 0 });
        assert!((0..30).all(|i| none.stage(i) == TrainingStage::Cosine));
    }

    #[test]
    fn a_training_cut_short_has_its_last_stage() {
        let schedule = Schedule::new(100, 1200, StageLengths::default());
        let short = schedule.cut_short(600);
        assert_eq!((short.warmup, short.no_aug_from, short.iterations), (schedule.warmup, 600, 700));
        assert_eq!(schedule.cut_short(1150), schedule, "the last stage has begun");
    }

    #[test]
    fn what_has_begun_stays_begun() {
        let lengths = StageLengths::default();
        let schedule = Schedule::new(100, 1200, lengths);
        let in_warmup = schedule.replanned(50, 120, 5, lengths);
        assert_eq!((in_warmup.warmup, in_warmup.iterations), (50, 120), "warm-up is over at once");
        let later = schedule.replanned(500, 2400, 5, lengths);
        assert_eq!((later.warmup, later.no_aug_from), (120, 2280));
        let late = schedule.replanned(900, 910, 20, lengths);
        assert_eq!((late.no_aug_from, late.iterations), (910, 910), "batches with mosaic are there already");
        let plain = schedule.replanned(1150, 4000, 5, lengths);
        assert_eq!((plain.no_aug_from, plain.iterations), (1100, 4000));
        assert_eq!(schedule.replanned(700, 3, 5, lengths).iterations, 700, "the past cannot be shortened");
    }

    #[test]
    fn another_plan_keeps_the_fitting() {
        let lengths = StageLengths::default();
        let schedule = Schedule::new(100, 1203, StageLengths { fit: 3, ..lengths });
        assert_eq!(schedule.replanned(50, 603, 5, lengths).fit, 3);
    }
}

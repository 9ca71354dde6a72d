//! The learning rate over a training (`yolox_warm_cos_lr` in `yolox/utils/lr_scheduler.py`): it rises quadratically from
//! 0, may stay, falls along a cosine, and stays at a twentieth to the end.

use std::f64::consts::PI;

/// The last learning rate as a part of the greatest.
const LAST: f64 = 0.05;

/// When the learning rate is how great. Iterations count from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    /// The greatest learning rate, at the end of warm-up.
    pub peak: f64,
    /// The iteration that it begins with.
    pub from: usize,
    /// The learning rate rises before this iteration.
    pub warmup: usize,
    /// It falls from this iteration on; not before `warmup`.
    pub falls_from: usize,
    /// It stays as it is from this iteration on; not before `falls_from`.
    pub flat_from: usize,
}

impl LrSchedule {
    /// The learning rate of an iteration; 0 in the very first where there is a warm-up, as in YOLOX.
    pub fn lr(&self, iteration: usize) -> f64 {
        let last = LAST * self.peak;
        if iteration >= self.flat_from {
            last
        } else if iteration < self.warmup {
            self.peak * ((iteration - self.from) as f64 / (self.warmup - self.from) as f64).powi(2)
        } else if iteration < self.falls_from {
            self.peak
        } else {
            let done = (iteration - self.falls_from) as f64 / (self.flat_from - self.falls_from) as f64;
            last + 0.5 * (self.peak - last) * (1.0 + (PI * done).cos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // lr, low, warmup, flat = 0.01, 0.0005, 100, 950
    // quadratic = lambda i: lr * (i / warmup) ** 2
    // cosine = lambda i: low + 0.5 * (lr - low) * (1 + math.cos(math.pi * (i - warmup) / (flat - warmup)))
    #[test]
    fn rates_as_yolox() {
        let schedule = LrSchedule { peak: 0.01, from: 0, warmup: 100, falls_from: 100, flat_from: 950 };
        for (iteration, expected) in [
            (0, 0.0),
            (1, 1e-6),
            (50, 0.0025),
            (99, 0.009801),
            (100, 0.01),
            (525, 0.00525),
            (800, 0.001211468605),
            (949, 0.000500032440),
            (950, 0.0005),
            (999, 0.0005),
        ] {
            let found = schedule.lr(iteration);
            assert!((found - expected).abs() < 1e-11, "iteration {iteration}: {found} instead of {expected}");
        }
    }

    #[test]
    fn stages_of_no_length() {
        let schedule = |warmup, flat_from| LrSchedule { peak: 1.0, from: 0, warmup, falls_from: warmup, flat_from };
        assert_eq!(schedule(0, 10).lr(0), 1.0);
        assert_eq!(schedule(5, 5).lr(5), LAST);
        assert_eq!(schedule(0, 0).lr(0), LAST);
        let late = LrSchedule { peak: 1.0, from: 100, warmup: 110, falls_from: 120, flat_from: 140 };
        let rates = [100, 105, 110, 119, 120, 130, 140].map(|iteration| late.lr(iteration));
        assert_eq!(rates, [0.0, 0.25, 1.0, 1.0, 1.0, LAST + 0.475, LAST]);
    }
}

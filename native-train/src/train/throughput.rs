//! How fast a training goes, and how many iterations fit into the time that is left.

/// Iterations that are not measured: memory and caches are still being filled.
const UNMEASURED: usize = 2;
/// Weight of older measurements, an iteration later: about the last hundred count.
const MEMORY: f64 = 0.99;
/// What an image costs in an evaluation, as a part of what it costs in training, until it was measured: forward alone is
/// a third of a step, and the runtime is faster than the engine.
const EVALUATION_PART: f64 = 0.25;
/// Part of a budget of time that is left to the last reports, and for errors of measurement.
const RESERVE: f64 = 0.01;
/// The most of the time that evaluations take where nobody says how often they come.
const EVALUATIONS: f64 = 0.15;

/// Measured costs of training. Steps are measured by pixel, because sizes of the input differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Throughput {
    steps: usize,
    pixels: f64,
    seconds: f64,
    evaluation: Option<f64>,
}

/// What is still to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Pixels of an average iteration: all its images'.
    pub pixels: f64,
    /// Pixels of all images of an evaluation; 0 without one.
    pub evaluation_pixels: f64,
    /// Iterations between two evaluations.
    pub evaluation_interval: usize,
}

impl Throughput {
    /// An iteration over `pixels` took `seconds`.
    pub fn step(&mut self, pixels: f64, seconds: f64) {
        self.steps += 1;
        if self.steps > UNMEASURED {
            self.pixels = MEMORY * self.pixels + pixels;
            self.seconds = MEMORY * self.seconds + seconds;
        }
    }

    /// An evaluation took `seconds`.
    pub fn evaluation(&mut self, seconds: f64) {
        self.evaluation = Some(seconds);
    }

    /// Seconds of an iteration over `pixels`; `None` until some were measured.
    pub fn iteration_seconds(&self, pixels: f64) -> Option<f64> {
        (self.pixels > 0.0).then(|| self.seconds / self.pixels * pixels)
    }

    /// Seconds that `iterations` take, with their evaluations; `None` until some iterations were measured.
    pub fn seconds(&self, iterations: usize, work: Workload) -> Option<f64> {
        let (step, evaluation) = self.costs(work)?;
        Some(iterations as f64 * (step + evaluation / work.evaluation_interval as f64) + evaluation)
    }

    /// How many iterations, with their evaluations, fit into what is left of a budget of time, of which `spent` is gone;
    /// all in seconds. `None` until some iterations were measured.
    pub fn iterations(&self, budget: f64, spent: f64, work: Workload) -> Option<usize> {
        let (step, evaluation) = self.costs(work)?;
        let left = (1.0 - RESERVE) * budget - spent - evaluation;
        Some((left / (step + evaluation / work.evaluation_interval as f64)).max(0.0) as usize)
    }

    /// The least number of iterations between two evaluations that leaves most of the time to training; 0 until some
    /// iterations were measured.
    pub fn evaluation_interval(&self, work: Workload) -> usize {
        let costs = self.costs(work);
        costs.map_or(0, |(step, evaluation)| (evaluation / step * (1.0 - EVALUATIONS) / EVALUATIONS).ceil() as usize)
    }

    /// Seconds of an iteration and of an evaluation.
    fn costs(&self, work: Workload) -> Option<(f64, f64)> {
        let guess = EVALUATION_PART * self.iteration_seconds(work.evaluation_pixels)?;
        let evaluation = if work.evaluation_pixels == 0.0 { 0.0 } else { self.evaluation.unwrap_or(guess) };
        Some((self.iteration_seconds(work.pixels)?, evaluation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::{Schedule, StageLengths, TrainingStage};

    const WORK: Workload = Workload { pixels: 100.0, evaluation_pixels: 1000.0, evaluation_interval: 100 };

    #[test]
    fn the_first_steps_are_not_measured() {
        let mut throughput = Throughput::default();
        throughput.step(100.0, 60.0);
        throughput.step(100.0, 60.0);
        assert_eq!(throughput.iterations(1000.0, 10.0, WORK), None);
        throughput.step(200.0, 2.0);
        assert_eq!(throughput.iteration_seconds(100.0), Some(1.0));
        // 980 s, of which 2.5 s for the last evaluation: iterations take 1 s, and a hundredth of 2.5 s.
        assert_eq!(throughput.iterations(1000.0, 10.0, WORK), Some(953));
        throughput.evaluation(80.0);
        assert_eq!(throughput.iterations(1000.0, 10.0, WORK), Some(500));
        assert_eq!(throughput.seconds(500, WORK), Some(980.0));
        assert_eq!(throughput.iterations(1000.0, 985.0, WORK), Some(0), "nothing fits");
        assert_eq!(throughput.iterations(1000.0, 10.0, Workload { evaluation_pixels: 0.0, ..WORK }), Some(980));
    }

    /// Trains on a clock of its own, on a machine whose speed changes: ends in time, not early, with all stages.
    #[test]
    fn the_schedule_meets_its_time() {
        for (budget, speed) in [
            (3600.0, (|_| 1.0) as fn(f64) -> f64),
            (3600.0, |clock| if clock < 1200.0 { 0.5 } else { 1.3 }),
            (3600.0, |clock| 1.0 + 0.3 * (clock / 50.0).sin()),
            (120.0, |_| 0.7),
        ] {
            let lengths = StageLengths::default();
            let mut schedule = Schedule::new(70, 300 * 70, lengths);
            let (mut throughput, mut clock, mut iteration, mut evaluated) = (Throughput::default(), 0.0, 0, 0);
            let mut stages = [0; 3];
            while iteration < schedule.iterations {
                stages[schedule.stage(iteration) as usize] += 1;
                let pixels = if iteration / 10 % 2 == 0 { 80.0 } else { 120.0 };
                let seconds = pixels / 100.0 * speed(clock);
                clock += seconds;
                throughput.step(pixels, seconds);
                iteration += 1;
                let interval = (schedule.iterations / 10).max(throughput.evaluation_interval(WORK)).max(1);
                if iteration >= evaluated + interval || iteration == schedule.iterations {
                    evaluated = iteration;
                    clock += 20.0 * speed(clock);
                    throughput.evaluation(20.0 * speed(clock));
                }
                let work = Workload { evaluation_interval: interval, ..WORK };
                if let Some(left) = throughput.iterations(budget, clock, work).filter(|_| iteration % 10 == 0) {
                    schedule = schedule.replanned(iteration, iteration + left, 5, lengths);
                }
            }
            assert!(clock <= budget && clock > 0.85 * budget, "{clock:.0} of {budget} s");
            let share = |stage: TrainingStage| f64::from(stages[stage as usize]) / iteration as f64;
            assert!(share(TrainingStage::NoAug) > 0.03 && share(TrainingStage::Warmup) > 0.01, "{stages:?}");
            assert!(share(TrainingStage::Cosine) > 0.5, "{stages:?}");
        }
    }
}

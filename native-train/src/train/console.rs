//! What a person sees of a training: one line on a terminal that changes, plain lines now and then in a log.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::metrics::StepMetrics;
use super::schedule::Schedule;

/// Time between two lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(30);
/// Iterations that losses and speed are averaged over: those of a single one jump about.
const WINDOW: usize = 50;

/// The console of a training, on standard error.
#[derive(Debug)]
pub struct Console {
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// When the last line was printed in a log.
    last_line: Option<Instant>,
    recent: VecDeque<StepMetrics>,
}

impl Console {
    /// Starts with nothing on it.
    pub fn start() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            match ProgressStyle::with_template("{bar:16} {msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, last_line: None, recent: VecDeque::new() }
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // Nobody is left to tell where standard error is closed.
            None => drop(writeln!(stderr(), "{text}")),
        }
    }

    /// Shows an iteration; `left` are the seconds until the end, where they are known.
    pub fn step(&mut self, step: &StepMetrics, schedule: &Schedule, left: Option<f64>) {
        self.recent.push_back(step.clone());
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        if let Some(bar) = &self.bar {
            bar.set_length(schedule.iterations as u64);
            bar.set_position(step.iteration as u64);
            bar.set_message(line(&self.recent, schedule, left));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            self.say(&line(&self.recent, schedule, left));
        }
    }

    /// Removes the line that changes.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The newest iteration, with means of losses and speed over all of `recent`.
fn line(recent: &VecDeque<StepMetrics>, schedule: &Schedule, left: Option<f64>) -> String {
    let Some(step) = recent.back() else { return String::new() };
    let mean = |value: fn(&StepMetrics) -> f64| recent.iter().map(value).sum::<f64>() / recent.len() as f64;
    let l1 = if step.l1 > 0.0 { format!(" l1 {:.2}", mean(|s| s.l1)) } else { String::new() };
    let of_teacher = |name: &str, value: fn(&StepMetrics) -> Option<f64>| {
        let mean = recent.iter().filter_map(value).sum::<f64>() / recent.iter().filter_map(value).count() as f64;
        if value(step).is_some() { format!(" {name} {mean:.3}") } else { String::new() }
    };
    let teacher = of_teacher("teacher", |step| step.output) + &of_teacher("features", |step| step.features);
    let left = left.map_or_else(|| "?".into(), duration);
    format!(
        "epoch {:.2}/{} step {}/{} | loss {:.2} (iou {:.2} obj {:.2} cls {:.2}{l1}){teacher} | lr {:.5} | {} px, {:.1} img/s, \
         {:.0} MiB | {left} left",
        step.epoch,
        (100.0 * schedule.epochs(schedule.iterations)).round() / 100.0,
        step.iteration,
        schedule.iterations,
        mean(|s| s.loss),
        mean(|s| s.iou),
        mean(|s| s.obj),
        mean(|s| s.cls),
        step.lr,
        step.size,
        mean(|s| s.images_per_second),
        step.memory_mib,
    )
}

/// A span of time for people: 2h 05m, 5m 10s, 10s.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::StageLengths;

    #[test]
    fn the_line_has_means_and_the_newest_step() {
        let step =
            |iteration: usize, loss| StepMetrics { iteration, epoch: 0.5, loss, size: 416, ..StepMetrics::default() };
        let recent = VecDeque::from([step(4, 2.0), step(5, 4.0)]);
        let line = line(&recent, &Schedule::new(10, 20, StageLengths::default()), Some(75.0));
        for part in ["epoch 0.50/2", "step 5/20", "loss 3.00", "416 px", "1m 15s left"] {
            assert!(line.contains(part), "{line} lacks {part}");
        }
        assert!(!line.contains("l1"), "{line}");
    }

    #[test]
    fn times_are_short() {
        assert_eq!([9.6, 310.0, 7500.0].map(duration), ["10s", "5m 10s", "2h 05m"]);
    }
}

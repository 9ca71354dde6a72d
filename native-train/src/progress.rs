//! How far a long task has come: a bar with the rate on a terminal, a plain line now and then in a log.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of one task, on standard error. It may be told from several threads.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    what: &'static str,
    /// When the last line was printed; `None` on a terminal, which has the bar.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Starts a task of `total` steps, each called `what` in the plural.
    pub fn new(total: usize, what: &'static str) -> Self {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let started = Instant::now();
        Self { bar, started, what, last_line: (!terminal).then(|| Mutex::new(started)) }
    }

    /// One more step is done.
    pub fn step(&self) {
        self.bar.inc(1);
        let Some(last) = &self.last_line else { return };
        let Ok(mut last) = last.try_lock() else { return };
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
            let rate = done as f64 / self.started.elapsed().as_secs_f64();
            let what = self.what;
            eprintln!("{done}/{total} {what}, {rate:.1} {what}/s");
        }
    }

    /// Removes the bar, and returns the seconds since the start.
    pub fn finish(self) -> f64 {
        self.bar.finish_and_clear();
        self.started.elapsed().as_secs_f64()
    }
}

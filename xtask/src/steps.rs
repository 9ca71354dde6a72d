//! Steps of a long command: announced, timed, and summed up at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What became of the steps so far.
pub struct Steps {
    started: Instant,
    done: Vec<(&'static str, StepOutcome)>,
}

enum StepOutcome {
    Passed(Duration),
    Failed(Duration),
    /// What is missing, and how to get it.
    NotRun(String),
}

impl Steps {
    /// Starts the clock.
    pub fn new() -> Steps {
        Steps { started: Instant::now(), done: Vec::new() }
    }

    /// Runs one step. One that fails does not end the others, so that a single run shows everything that is wrong.
    pub fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n==> {name} (at {})", seconds(self.started.elapsed()));
        let started = Instant::now();
        let result = step();
        let elapsed = started.elapsed();
        match result {
            Ok(value) => {
                self.done.push((name, StepOutcome::Passed(elapsed)));
                Some(value)
            }
            Err(error) => {
                println!("error: {error:#}");
                self.done.push((name, StepOutcome::Failed(elapsed)));
                None
            }
        }
    }

    /// Says that a step cannot run here.
    pub fn not_run(&mut self, name: &'static str, why: impl Into<String>) {
        let why = why.into();
        println!("\n==> {name}: NOT RUN\n{why}");
        self.done.push((name, StepOutcome::NotRun(why)));
    }

    /// Prints the summary. A step that failed is an error; where `all_must_run`, so is one that did not run.
    pub fn finish(self, all_must_run: bool) -> Result<()> {
        println!("\n==> summary");
        for (name, outcome) in &self.done {
            match outcome {
                StepOutcome::Passed(elapsed) => println!("{name:28} passed   {:>9}", seconds(*elapsed)),
                StepOutcome::Failed(elapsed) => println!("{name:28} FAILED   {:>9}", seconds(*elapsed)),
                StepOutcome::NotRun(why) => println!("{name:28} NOT RUN  {}", why.replace('\n', "\n    ")),
            }
        }
        println!("{:28}          {:>9}", "total", seconds(self.started.elapsed()));

        let count = |of: fn(&StepOutcome) -> bool| self.done.iter().filter(|(_, outcome)| of(outcome)).count();
        let failed = count(|outcome| matches!(outcome, StepOutcome::Failed(_)));
        let not_run = count(|outcome| matches!(outcome, StepOutcome::NotRun(_)));
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        } else if not_run > 0 && all_must_run {
            bail!("{not_run} of {} steps did not run, and with CI=true all must", self.done.len());
        }
        Ok(())
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_fails_at_home_but_nothing_may_be_left_out_in_ci() {
        let steps = || {
            let mut steps = Steps::new();
            assert_eq!(steps.run("format", || Ok(1)), Some(1));
            steps.not_run("browser", "no browser");
            steps
        };
        assert!(steps().finish(false).is_ok());
        assert!(steps().finish(true).is_err());

        let mut failed = steps();
        assert_eq!(failed.run("tests", || -> Result<()> { bail!("2 of 3") }), None);
        assert_eq!(failed.run("more tests", || Ok(2)), Some(2));
        assert_eq!(failed.finish(false).unwrap_err().to_string(), "1 of 4 steps failed");
    }
}

//! Many trainings from one plan: which there are ([`plan`]), how several run at once and go on another day ([`lanes`]), how they
//! travel between machines ([`parcels`]), and what they come to ([`report`]).

pub mod lanes;
pub mod parcels;
pub mod plan;
pub mod report;
pub mod slurm;
mod statistics;
pub mod test_score;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::files::write_atomic;
use crate::train::checkpoint::{Best, TrainingProgress};
use crate::train::run_folder::{KeptWeights, RunFolder};

/// Written into the folder of a run that has come to its end.
const FINISHED: &str = "finished.json";

/// What is left of a run's last checkpoint when the run has come to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Iterations that were trained.
    pub iterations: usize,
    /// Images that they took, mosaics counted as one.
    pub images: usize,
    /// Time that training took, in seconds, over all processes.
    pub seconds: f64,
    /// The best evaluation, if there was one.
    pub best: Option<Best>,
}

/// How far a run of a campaign is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// There is nothing of it yet.
    Waiting,
    /// It has a checkpoint: it can go on.
    Begun,
    /// It has come to its end.
    Finished(Finished),
}

/// A campaign's folder: `runs/NAME` for each of its runs, and a log beside each.
#[derive(Clone, Debug)]
pub struct CampaignFolder {
    root: PathBuf,
}

impl CampaignFolder {
    /// The folder at this path, whether it exists or not.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// All runs' folders and logs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of a run.
    pub fn run(&self, name: &str) -> RunFolder {
        RunFolder::existing(&self.runs().join(name))
    }

    /// What a run's processes have said.
    pub fn log(&self, name: &str) -> PathBuf {
        self.runs().join(format!("{name}.log"))
    }

    /// The settings that a run is started with.
    pub fn config(&self, name: &str) -> PathBuf {
        self.runs().join(format!("{name}.toml"))
    }

    /// How far a run is.
    ///
    /// # Errors
    /// Fails where what is there of it cannot be read.
    pub fn state(&self, name: &str) -> Result<State> {
        let run = self.run(name);
        let finished = run.file(FINISHED);
        if finished.is_file() {
            let read = || -> Result<Finished> { Ok(serde_json::from_slice(&std::fs::read(&finished)?)?) };
            let what = || format!("{} cannot be read: remove it, and the run goes on", finished.display());
            return read().map(State::Finished).with_context(what);
        }
        Ok(if run.checkpoint().is_file() { State::Begun } else { State::Waiting })
    }

    /// Closes a run that has come to its end: leaves what its checkpoint says in a few lines, and removes the checkpoint and the
    /// raw weights, which nobody needs any more.
    ///
    /// # Errors
    /// Fails where a file cannot be written or removed.
    pub fn finish(&self, name: &str, progress: &TrainingProgress) -> Result<Finished> {
        let run = self.run(name);
        let finished = Finished {
            iterations: progress.iteration,
            images: progress.iteration * progress.settings.effective_batch(),
            seconds: progress.seconds,
            best: progress.best,
        };
        write_atomic(&run.file(FINISHED), &serde_json::to_vec_pretty(&finished)?)?;
        self.tidy(name)?;
        Ok(finished)
    }

    /// Removes what a finished run no longer needs.
    ///
    /// # Errors
    /// Fails where a file cannot be removed.
    pub fn tidy(&self, name: &str) -> Result<()> {
        let run = self.run(name);
        let kept = [KeptWeights::Last, KeptWeights::Best, KeptWeights::LastMosaic];
        for file in kept.map(|kept| run.weights(kept, true)).into_iter().chain([run.checkpoint()]) {
            if file.is_file() {
                std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
            }
        }
        Ok(())
    }
}

//! `metrics.jsonl`: every iteration and evaluation of a run as a line of JSON.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::files::write_atomic;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// An iteration.
    Step(StepMetrics),
    Evaluation(Evaluation),
}

/// An iteration: means over its batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Finished iterations, this one included.
    pub iteration: usize,
    /// The same in epochs.
    pub epoch: f64,
    /// Learning rate.
    pub lr: f64,
    /// Side of the input in pixels.
    pub size: usize,
    /// The loss: the sum of the next four, and of the teacher's two, each times its weight.
    pub loss: f64,
    /// Of boxes, weighted.
    pub iou: f64,
    pub obj: f64,
    pub cls: f64,
    /// Of boxes before decoding, in the last stage.
    pub l1: f64,
    /// Against what the teacher says, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
    /// Against what the teacher's parts compute: the mean over them of the part of its variance that is not explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<f64>,
    /// The same of every part that was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<f64>,
    /// Anchors that an object was assigned to, in all batches.
    pub foreground: usize,
    /// Objects in all batches.
    pub objects: usize,
    /// Images a second, decoding and augmentation included.
    pub images_per_second: f64,
    /// Memory of the process in MiB.
    pub memory_mib: f64,
}

/// An evaluation of the mean of the weights; figures are per cent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Finished iterations.
    pub iteration: usize,
    /// The same in epochs.
    pub epoch: f64,
    /// AP over IoU .50:.05:.95, 11-point.
    pub ap: f64,
    /// AP at IoU .50, 11-point.
    pub ap50: f64,
    /// Whether it is the best so far.
    pub best: bool,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Record {
    fn iteration(&self) -> usize {
        match self {
            Self::Step(step) => step.iteration,
            Self::Evaluation(evaluation) => evaluation.iteration,
        }
    }
}

/// The file, open for more.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens the file of a run that has come to `iteration`. Lines about later iterations, which a process wrote that was
    /// killed after its last checkpoint, are dropped: these iterations come again.
    ///
    /// # Errors
    /// Fails where the file cannot be read or written.
    pub fn open(path: &Path, iteration: usize) -> Result<Self> {
        let mut kept = String::new();
        if path.is_file() {
            for record in read(path)?.into_iter().filter(|record| record.iteration() <= iteration) {
                kept += &line(&record)?;
            }
        }
        write_atomic(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path: path.into(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let written = self.file.write_all(line(record)?.as_bytes());
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn line(record: &Record) -> Result<String> {
    Ok(serde_json::to_string(record)? + "\n")
}

/// The lines of a file. What is not a whole line, because a process was killed, is left out.
///
/// # Errors
/// Fails where the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_has_every_iteration_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let step = |iteration| Record::Step(StepMetrics { iteration, loss: 0.1, ..StepMetrics::default() });
        let mut metrics = Metrics::open(&path, 0).unwrap();
        for iteration in 1..=5 {
            metrics.add(&step(iteration)).unwrap();
        }
        let evaluation = Evaluation { iteration: 3, epoch: 0.3, ap: 1.0, ap50: 2.0, best: true, seconds: 3.0 };
        metrics.add(&Record::Evaluation(evaluation.clone())).unwrap();
        metrics.file.write_all(b"{\"kind\":\"st").unwrap();

        let mut metrics = Metrics::open(&path, 3).unwrap();
        metrics.add(&step(4)).unwrap();
        assert_eq!(read(&path).unwrap(), [step(1), step(2), step(3), Record::Evaluation(evaluation), step(4)]);
    }
}

//! A training of hours.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use native_train::train::metrics::{Record, read};

use super::{Course, Moment};
use crate::drawn::write_voc;
use crate::{repository, yolox_nano};

/// Drawn images of the training.
const IMAGES: u32 = 300;

/// Has the program train for `time`, with evaluations and checkpoints in between.
///
/// # Errors
/// Fails where it fails.
pub fn train(time: Duration) -> Result<Course> {
    let folder = tempfile::tempdir()?;
    write_voc(&folder.path().join("voc"), IMAGES);
    let source = format!("{}:train", folder.path().join("voc").display());
    let out = folder.path().join("run");
    let mut program = Command::new(yolox_nano());
    program.current_dir(repository()).args(["train", "--train", &source, "--val", &source, "--size", "224"]);
    program.args(["--batch", "16", "--variant", "final", "--time-budget"]);
    program.arg(humantime::format_duration(time).to_string().replace(' ', "")).arg("--out").arg(&out);
    let status = program.status()?;
    ensure!(status.success(), "{status}");
    course(&out.join("metrics.jsonl"), 16)
}

/// The course of a run, by its metrics, with so many images a step.
///
/// # Errors
/// Fails where the file cannot be read.
pub fn course(metrics: &Path, batch: usize) -> Result<Course> {
    let mut seconds = 0.0;
    let mut last = 0;
    let mut moments = Vec::new();
    for record in read(metrics)? {
        if let Record::Step(step) = record {
            seconds += ((step.iteration - last) * batch) as f64 / step.images_per_second;
            last = step.iteration;
            let images = step.iteration * batch;
            moments.push(Moment { images, seconds, memory_mib: step.memory_mib, pause_ms: None });
        }
    }
    Ok(Course { name: "train".into(), moments })
}

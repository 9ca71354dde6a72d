//! A training of hours.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use native_train::train::metrics::{Record, StepMetrics, read};
use sysinfo::Pid;

use super::{Course, Moment, Usage, system, usage};
use crate::drawn::write_voc;
use crate::{repository, yolox_nano};

/// Drawn images of the training.
const IMAGES: u32 = 300;
/// Images a step.
const BATCH: usize = 16;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Has the program train for `time`, with evaluations and checkpoints in between.
///
/// # Errors
/// Fails where it fails.
pub fn train(time: Duration, progress: &mut dyn FnMut(Moment)) -> Result<Course> {
    let folder = tempfile::tempdir()?;
    write_voc(&folder.path().join("voc"), IMAGES);
    let source = format!("{}:train", folder.path().join("voc").display());
    let out = folder.path().join("run");
    let mut program = Command::new(yolox_nano());
    program.current_dir(repository()).args(["train", "--train", &source, "--val", &source, "--size", "224"]);
    program.args(["--batch", &BATCH.to_string(), "--variant", "final", "--time-budget"]);
    program.arg(humantime::format_duration(time).to_string().replace(' ', "")).arg("--out").arg(&out);
    let mut child = program.spawn()?;
    let (pid, mut system, mut moments) = (Pid::from_u32(child.id()), system(), Vec::<Moment>::new());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let Usage { cpu_seconds, .. } = usage(&mut system, &|process| process.pid() == pid);
        // The file appears with the first step.
        let steps = steps(&out.join("metrics.jsonl"), BATCH).unwrap_or_default();
        if let Some(&last) = steps.last().filter(|last| moments.last().is_none_or(|seen| last.images > seen.images)) {
            let moment = Moment { cpu_seconds: Some(cpu_seconds), ..last };
            progress(moment);
            moments.push(moment);
        }
        sleep(PAUSE);
    };
    ensure!(status.success(), "{status}");
    Ok(Course { name: "train".into(), moments })
}

/// The course of a run, by its metrics, with so many images a step.
///
/// # Errors
/// Fails where the file cannot be read.
pub fn course(metrics: &Path, batch: usize) -> Result<Course> {
    Ok(Course { name: "train".into(), moments: steps(metrics, batch)? })
}

fn steps(metrics: &Path, batch: usize) -> Result<Vec<Moment>> {
    let mut seconds = 0.0;
    let mut last = 0;
    let mut moments = Vec::new();
    for record in read(metrics)? {
        if let Record::Step(StepMetrics { iteration, images_per_second, memory_mib, .. }) = record {
            seconds += ((iteration - last) * batch) as f64 / images_per_second;
            last = iteration;
            let images = iteration * batch;
            moments.push(Moment { images, seconds, cpu_seconds: None, memory_mib, pause_ms: None });
        }
    }
    Ok(moments)
}

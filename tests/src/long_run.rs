//! Runs so long that what grows or slows down is seen: see docs/reliability.md. `cargo xtask long-run` and, for a short while, the test
//! `long_run` run these.

mod course;
mod detect;
mod gallery;
mod train;

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System, UpdateKind};

pub use course::{Course, Moment};
pub use detect::detect;
pub use gallery::gallery;
pub use train::{course, train};

use crate::repository;

/// Samples of the page, which stand for a visitor's photographs.
const SAMPLES: [&str; 5] = ["astronaut", "chelsea", "china", "coffee", "motorcycle"];

/// Different images; the files of a long run are these under many names.
const DISTINCT: usize = 50;

/// Writes `count` images into `folder` and returns their names: photographs of a quarter to nearly twice the size of the page's samples.
fn write_images(folder: &Path, count: usize) -> Result<Vec<String>> {
    let samples = SAMPLES.map(|name| {
        let path = repository().join(format!("web-demo/assets/samples/{name}.jpg"));
        image::open(&path).with_context(|| path.display().to_string()).map(|image| image.to_rgb8())
    });
    let samples: Vec<RgbImage> = samples.into_iter().collect::<Result<_>>()?;
    let name = |i: usize| format!("{i:05}.jpg");
    for i in 0..count {
        let path = folder.join(name(i));
        if i < DISTINCT {
            let sample = &samples[i % samples.len()];
            let percent = 25 + 37 * (i as u32 / samples.len() as u32 * 5 % 7) % 160;
            let [width, height] = [sample.width(), sample.height()].map(|side| (side * percent / 100).max(32));
            resize(sample, width, height, FilterType::Triangle).save(&path)?;
        } else {
            std::fs::hard_link(folder.join(name(i % DISTINCT)), &path).with_context(|| path.display().to_string())?;
        }
    }
    Ok((0..count).map(name).collect())
}

/// What processes hold and have used.
struct Usage {
    /// Resident memory.
    memory_mib: f64,
    /// Time of the processor since they began.
    cpu_seconds: f64,
}

/// Of all processes that are `wanted`.
fn usage(system: &mut System, wanted: &dyn Fn(&sysinfo::Process) -> bool) -> Usage {
    let what = ProcessRefreshKind::nothing().with_memory().with_cpu().with_cmd(UpdateKind::OnlyIfNotSet);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what.without_tasks());
    let these = || system.processes().values().filter(|process| wanted(process));
    Usage {
        memory_mib: these().map(sysinfo::Process::memory).sum::<u64>() as f64 / f64::from(1 << 20),
        cpu_seconds: these().map(sysinfo::Process::accumulated_cpu_time).sum::<u64>() as f64 / 1e3,
    }
}

fn system() -> System {
    System::new_with_specifics(RefreshKind::nothing())
}

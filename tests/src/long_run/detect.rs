//! Thousands of images through `yolox-nano detect`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sysinfo::Pid;

use super::{Course, Moment, Usage, system, usage, write_images};
use crate::{repository, yolox_nano};

/// Has the program find objects in `count` images.
///
/// # Errors
/// Fails where it fails, or says nothing of an image.
pub fn detect(count: usize, progress: &mut dyn FnMut(Moment)) -> Result<Course> {
    let folder = tempfile::tempdir()?;
    write_images(folder.path(), count)?;
    let mut program = Command::new(yolox_nano());
    program.current_dir(repository()).args(["detect", "--json"]).arg(folder.path()).stdout(Stdio::piped());
    let mut child = program.spawn()?;
    let (pid, mut system, start) = (Pid::from_u32(child.id()), system(), Instant::now());
    let mut course = Course { name: "detect".into(), ..Course::default() };
    let step = (count / 100).max(1);
    let mut images = 0;
    for line in BufReader::new(child.stdout.take().context("the program's output")?).lines() {
        line?;
        images += 1;
        if images % step == 0 || images == count {
            let Usage { memory_mib, cpu_seconds } = usage(&mut system, &|process| process.pid() == pid);
            let seconds = start.elapsed().as_secs_f64();
            let moment = Moment { images, seconds, cpu_seconds: Some(cpu_seconds), memory_mib, pause_ms: None };
            progress(moment);
            course.moments.push(moment);
        }
    }
    let status = child.wait()?;
    ensure!(status.success() && images == count, "{status} after {images} of {count} images");
    Ok(course)
}

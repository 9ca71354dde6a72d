//! A gallery of many pictures on the page.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sysinfo::{Process, System};
use thirtyfour::{By, WebDriver};
use xtask::server::Server;

use super::{Course, Moment, Usage, system, usage, write_images};
use crate::browser::{drive, wait_for};

/// What the page is opened with: the two models that it opens with by itself.
const MODELS: &str = "#v=baseline-voc,final-voc";
/// A picture takes two models a tenth of this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at the page, which must not be what slows it down.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the longest time between two frames of the page.
const WATCH_FRAMES: &str = "globalThis.longestPause = 0;
    let before = performance.now();
    const frame = now => {
        globalThis.longestPause = Math.max(globalThis.longestPause, now - before);
        before = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);";
/// Pictures that are done, and the longest pause since this was asked last.
const LOOK: &str = "const pause = globalThis.longestPause;
    globalThis.longestPause = 0;
    return [parseInt(document.querySelector('[data-testid=gallery-done]')?.textContent ?? '0'), pause];";

/// Has the page in the folder `site` look at `count` pictures with two models. Memory is that of the browser's processes that run the page
/// and its worker.
///
/// # Errors
/// Fails where the page comes to no end, or nothing goes on for long.
pub fn gallery(site: &Path, count: usize, progress: &mut dyn FnMut(Moment)) -> Result<Course> {
    ensure!(site.join("index.html").is_file(), "there is no site in {}: run `cargo xtask web`", site.display());
    let folder = tempfile::tempdir()?;
    let names = write_images(folder.path(), count)?;
    let mut system = system();
    drive(async |driver| {
        let server = Server::start_under(site, 0, "/")?;
        driver.goto(format!("{}{MODELS}", server.url())).await?;
        wait_for(&driver, "return document.querySelectorAll('[data-testid=viewer]').length === 2", vec![]).await?;
        driver.execute(WATCH_FRAMES, vec![]).await?;
        let paths: Vec<_> = names.iter().map(|name| folder.path().join(name).to_string_lossy().into_owned()).collect();
        let start = Instant::now();
        driver.find(By::Css("[data-testid=upload]")).await?.send_keys(paths.join("\n")).await?;
        watch(&driver, count, start, &mut system, progress).await
    })
}

async fn watch(
    driver: &WebDriver,
    count: usize,
    start: Instant,
    system: &mut System,
    progress: &mut dyn FnMut(Moment),
) -> Result<Course> {
    let mut course = Course { name: "gallery".into(), ..Course::default() };
    let mut changed = Instant::now();
    loop {
        let seen = driver.execute(LOOK, vec![]).await?;
        let [images, pause] = seen.json().as_array().map(Vec::as_slice).context("the page answers")? else {
            bail!("the page answers {}", seen.json());
        };
        let images = images.as_u64().context("pictures that are done")? as usize;
        if course.moments.last().is_none_or(|last| images > last.images) {
            changed = Instant::now();
        }
        ensure!(
            changed.elapsed() < PATIENCE,
            "nothing has gone on for {PATIENCE:?}, after {images} of {count} pictures"
        );
        let Usage { memory_mib, cpu_seconds } = usage(system, &is_renderer);
        let (seconds, pause_ms) = (start.elapsed().as_secs_f64(), pause.as_f64());
        let moment = Moment { images, seconds, cpu_seconds: Some(cpu_seconds), memory_mib, pause_ms };
        progress(moment);
        course.moments.push(moment);
        if images == count {
            return Ok(course);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a process of a browser runs pages; other browsers should not be open at the same time. Chromium writes its command line anew,
/// as a single word.
fn is_renderer(process: &Process) -> bool {
    process.cmd().iter().any(|words| words.to_string_lossy().contains("--type=renderer"))
}

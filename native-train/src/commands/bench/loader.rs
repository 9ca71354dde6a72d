//! `yolox-nano bench --loader`: how fast training images are prepared.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{Args, SEED};
use crate::augment::Augmentation;
use crate::data::images::Images;
use crate::data::{Difficult, TrainingSet};
use crate::table::table;
use crate::train::loader::{BatchPlan, Loader, LoaderSettings};

/// Images in a batch, where nobody says otherwise.
const BATCH: usize = 16;

#[derive(Serialize)]
struct LoaderReport {
    data: String,
    /// Different images, of which a pass prepares each once; mosaics have three more of them each.
    images: usize,
    input_size: usize,
    batch: usize,
    threads: usize,
    /// Every image is decoded when it is first needed, and kept.
    first_pass: Rate,
    /// All images are decoded already.
    cached: Rate,
    /// No decoded image is kept: one that does not become part of a mosaic is decoded once, a mosaic takes four.
    uncached: Rate,
}

#[derive(Serialize)]
struct Rate {
    images_per_second: f64,
    images_per_second_per_thread: f64,
}

/// Measures the loader with the default augmentation.
///
/// # Errors
/// Fails where there is no data set or it cannot be read, or the output cannot be written.
pub(super) fn run(args: &Args, threads: usize, out: &mut dyn Write) -> Result<()> {
    let source = args.data.as_ref().context(
        "the loader is measured with images: name a data set in Pascal VOC's layout, as in --data VOC2007:trainval",
    )?;
    let mut set = TrainingSet::open(std::slice::from_ref(source), None, Difficult::Learn)?;
    ensure!(!set.items.is_empty(), "{source} has no images to measure with");
    let batch = args.batch.unwrap_or(BATCH);
    // As many as are asked for, so that a pass meets every image, as an epoch does.
    set.items.truncate(batch * args.runs as usize);
    let set = Arc::new(set);

    let measure = |images: &Arc<Images>| pass(images, batch, args.size, threads);
    let kept = Arc::new(Images::new(Arc::clone(&set), usize::MAX));
    let first_pass = measure(&kept)?;
    let cached = measure(&kept)?;
    let uncached = measure(&Arc::new(Images::new(Arc::clone(&set), 0)))?;
    let report = LoaderReport {
        data: source.to_string(),
        images: set.items.len(),
        input_size: args.size,
        batch,
        threads,
        first_pass,
        cached,
        uncached,
    };
    if args.json { super::super::print_json(out, &report) } else { print(&report, out) }
}

/// Prepares every image once; in each pass chance decides alike.
fn pass(images: &Arc<Images>, batch: usize, size: usize, threads: usize) -> Result<Rate> {
    let count = images.set().items.len();
    let plan = move |index: usize| {
        let positions = index * batch..count.min((index + 1) * batch);
        let images: Vec<_> = positions.map(|position| (position, position)).collect();
        (!images.is_empty()).then_some(BatchPlan { epoch: 0, images, size, mosaic: true })
    };
    let settings = LoaderSettings { seed: SEED, threads, prefetch: threads };
    let start = Instant::now();
    for batch in Loader::start(Arc::clone(images), Augmentation::default(), settings, 0, plan) {
        batch?;
    }
    let images_per_second = count as f64 / start.elapsed().as_secs_f64();
    Ok(Rate { images_per_second, images_per_second_per_thread: images_per_second / threads as f64 })
}

fn print(report: &LoaderReport, out: &mut dyn Write) -> Result<()> {
    let LoaderReport { data, images, input_size, batch, threads, first_pass, cached, uncached } = report;
    let mut rows = table(&["images", "images/s", "images/s and thread"], 1);
    for (name, rate) in [("decoded when first needed", first_pass), ("decoded", cached), ("never kept", uncached)] {
        let rates = [rate.images_per_second, rate.images_per_second_per_thread].map(|rate| format!("{rate:.1}"));
        rows.add_row([name.to_string()].into_iter().chain(rates));
    }
    writeln!(out, "{rows}")?;
    writeln!(out, "{data}, {images} images, {input_size} x {input_size}, batch {batch}, threads: {threads}")?;
    Ok(())
}

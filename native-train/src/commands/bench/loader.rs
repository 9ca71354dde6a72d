//! `yolox-nano bench --loader`: how fast training pictures are prepared.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{Args, SEED};
use crate::augment::Augmentation;
use crate::data::pictures::Pictures;
use crate::data::{Difficult, TrainingSet};
use crate::table::table;
use crate::train::loader::{BatchPlan, Loader, LoaderSettings};

/// Pictures in a batch, where nobody says otherwise.
const BATCH: usize = 16;

#[derive(Serialize)]
struct Report {
    data: String,
    /// Different pictures, of which a pass prepares each once; mosaics have three more of them each.
    pictures: usize,
    input_size: usize,
    batch: usize,
    threads: usize,
    /// Every picture is decoded when it is first needed, and kept.
    first_pass: Rate,
    /// All pictures are decoded already.
    cached: Rate,
    /// No decoded picture is kept: one that does not become part of a mosaic is decoded once, a mosaic takes four.
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
        "the loader is measured with pictures: name a data set in Pascal VOC's layout, as in --data VOC2007:trainval",
    )?;
    let mut set = TrainingSet::open(std::slice::from_ref(source), None, Difficult::Learn)?;
    ensure!(!set.items.is_empty(), "{source} has no pictures to measure with");
    let batch = args.batch.unwrap_or(BATCH);
    // As many as are asked for, so that a pass meets every picture, as an epoch does.
    set.items.truncate(batch * args.runs as usize);
    let set = Arc::new(set);

    let measure = |pictures: &Arc<Pictures>| pass(pictures, batch, args.size, threads);
    let kept = Arc::new(Pictures::new(Arc::clone(&set), usize::MAX));
    let first_pass = measure(&kept)?;
    let cached = measure(&kept)?;
    let uncached = measure(&Arc::new(Pictures::new(Arc::clone(&set), 0)))?;
    let report = Report {
        data: source.to_string(),
        pictures: set.items.len(),
        input_size: args.size,
        batch,
        threads,
        first_pass,
        cached,
        uncached,
    };
    if args.json { super::super::print_json(out, &report) } else { print(&report, out) }
}

/// Prepares every picture once; in each pass chance decides alike.
fn pass(pictures: &Arc<Pictures>, batch: usize, size: usize, threads: usize) -> Result<Rate> {
    let count = pictures.set().items.len();
    let plan = move |index: usize| {
        let positions = index * batch..count.min((index + 1) * batch);
        let pictures: Vec<_> = positions.map(|position| (position, position)).collect();
        (!pictures.is_empty()).then_some(BatchPlan { epoch: 0, pictures, size, mosaic: true })
    };
    let settings = LoaderSettings { seed: SEED, threads, prefetch: threads };
    let start = Instant::now();
    for batch in Loader::start(Arc::clone(pictures), Augmentation::default(), settings, 0, plan) {
        batch?;
    }
    let images_per_second = count as f64 / start.elapsed().as_secs_f64();
    Ok(Rate { images_per_second, images_per_second_per_thread: images_per_second / threads as f64 })
}

fn print(report: &Report, out: &mut dyn Write) -> Result<()> {
    let Report { data, pictures, input_size, batch, threads, first_pass, cached, uncached } = report;
    let mut rows = table(&["pictures", "images/s", "images/s and thread"], 1);
    for (name, rate) in [("decoded when first needed", first_pass), ("decoded", cached), ("never kept", uncached)] {
        let rates = [rate.images_per_second, rate.images_per_second_per_thread].map(|rate| format!("{rate:.1}"));
        rows.add_row([name.to_string()].into_iter().chain(rates));
    }
    writeln!(out, "{rows}")?;
    writeln!(out, "{data}, {pictures} pictures, {input_size} x {input_size}, batch {batch}, threads: {threads}")?;
    Ok(())
}

//! `yolox-nano bench --train`: one whole step of training.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use shared_model::{ParameterLayout, VARIANTS, Variant, Weights};

use super::{Args, CLASSES, SEED, Spread, spread};
use crate::data::Object;
use crate::engine::{Batch, Engine, EngineChoice};
use crate::table::table;
use crate::train::{LossSettings, Optimizer, loss};

/// Images in a step, where nobody says otherwise.
pub(super) const BATCH: usize = 8;
/// Steps before the measured ones: a GPU records its launches in the second one.
const WARM_UP: u32 = 3;
/// Objects in each image.
const OBJECTS: usize = 6;
/// So small that random images do not lead anywhere.
pub(super) const LEARNING_RATE: f64 = 1e-4;
pub(super) const WEIGHT_DECAY: f64 = 5e-4;

#[derive(Serialize)]
struct TrainReport {
    variant: &'static str,
    /// Device, engine and precision.
    computed_by: String,
    input_size: usize,
    batch: usize,
    threads: usize,
    runs: u32,
    images_per_second: f64,
    /// Median of a whole step.
    step_ms: f64,
    /// Greatest memory of the process so far, where the system tells.
    peak_memory_mb: Option<f64>,
    parts: StepTimes,
}

/// What a step consists of.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct StepTimes {
    pub(in crate::commands) step: Spread,
    /// Taking over the parameters, and the forward pass.
    pub(in crate::commands) forward: Spread,
    /// Assignment, losses and their gradient.
    pub(in crate::commands) loss: Spread,
    pub(in crate::commands) backward: Spread,
    pub(in crate::commands) optimizer: Spread,
}

/// Measures steps on random images with random objects.
///
/// # Errors
/// Fails where the network cannot be trained, or the output cannot be written.
pub(super) fn run(args: &Args, threads: usize, out: &mut dyn Write) -> Result<()> {
    let variant = args.variant.unwrap_or(&VARIANTS[0]);
    let (images, size) = (args.batch.unwrap_or(BATCH), args.size);
    let choice = EngineChoice { device: args.device, engine: args.engine, precision: args.precision };
    let mut engine = choice.engine(&variant.graph(CLASSES))?;
    let parts = measure_steps(engine.as_mut(), variant, images, size, args.runs)?;
    let report = TrainReport {
        variant: variant.name,
        computed_by: choice.to_string(),
        input_size: size,
        batch: images,
        threads,
        runs: args.runs,
        images_per_second: 1e3 * images as f64 / parts.step.median,
        step_ms: parts.step.median,
        peak_memory_mb: peak_memory_mb(),
        parts,
    };
    if args.json { super::super::print_json(out, &report) } else { print(&report, out) }
}

/// Times of whole steps of `engine`, which computes `variant` with [`CLASSES`] classes, from random weights on random images
/// with random objects.
///
/// # Errors
/// Fails where the engine does.
pub(in crate::commands) fn measure_steps(
    engine: &mut dyn Engine,
    variant: &Variant,
    images: usize,
    size: usize,
    runs: u32,
) -> Result<StepTimes> {
    let layout = ParameterLayout::new(&variant.graph(CLASSES));
    let mut parameters = layout.flatten(&Weights::random(variant, CLASSES, SEED));
    let mut sgd = Optimizer::sgd(&layout, WEIGHT_DECAY);
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let pixels = (0..images * 3 * size * size).map(|_| rng.random()).collect();
    let batch = Batch { pixels, images, height: size, width: size };
    let objects = random_objects(&mut rng, images, size);

    let mut times: [Vec<f64>; 5] = Default::default();
    let mut update = vec![0.0; layout.len];
    for run in 0..WARM_UP + runs {
        let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        engine.load(&parameters)?;
        let (mut until_loss, mut in_loss) = (0.0, 0.0);
        engine.step(
            &batch,
            &mut |output| {
                until_loss = ms(start);
                let (_, gradient) = loss(output, &objects, &LossSettings::default());
                in_loss = ms(start) - until_loss;
                Ok(gradient)
            },
            &mut update,
        )?;
        let engine_ms = ms(start);
        sgd.step(&layout, &mut parameters, &update, LEARNING_RATE);
        let step = ms(start);
        if run >= WARM_UP {
            let parts = [step, until_loss, in_loss, engine_ms - until_loss - in_loss, step - engine_ms];
            times.iter_mut().zip(parts).for_each(|(times, part)| times.push(part));
        }
    }
    let [step, forward, loss, backward, optimizer] = times.map(spread);
    Ok(StepTimes { step, forward, loss, backward, optimizer })
}

/// So many objects in each image as mosaics of Pascal VOC have.
pub(in crate::commands) fn random_objects(rng: &mut impl Rng, images: usize, size: usize) -> Vec<Vec<Object>> {
    let side = size as f32;
    let mut object = || Object {
        class: rng.random_range(0..CLASSES),
        cx: side * rng.random_range(0.2..0.8),
        cy: side * rng.random_range(0.2..0.8),
        w: side * rng.random_range(0.1..0.4),
        h: side * rng.random_range(0.1..0.4),
        ignored: false,
    };
    (0..images).map(|_| (0..OBJECTS).map(|_| object()).collect()).collect()
}

/// Greatest memory that this process has had, in millions of bytes.
fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

fn print(report: &TrainReport, out: &mut dyn Write) -> Result<()> {
    let mut rows = table(&["part", "median ms", "min", "max", "interquartile"], 1);
    let StepTimes { step, forward, loss, backward, optimizer } = &report.parts;
    let parts = [("forward", forward), ("loss", loss), ("backward", backward), ("optimizer", optimizer)];
    for (name, spread) in parts.into_iter().chain([("whole step", step)]) {
        rows.add_row(spread.row(name));
    }
    writeln!(out, "{rows}")?;
    let TrainReport { variant, computed_by, input_size, batch, threads, images_per_second, .. } = report;
    let memory = report.peak_memory_mb.map_or(String::new(), |mb| format!(", at most {mb:.0} MB of memory"));
    writeln!(
        out,
        "{variant}, {input_size} x {input_size}, batch {batch}, {computed_by}, threads: {threads}: {images_per_second:.2} images/s{memory}"
    )?;
    Ok(())
}

//! `yolox-nano bench --train --host-only`: a step of training without the network.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use shared_model::{ParameterLayout, VARIANTS, Weights, anchors};

use super::train::{BATCH, LEARNING_RATE, WEIGHT_DECAY, random_objects};
use super::{Args, CLASSES, SEED, Spread, WARM_UP, spread};
use crate::engine::HeadOutput;
use crate::table::table;
use crate::train::{Ema, LossSettings, Optimizer, loss};

/// Decay of the mean of the weights; its value does not change the time.
const EMA_DECAY: f64 = 0.9998;

#[derive(Serialize)]
struct HostReport {
    variant: &'static str,
    input_size: usize,
    batch: usize,
    threads: usize,
    runs: u32,
    /// Median of a step times the threads, divided by the images: what an image costs one core.
    ms_per_image_per_core: f64,
    parts: HostTimes,
}

#[derive(Serialize)]
struct HostTimes {
    step: Spread,
    /// Assignment, losses and their gradient.
    loss: Spread,
    optimizer: Spread,
    /// The mean of the weights.
    mean: Spread,
}

/// Measures steps on random head output with random objects.
///
/// # Errors
/// Fails where the output cannot be written.
pub(super) fn run(args: &Args, threads: usize, out: &mut dyn Write) -> Result<()> {
    let variant = args.variant.unwrap_or(&VARIANTS[0]);
    let (images, size) = (args.batch.unwrap_or(BATCH), args.size);
    let layout = ParameterLayout::new(&variant.graph(CLASSES));
    let mut parameters = layout.flatten(&Weights::random(variant, CLASSES, SEED));
    let mut sgd = Optimizer::sgd(&layout, WEIGHT_DECAY);
    let mut ema = Ema::new(parameters.clone(), 0);

    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let objects = random_objects(&mut rng, images, size);
    let output = random_output(&mut rng, images, size);
    let update: Vec<f32> = (0..layout.len).map(|_| rng.random_range(-1.0..1.0)).collect();

    let mut times: [Vec<f64>; 4] = Default::default();
    for run in 0..WARM_UP + args.runs {
        let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        std::hint::black_box(loss(&output, &objects, &LossSettings::default()));
        let after_loss = ms(start);
        sgd.step(&layout, &mut parameters, &update, LEARNING_RATE);
        let after_step = ms(start);
        ema.update(&parameters, EMA_DECAY);
        let step = ms(start);
        if run >= WARM_UP {
            let parts = [step, after_loss, after_step - after_loss, step - after_step];
            times.iter_mut().zip(parts).for_each(|(times, part)| times.push(part));
        }
    }
    let [step, loss, optimizer, mean] = times.map(spread);
    let report = HostReport {
        variant: variant.name,
        input_size: size,
        batch: images,
        threads,
        runs: args.runs,
        ms_per_image_per_core: step.median * threads as f64 / images as f64,
        parts: HostTimes { step, loss, optimizer, mean },
    };
    if args.json { super::super::print_json(out, &report) } else { print(&report, out) }
}

/// Boxes of about the objects' sizes, and the low scores that a network soon gives to most anchors.
fn random_output(rng: &mut impl Rng, images: usize, size: usize) -> HeadOutput {
    let side = size as f32;
    let row = |stride: f32, rng: &mut dyn FnMut(f32, f32) -> f32| {
        let mut length = || (rng(0.1, 0.4) * side / stride).ln();
        let [w, h] = [length(), length()];
        let mut values = vec![rng(-0.5, 1.5), rng(-0.5, 1.5), w, h];
        values.extend((0..=CLASSES).map(|_| rng(-6.0, 1.0)));
        values
    };
    let grid = anchors(size, size);
    let mut uniform = |low: f32, high: f32| rng.random_range(low..high);
    let values = (0..images).flat_map(|_| &grid).flat_map(|anchor| row(anchor.stride, &mut uniform)).collect();
    HeadOutput { values, images, classes: CLASSES, height: size, width: size }
}

fn print(report: &HostReport, out: &mut dyn Write) -> Result<()> {
    let mut rows = table(&["part", "median ms", "min", "max", "interquartile"], 1);
    let HostTimes { step, loss, optimizer, mean } = &report.parts;
    for (name, spread) in [("loss", loss), ("optimizer", optimizer), ("mean of weights", mean), ("all", step)] {
        rows.add_row(spread.row(name));
    }
    writeln!(out, "{rows}")?;
    let HostReport { variant, input_size, batch, threads, ms_per_image_per_core, .. } = report;
    writeln!(
        out,
        "{variant}, {input_size} x {input_size}, batch {batch}, threads: {threads}: {ms_per_image_per_core:.3} ms an \
         image and core"
    )?;
    Ok(())
}

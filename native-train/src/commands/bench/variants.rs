//! `yolox-nano bench --all`: every variant, side by side.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use shared_model::{Detector, Image, Input, VARIANTS, Weights, cost};

use super::layers::rate;
use super::{Args, CLASSES, IMAGE, SEED, WARM_UP, pixels, spread};
use crate::table::{grouped, table};

/// Measured runs of one variant before the next one's turn.
const TURN: u32 = 10;

#[derive(Serialize)]
struct VariantsReport {
    input_size: usize,
    classes: usize,
    threads: usize,
    runs: u32,
    variants: Vec<VariantTimes>,
}

#[derive(Serialize)]
struct VariantTimes {
    variant: &'static str,
    parameters: usize,
    macs: u64,
    gflops: f64,
    /// The network's first run: its memory is new, nothing is in the caches.
    cold_ms: f64,
    median_ms: f64,
    min_ms: f64,
    interquartile_ms: f64,
    /// Two operations for each multiply-add, in the median.
    gflops_per_s: f64,
}

/// Measures the networks by turns, so that a machine that slows down slows all of them.
///
/// # Errors
/// Fails where a network cannot run, or the output cannot be written.
pub(super) fn run(args: &Args, threads: usize, out: &mut dyn Write) -> Result<()> {
    let pixels = pixels();
    let mut detectors = Vec::new();
    for variant in &VARIANTS {
        let mut detector = Detector::new(&Weights::random(variant, CLASSES, SEED))?;
        detector.set_input_size(args.size)?;
        detectors.push(detector);
    }
    let input = detectors[0].preprocess(Image::rgb(&pixels, IMAGE.0, IMAGE.1)?)?;

    let mut cold = Vec::new();
    for detector in &detectors {
        cold.push(time(detector, &input)?);
    }
    let mut times = vec![Vec::new(); detectors.len()];
    let mut left = args.runs;
    while left > 0 {
        let turn = left.min(TURN);
        for (detector, times) in detectors.iter().zip(&mut times) {
            for run in 0..WARM_UP + turn {
                let ms = time(detector, &input)?;
                if run >= WARM_UP {
                    times.push(ms);
                }
            }
        }
        left -= turn;
    }

    let measured = VARIANTS.iter().zip(cold).zip(times);
    let variants = measured.map(|((variant, cold_ms), times)| {
        let cost = cost(&variant.graph(CLASSES), args.size, args.size);
        let spread = spread(times);
        VariantTimes {
            variant: variant.name,
            parameters: cost.parameters,
            macs: cost.macs,
            gflops: cost.gflops,
            cold_ms,
            median_ms: spread.median,
            min_ms: spread.min,
            interquartile_ms: spread.interquartile,
            gflops_per_s: rate(2.0 * cost.macs as f64, spread.median),
        }
    });
    let variants = variants.collect();
    let report = VariantsReport { input_size: args.size, classes: CLASSES, threads, runs: args.runs, variants };
    if args.json { crate::commands::print_json(out, &report) } else { print(&report, out) }
}

/// Milliseconds of one run of the network.
fn time(detector: &Detector, input: &Input) -> Result<f64> {
    let start = Instant::now();
    std::hint::black_box(detector.forward(input)?);
    Ok(1e3 * start.elapsed().as_secs_f64())
}

fn print(report: &VariantsReport, out: &mut dyn Write) -> Result<()> {
    let header = ["variant", "parameters", "GFLOPs", "cold ms", "median ms", "min", "interquartile", "GFLOP/s"];
    let mut table = table(&header, 1);
    for row in &report.variants {
        table.add_row([
            row.variant.into(),
            grouped(row.parameters as u64),
            format!("{:.4}", row.gflops),
            format!("{:.2}", row.cold_ms),
            format!("{:.2}", row.median_ms),
            format!("{:.2}", row.min_ms),
            format!("{:.2}", row.interquartile_ms),
            format!("{:.1}", row.gflops_per_s),
        ]);
    }
    writeln!(out, "{table}")?;
    let VariantsReport { input_size, classes, threads, runs, .. } = report;
    writeln!(
        out,
        "the network alone, random weights, {classes} classes, {input_size} x {input_size}, threads: {threads}, \
         warm runs: {runs}"
    )?;
    Ok(())
}

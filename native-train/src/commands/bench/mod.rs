//! `yolox-nano bench`: how long an image takes.

mod host;
mod layers;
mod loader;
#[cfg(feature = "cuda")]
pub(super) mod peer;
#[cfg(feature = "cuda")]
pub(super) mod throughput;
pub(super) mod train;
mod variants;

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use shared_model::{Detector, Image, Variant, Weights, nms};

use crate::data::Source;
use crate::engine::{Batch, DeviceName, EngineChoice, EngineName, Precision};
use crate::table::{grouped, table};
use crate::{Outcome, models};
use layers::{LayerTime, OpTimes};

/// Measure milliseconds for an image: preprocessing, network (layer by layer), postprocessing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano bench
  yolox-nano bench --variant final --threads 2 --json
  yolox-nano bench --variant final --engine candle
  yolox-nano bench --all
  yolox-nano bench --train --variant final --batch 8 --threads 2
  yolox-nano bench --train --host-only --batch 16
  yolox-nano bench --loader --data VOC2007:trainval

All times are of warm runs, but for those called cold. The image has 12 megapixels; postprocessing looks
at all anchors, whatever their scores. The times of layers come from runs of their own. GFLOP/s count two
operations for each multiply-add, GB/s the bytes of a layer's inputs, output and parameters. With --variant
and --all the weights are random, which costs the same time as trained ones. --loader prepares the same
images three times, --batch of them for each of --runs: in a first pass that decodes each once, again with all of
them decoded, and without keeping any.")]
#[command(group = clap::ArgGroup::new("batched").args(["train", "loader"]))]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME", conflicts_with = "variant")]
    weights: Option<String>,
    /// A network with random weights and 20 classes; `yolox-nano variants` lists them.
    #[arg(long, value_parser = super::variant)]
    variant: Option<&'static Variant>,
    /// All networks with random weights and 20 classes, by turns, a row each.
    #[arg(long, conflicts_with_all = ["weights", "variant"])]
    all: bool,
    /// A whole step of training instead, on random images: {images_per_second, step_ms, peak_memory_mb ...}.
    #[arg(long, conflicts_with_all = ["weights", "all"])]
    train: bool,
    /// Of a step of training only what is not the network: assignment, losses and their gradient, optimizer, mean of
    /// the weights.
    #[arg(long, requires = "train")]
    host_only: bool,
    /// The preparation of training images instead, changed by chance as in training: images/s.
    #[arg(long, conflicts_with_all = ["weights", "variant", "all"])]
    loader: bool,
    /// A data set in Pascal VOC's layout and its split, for --loader.
    #[arg(long, value_name = "FOLDER:SPLIT", requires = "loader")]
    data: Option<Source>,
    /// Images in a step of training [default: 8], or in a batch of the loader [default: 16].
    #[arg(long, value_name = "N", requires = "batched", value_parser = batch)]
    batch: Option<usize>,
    /// Where the network is computed: cpu, cuda, or one of several GPUs, as cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t, conflicts_with_all = ["all", "loader"])]
    device: DeviceName,
    /// What computes it: native (this project's kernels), candle, or torch, if the program was built with libtorch.
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["all", "loader"])]
    engine: EngineName,
    /// How exactly a GPU multiplies.
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["all", "loader"])]
    precision: Precision,
    /// Number of threads.
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::thread_count)]
    threads: usize,
    /// Side of the input in pixels, a multiple of 32.
    #[arg(long, default_value = "416", value_parser = super::input_size)]
    size: usize,
    /// Number of measured runs.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Reads a number of images.
pub(super) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 1024 is needed".into()),
    }
}

/// Runs before the measured ones.
const WARM_UP: u32 = 5;
/// Classes of a network with random weights: Pascal VOC's number.
pub(super) const CLASSES: usize = 20;
/// Seed of random weights.
pub(super) const SEED: u64 = 0;
/// Size of the image: a phone's photograph of 12 megapixels.
const IMAGE: (usize, usize) = (4000, 3000);

#[derive(Serialize)]
struct BenchReport {
    model: String,
    variant: String,
    /// Device, engine and precision.
    computed_by: String,
    input_size: usize,
    threads: usize,
    runs: u32,
    preprocess_ms: f64,
    network_ms: f64,
    postprocess_ms: f64,
    /// More about the three medians above.
    spread: Spreads,
    layers: Vec<LayerTime>,
    /// The layers by their operation.
    groups: Vec<OpTimes>,
}

#[derive(Serialize)]
struct Spreads {
    preprocess: Spread,
    network: Spread,
    postprocess: Spread,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
    /// Between the slowest and the fastest of the middle half of the runs.
    pub(super) interquartile: f64,
}

impl Spread {
    /// A row of a table: what it is of, then median, least, greatest, interquartile range.
    fn row(&self, name: &str) -> Vec<String> {
        let times = [self.median, self.min, self.max, self.interquartile].map(|ms| format!("{ms:.2}"));
        [name.to_string()].into_iter().chain(times).collect()
    }
}

/// # Errors
/// Fails where weights or images cannot be read, or the output cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let threads = super::use_threads(Some(args.threads))?;
    let other = match args {
        Args { host_only: true, .. } => Some(host::run(args, threads, out)),
        Args { train: true, .. } => Some(train::run(args, threads, out)),
        Args { loader: true, .. } => Some(loader::run(args, threads, out)),
        Args { all: true, .. } => Some(variants::run(args, threads, out)),
        _ => None,
    };
    if let Some(result) = other {
        return result.map(|()| Outcome::Complete);
    }
    let (model, weights) = match args.variant {
        Some(variant) => ("random weights".into(), Weights::random(variant, CLASSES, SEED)),
        None => {
            let models::Named { name, weights } = models::load(args.weights.as_deref())?;
            (name, weights)
        }
    };
    let mut detector = Detector::new(&weights).with_context(|| model.clone())?;
    detector.set_input_size(args.size)?;

    let choice = EngineChoice { device: args.device, engine: args.engine, precision: args.precision };
    let [preprocess, mut network, postprocess] = whole_runs(&detector, args.runs)?;
    let layers = if choice.is_runtime() {
        layers::layer_runs(&detector, args.runs)?
    } else {
        network = engine_runs(choice, &detector, &weights, args.runs).with_context(|| model.clone())?;
        Vec::new()
    };
    let report = BenchReport {
        model,
        variant: weights.metadata.variant.clone(),
        computed_by: choice.to_string(),
        input_size: args.size,
        threads,
        runs: args.runs,
        preprocess_ms: preprocess.median,
        network_ms: network.median,
        postprocess_ms: postprocess.median,
        spread: Spreads { preprocess, network, postprocess },
        groups: layers::groups(&layers),
        layers,
    };
    if args.json {
        super::print_json(out, &report)?;
    } else {
        print(&report, out)?;
    }
    Ok(Outcome::Complete)
}

/// An image with edges and gradients; what is on it does not change the time.
fn pixels() -> Vec<u8> {
    let (width, height) = IMAGE;
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        [x * 255 / width, y * 255 / height, (x / 40 + y / 40) % 2 * 255].map(|value| value as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}

/// Times of preprocessing, network and postprocessing, each by itself: so the image's megabytes do not push the
/// network's weights out of the caches. Postprocessing gets all anchors, whatever their scores: the most it can get.
fn whole_runs(detector: &Detector, runs: u32) -> Result<[Spread; 3]> {
    let pixels = pixels();
    let image = Image::rgb(&pixels, IMAGE.0, IMAGE.1)?;
    let input = detector.preprocess(image)?;
    let raw = detector.forward(&input)?;
    let preprocess = measure(runs, || Ok(detector.preprocess(image)?))?;
    let network = measure(runs, || Ok(detector.forward(&input)?))?;
    let postprocess = measure(runs, || Ok(nms(&detector.candidates(&input, &raw, 0.0)?, 0.45)))?;
    Ok([preprocess, network, postprocess])
}

/// Times of the network, one image at a time, by another engine.
fn engine_runs(choice: EngineChoice, detector: &Detector, weights: &Weights, runs: u32) -> Result<Spread> {
    let mut engine = choice.engine(&weights.graph()?)?;
    engine.freeze(weights)?;
    let (pixels, side) = (pixels(), detector.input_size());
    let input = detector.preprocess(Image::rgb(&pixels, IMAGE.0, IMAGE.1)?)?;
    let pixels = input.tensor().flatten_all()?.to_vec1::<f32>()?.into_iter().map(|level| level as u8).collect();
    let batch = Batch { pixels, images: 1, height: side, width: side };
    measure(runs, || engine.infer(&batch))
}

/// Milliseconds of `runs` calls of `work`, after some for warming up.
fn measure<T>(runs: u32, mut work: impl FnMut() -> Result<T>) -> Result<Spread> {
    let mut times = Vec::new();
    for run in 0..WARM_UP + runs {
        let start = Instant::now();
        black_box(work()?);
        if run >= WARM_UP {
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
    }
    Ok(spread(times))
}

pub(super) fn spread(mut times: Vec<f64>) -> Spread {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    Spread { min: at(0.0), median: at(0.5), max: at(1.0), interquartile: at(0.75) - at(0.25) }
}

fn print(report: &BenchReport, out: &mut dyn Write) -> Result<()> {
    if !report.layers.is_empty() {
        print_layers(report, out)?;
    }
    let mut steps = table(&["step", "median ms", "min", "max", "interquartile"], 1);
    let Spreads { preprocess, network, postprocess } = report.spread;
    for (name, s) in [("preprocess", preprocess), ("network", network), ("postprocess", postprocess)] {
        steps.add_row(s.row(name));
    }
    writeln!(out, "{steps}")?;
    let BenchReport { model, variant, computed_by, input_size, threads, runs, .. } = report;
    writeln!(
        out,
        "{model}, {variant}, {computed_by}, {input_size} x {input_size}, threads: {threads}, warm runs: {runs}"
    )?;
    Ok(())
}

fn print_layers(report: &BenchReport, out: &mut dyn Write) -> Result<()> {
    let mut layers = table(&["layer", "operation", "ms", "multiply-adds", "GFLOP/s", "GB/s"], 2);
    for row in &report.layers {
        layers.add_row([
            row.name.clone(),
            row.op.clone(),
            format!("{:.3}", row.ms),
            grouped(row.macs),
            rounded(row.gflops_per_s, row.ms),
            rounded(row.gb_per_s, row.ms),
        ]);
    }
    writeln!(out, "{layers}")?;
    let mut groups = table(&["operation", "layers", "ms", "share", "multiply-adds", "GFLOP/s", "GB/s"], 1);
    let total: f64 = report.groups.iter().map(|group| group.ms).sum();
    for group in &report.groups {
        let ms = group.ms / group.layers as f64;
        groups.add_row([
            group.op.clone(),
            group.layers.to_string(),
            format!("{:.3}", group.ms),
            format!("{:.1} %", 100.0 * group.ms / total),
            grouped(group.macs),
            rounded(group.gflops_per_s, ms),
            rounded(group.gb_per_s, ms),
        ]);
    }
    writeln!(out, "{groups}")?;
    Ok(())
}

/// A rate; nothing where there is none, or the time of a layer is too short to be measured (concatenations whose inputs
/// were written side by side in the first place).
fn rounded(rate: f64, ms: f64) -> String {
    if rate == 0.0 || ms < 0.001 { String::new() } else { format!("{rate:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_known_times() {
        let s = spread(vec![5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!((s.min, s.median, s.max, s.interquartile), (1.0, 3.0, 5.0, 2.0));
    }
}

//! `yolox-nano gpu-check`: whether a GPU computes what it should, and how fast.

mod learning;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use shared_model::{VARIANTS, Variant};

use self::learning::Learned;
use super::bench::CLASSES;
use super::bench::peer::{self, Peer};
use super::bench::throughput::{self, Measured};
use crate::Outcome;
use crate::data::Source;
use crate::engine::cuda::check::{Checked, check_beside, check_operations, check_taps, check_variant};
use crate::engine::cuda::{Cuda, CudaEngine, Properties};
use crate::engine::{DeviceName, Engine, EngineChoice, EngineName, Precision};
use crate::files::write_atomic;
use crate::table::table;

/// Check that an NVIDIA GPU computes what it should, and measure how fast it trains.
///
/// Every operation is compared with a plain reference, every variant with this machine's processor; then steps of training and
/// inference are timed, some steps are trained, and PyTorch is timed for comparison if python3 has it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano gpu-check
  yolox-nano gpu-check --data VOC2007.tar:train --out report.json

What fails is said, and the rest is still done. The report holds all errors and times.")]
pub struct Args {
    /// The GPU: cuda, or one of several, as cuda:1.
    #[arg(long, value_name = "DEVICE", default_value = "cuda")]
    device: DeviceName,
    /// Write a report in JSON, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A data set to train some steps on; without it, images of rectangles are drawn.
    #[arg(long, value_name = "FOLDER:SPLIT")]
    data: Option<Source>,
    /// The networks that are compared and measured [default: all are compared; baseline, dw7, mdconv and final measured].
    #[arg(long, value_delimiter = ',', value_parser = super::variant)]
    variants: Vec<&'static Variant>,
    /// The sizes of batches that training is measured with; the middle one is trained with.
    #[arg(long, value_delimiter = ',', value_parser = super::bench::batch, default_value = "16,64,128")]
    batch: Vec<usize>,
    /// Side of the input in pixels, a multiple of 32.
    #[arg(long, default_value = "416", value_parser = super::input_size)]
    size: usize,
    /// Number of measured runs.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Steps that are trained; 0 leaves that out.
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// The Python that is asked for PyTorch.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// Sizes at which operations are tried.
const ROUNDS: u64 = 8;
/// Images, height and width that networks are compared with: odd planes at stride 32.
const COMPARED: (usize, usize, usize) = (2, 96, 160);
/// How much further off results may be in TF32, whose numbers have 10 bits behind the point instead of 23.
const TF32_LOOSENESS: f64 = 1000.0;
/// How often faster than PyTorch a step with 64 images is to be.
const GOAL: f64 = 3.0;

/// The networks that are measured, where nobody says otherwise.
const MEASURED: [&str; 4] = ["baseline", "dw7", "mdconv", "final"];

/// What was found; what failed is missing.
#[derive(Default, Serialize)]
struct GpuReport {
    program: String,
    gpu: Option<Properties>,
    /// Every operation, in single precision.
    operations: Vec<Checked>,
    /// Every variant, by precision.
    networks: Vec<(Precision, Vec<Checked>)>,
    training: Vec<Measured>,
    inference: Vec<Measured>,
    learned: Vec<Learned>,
    peer: Option<Peer>,
    /// What failed, and why.
    failures: Vec<String>,
}

/// # Errors
/// Fails where the GPU cannot be opened, a check fails, or the report cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let DeviceName::Cuda(index) = args.device else { bail!("--device {}: this is about GPUs", args.device) };
    super::use_threads(None)?;
    let mut check = Check { args, index, out, report: GpuReport::default() };
    check.report.program = concat!("yolox-nano ", env!("CARGO_PKG_VERSION")).into();
    check.all()?;
    let Check { report, out, .. } = check;
    if report.failures.is_empty() {
        writeln!(out, "all is well")?;
        return Ok(Outcome::Complete);
    }
    for failure in &report.failures {
        writeln!(out, "FAILED: {failure}")?;
    }
    bail!("{} of the checks failed", report.failures.len())
}

struct Check<'a> {
    args: &'a Args,
    index: usize,
    out: &'a mut dyn Write,
    report: GpuReport,
}

impl Check<'_> {
    fn all(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut device = Cuda::open(self.index, Precision::F32)?;
        let gpu = device.properties().clone();
        writeln!(self.out, "{gpu}; opened in {:.1} s", start.elapsed().as_secs_f64())?;
        self.report.gpu = Some(gpu);
        // At once, as minutes of work are to go there.
        self.save()?;

        self.section("operations", |check| {
            let operations = check_operations(&mut device, ROUNDS, 1.0)?;
            check.print_checked("operation, in f32", &operations)?;
            check.report.operations = operations;
            Ok(())
        })?;
        drop(device);
        for (precision, looseness) in [(Precision::F32, 1.0), (Precision::Tf32, TF32_LOOSENESS)] {
            self.section(&format!("networks in {precision}"), |check| check.networks(precision, looseness))?;
        }
        for engine in engines() {
            self.section(&format!("speed of {}", engine_title(engine)), |check| check.throughput(engine))?;
            if self.args.steps > 0 {
                self.section(&format!("training with {}", engine_title(engine)), |check| check.learning(engine))?;
            }
        }
        self.section("PyTorch", Check::peer)?;
        self.summary()
    }

    /// Does a part of the check; if it fails, the others are still done. What is known by then is in the report, so that little is
    /// lost where the check is cut short.
    fn section(&mut self, what: &str, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        writeln!(self.out, "\n{what}")?;
        self.out.flush()?;
        let start = Instant::now();
        if let Err(error) = work(self) {
            writeln!(self.out, "FAILED: {error:#}")?;
            self.report.failures.push(format!("{what}: {error:#}"));
        }
        writeln!(self.out, "({:.1} s)", start.elapsed().as_secs_f64())?;
        self.out.flush()?;
        self.save()
    }

    fn save(&self) -> Result<()> {
        let Some(path) = &self.args.out else { return Ok(()) };
        write_atomic(path, &serde_json::to_vec_pretty(&self.report)?)
    }

    /// Prints the largest errors, and takes down what failed.
    fn print_checked(&mut self, what: &str, all: &[Checked]) -> Result<()> {
        let mut rows = table(&[what, "error", "tolerance"], 1);
        let mut sorted: Vec<&Checked> = all.iter().collect();
        let share = |checked: &Checked| checked.error / checked.tolerance.max(f64::MIN_POSITIVE);
        sorted.sort_by(|a, b| share(b).total_cmp(&share(a)));
        let failed = sorted.iter().filter(|checked| !checked.is_passed()).count();
        for checked in sorted.iter().take(failed.max(5)) {
            let numbers = [checked.error, checked.tolerance].map(|number| format!("{number:.1e}"));
            rows.add_row([checked.what.clone()].into_iter().chain(numbers));
        }
        writeln!(self.out, "{rows}\n{} of {} passed", all.len() - failed, all.len())?;
        if failed > 0 {
            bail!("{failed} of {} are off by more than rounding explains", all.len());
        }
        Ok(())
    }

    /// The networks whose speed is measured.
    fn measured(&self) -> Vec<&'static Variant> {
        let default = || VARIANTS.iter().filter(|variant| MEASURED.contains(&variant.name)).collect();
        if self.args.variants.is_empty() { default() } else { self.args.variants.clone() }
    }

    fn networks(&mut self, precision: Precision, looseness: f64) -> Result<()> {
        let mut all = Vec::new();
        let all_variants: Vec<&Variant> = VARIANTS.iter().collect();
        let variants = if self.args.variants.is_empty() { &all_variants } else { &self.args.variants };
        for variant in variants {
            let mut make = |graph: &shared_model::Graph| -> Result<Box<dyn Engine>> {
                Ok(Box::new(CudaEngine::new(graph, Cuda::open(self.index, precision)?)?))
            };
            all.extend(check_variant(variant, COMPARED, looseness, &mut make)?);
            all.extend(check_taps(variant, COMPARED, looseness, &mut make)?);
            all.extend(check_beside(variant, COMPARED, looseness, &mut make)?);
        }
        self.report.networks.push((precision, all.clone()));
        self.print_checked("network", &all)
    }

    fn throughput(&mut self, engine: EngineName) -> Result<()> {
        let mut rows = table(&["training", "batch", "images/s", "step ms", "engine ms", "GiB", "launches"], 1);
        let mut inference = table(&["inference", "batch", "images/s", "ms"], 1);
        for choice in choices(engine, self.args.device) {
            for variant in self.measured() {
                for &batch in &self.args.batch {
                    let measured = throughput::training(choice, variant, batch, self.args.size, self.args.runs)
                        .with_context(|| format!("{}, batch {batch}", variant.name))?;
                    rows.add_row(measured.training_row());
                    self.report.training.push(measured);
                }
                for batch in [1, 64] {
                    let measured = throughput::inference(choice, variant, batch, self.args.size, self.args.runs)
                        .with_context(|| format!("{}, inference with batch {batch}", variant.name))?;
                    inference.add_row(measured.inference_row());
                    self.report.inference.push(measured);
                }
            }
        }
        writeln!(self.out, "{rows}\n{inference}")?;
        Ok(())
    }

    fn learning(&mut self, engine: EngineName) -> Result<()> {
        let batch = self.args.batch.get(self.args.batch.len() / 2).copied().unwrap_or(64);
        let choice = choices(engine, self.args.device)[0];
        let learned = learning::learn(choice, self.args.data.as_ref(), batch, self.args.size, self.args.steps)?;
        writeln!(self.out, "{learned}")?;
        let falls = learned.falls();
        let result = if falls { Ok(()) } else { bail!("the loss did not fall") };
        self.report.learned.push(learned);
        result
    }

    fn peer(&mut self) -> Result<()> {
        let Args { batch, size, runs, python, .. } = self.args;
        let names: Vec<&str> = self.measured().iter().map(|variant| variant.name).collect();
        let Some(peer) = peer::measure(python, self.index, &names, batch, *size, *runs)? else {
            writeln!(self.out, "{} has no torch: not compared", python.display())?;
            return Ok(());
        };
        writeln!(self.out, "{peer}")?;
        self.report.peer = Some(peer);
        Ok(())
    }

    /// How much faster than PyTorch.
    fn summary(&mut self) -> Result<()> {
        let Some(peer) = &self.report.peer else { return Ok(()) };
        let mut rows = table(&["training", "batch", "images/s", "PyTorch's", "ratio", "goal"], 1);
        for measured in &mut self.report.training {
            let Some(theirs) = peer.images_per_second(measured) else { continue };
            let ratio = measured.images_per_second / theirs;
            measured.times_pytorch = Some(ratio);
            rows.add_row([
                format!("{}, {}", measured.variant, measured.computed_by),
                measured.batch.to_string(),
                format!("{:.0}", measured.images_per_second),
                format!("{theirs:.0}"),
                format!("{ratio:.2}"),
                if ratio >= GOAL { "reached".into() } else { format!("{:.0} % of {GOAL}", 100.0 * ratio / GOAL) },
            ]);
        }
        writeln!(self.out, "\n{rows}")?;
        writeln!(self.out, "Steps of this project have transfers, assignment and losses; PyTorch's have not.")?;
        self.save()
    }
}

/// The engines that this program has.
fn engines() -> Vec<EngineName> {
    if cfg!(feature = "torch") { vec![EngineName::Native, EngineName::Torch] } else { vec![EngineName::Native] }
}

/// How exactly an engine is measured: as by default, and in every coarser way that it has.
fn choices(engine: EngineName, device: DeviceName) -> Vec<EngineChoice> {
    let precisions = match engine {
        EngineName::Native | EngineName::Candle => vec![Precision::Tf32],
        EngineName::Torch => vec![Precision::Tf32, Precision::Bf16],
    };
    precisions.into_iter().map(|precision| EngineChoice { device, engine, precision }).collect()
}

fn engine_title(engine: EngineName) -> &'static str {
    match engine {
        EngineName::Native => "this project's kernels",
        EngineName::Torch => "libtorch",
        EngineName::Candle => "candle",
    }
}

//! `yolox-nano eval`: the official Pascal VOC score.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use shared_model::Detector;

use crate::data::voc::VocFolder;
use crate::eval::{Report, detect_all, detect_all_by};
use crate::progress::Progress;
use crate::train::{DeviceName, EngineChoice, EngineName, Precision};
use crate::{Outcome, models};

/// Score weights on a Pascal VOC data set: AP50, and AP over IoU .50:.05:.95.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano eval --data VOCdevkit/VOC2007 --split test
  yolox-nano eval --weights mine.safetensors --data VOC2007 --split test --limit 100 --json
  yolox-nano eval --weights final-voc --data VOC2007 --limit 100 --engine candle

The data set holds JPEGImages, Annotations and ImageSets/Main/SPLIT.txt; a .tar archive need not be unpacked. Difficult objects neither count nor hurt. Weights trained
on COCO are scored by the names of classes (airplane = aeroplane, tv = tvmonitor ...); a class that the weights do not
know is reported and left out of the means. All figures are per cent.")]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// The data set: a folder in the layout of Pascal VOC, or a .tar archive of one.
    #[arg(long, value_name = "FOLDER|TAR")]
    data: PathBuf,
    /// The list of pictures: ImageSets/Main/SPLIT.txt.
    #[arg(long, default_value = "test")]
    split: String,
    /// Leave out detections with a lower score.
    #[arg(long, default_value = "0.01", value_parser = super::fraction)]
    score: f32,
    /// Drop a box that overlaps a better one of its class by more (IoU).
    #[arg(long, default_value = "0.65", value_parser = super::fraction)]
    nms: f32,
    /// Look at the first N pictures only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// What computes the network: native (this project's kernels), candle, or torch, if the program was built with libtorch.
    #[arg(long, value_enum, default_value_t)]
    engine: EngineName,
    /// Where: cpu, cuda, or one of several GPUs, as cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceName,
    /// How exactly a GPU multiplies.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
    /// Print JSON: {images, ap50_11, ap_11, ap50_area, ap_area, per_class, unknown_classes, seconds}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Output {
    #[serde(flatten)]
    report: Report,
    seconds: f64,
}

/// # Errors
/// Fails where weights, data set, a picture or an annotation cannot be read, naming it.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let folder = VocFolder::open(&args.data)?;
    let mut names = folder.split(&args.split)?;
    names.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    let models::Named { name, weights } = models::load(args.weights.as_deref())?;
    let detector = Detector::new(&weights).with_context(|| name.clone())?;
    super::use_threads(args.threads)?;

    // Annotations first: a damaged one is told at once, not when half of the pictures have been looked at.
    let truth = names.iter().map(|name| folder.objects(name)).collect::<Result<Vec<_>>>()?;

    let pictures: Vec<_> = names.iter().map(|name| folder.picture(name)).collect();
    let progress = Progress::new(names.len(), "images");
    let choice = EngineChoice { device: args.device, engine: args.engine, precision: args.precision };
    let found = if choice.is_runtime() {
        detect_all(&detector, &pictures, args.score, args.nms, &|| progress.step())
    } else {
        let mut engine = choice.engine(&weights.graph()?)?;
        engine.freeze(&weights).with_context(|| name.clone())?;
        detect_all_by(engine.as_mut(), &detector, &pictures, args.score, args.nms, &|| progress.step())
    };
    let seconds = progress.finish();
    let report = Report::new(&truth, &found?, &weights.metadata.class_names)?;
    let output = Output { report, seconds };
    if args.json {
        super::print_json(out, &output)?;
    } else {
        print(&output, &name, out)?;
    }
    Ok(Outcome::Complete)
}

fn print(output: &Output, weights: &str, out: &mut dyn Write) -> Result<()> {
    let Output { report, seconds } = output;
    writeln!(out, "{}", report.table())?;
    if !report.unknown_classes.is_empty() {
        writeln!(
            out,
            "The weights do not know {}: left out of the mean. Their classes are in another list, or named otherwise.",
            report.unknown_classes.join(", ")
        )?;
    }
    let images = report.images;
    writeln!(out, "{weights}: {images} images in {seconds:.1} s ({:.1} images/s)", images as f64 / seconds)?;
    Ok(())
}

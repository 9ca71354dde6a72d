//! `yolox-nano eval`: the official scores of Pascal VOC and COCO.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shared_model::Detector;
use shared_model::evaluation::EvalReport;

use crate::data::formats::in_role;
use crate::data::labels::{self, Classes, LabelledImage};
use crate::data::problem::Problem;
use crate::data::text::shown;
use crate::data::{Format, Reading, Role, Source, class_list};
use crate::engine::{DeviceName, EngineChoice, EngineName, Precision};
use crate::eval::coco::{self, CocoReport};
use crate::eval::{detect_all, detect_all_by, report_table, score};
use crate::files::write_atomic;
use crate::progress::Progress;
use crate::{Outcome, models};

/// Score weights on a data set: AP50, and AP over IoU .50:.05:.95, by Pascal VOC's rules or COCO's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano eval VOCdevkit/VOC2007:test
  yolox-nano eval --weights mine.safetensors --data VOC2007 --split test --limit 100 --json
  yolox-nano eval --weights final-voc VOC2007:test --limit 100 --engine candle
  yolox-nano eval coco/annotations/instances_val2017.json
  yolox-nano eval --weights mine.safetensors pets/data.yaml:val --metric both

A data set is a folder with JPEGImages, Annotations and ImageSets/Main/SPLIT.txt (a .tar archive need not be unpacked),
Roboflow's export in this format, YOLO's data.yaml, or COCO's JSON: docs/formats.md. Without a split, test is scored, and
where there is none, val. Difficult objects and crowds neither count nor hurt. Weights trained on COCO are scored by the
names of classes (airplane = aeroplane, tv = tvmonitor ...); a class that the weights do not
know is reported and left out of the means. All figures are per cent.")]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// Data sets and their splits: folders in the layout of Pascal VOC, a data.yaml of YOLO's, COCO's JSON.
    #[arg(value_name = "DATA[:SPLIT]", required_unless_present = "data", conflicts_with_all = ["data", "split"])]
    sources: Vec<Source>,
    /// In place of DATA[:SPLIT], the data set alone; with --split.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// The split of --data, such as ImageSets/Main/SPLIT.txt [default: test; where there is none, val].
    #[arg(long)]
    split: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Whose rules [default: voc for Pascal VOC's folders, coco for others].
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    /// Write all detections to this file, in the format of COCO's results.
    #[arg(long, value_name = "FILE")]
    save_detections: Option<PathBuf>,
    /// Leave out detections with a lower score.
    #[arg(long, default_value = "0.01", value_parser = super::fraction)]
    score: f32,
    /// Drop a box that overlaps a better one of its class by more (IoU).
    #[arg(long, default_value = "0.65", value_parser = super::fraction)]
    nms: f32,
    /// Look at the first N images only.
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
    /// Print JSON: {images, ap50_11, ap_11, ap50_area, ap_area, per_class, unknown_classes, seconds}; by COCO's rules
    /// {coco: {images, ap, ap50, ap75, ap_small, ap_medium, ap_large, ar_1, ar_10, ar_100, ar_small, ar_medium, ar_large,
    /// per_class, unknown_classes}, seconds}.
    #[arg(long)]
    json: bool,
}

/// A way of scoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Metric {
    /// Pascal VOC's: boxes whose last pixel belongs to them, precision at 11 recalls and as an area.
    Voc,
    /// COCO's: precision at 101 recalls, by size of the objects, and recall.
    Coco,
    /// A table of each.
    Both,
}

#[derive(Debug, Serialize)]
struct EvalOutput {
    #[serde(flatten)]
    voc: Option<EvalReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coco: Option<CocoReport>,
    seconds: f64,
}

/// # Errors
/// Fails where weights, data set, an image or an annotation cannot be read, naming it.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    super::use_threads(args.threads)?;
    let sources = sources(args)?;
    ensure!(
        sources.len() == 1 || args.save_detections.is_none(),
        "--save-detections is for one data set: the images' numbers of several are the same"
    );
    let is_voc = sources.iter().all(|source| Format::of(&source.folder) == Format::Voc);
    let metric = args.metric.unwrap_or(if is_voc { Metric::Voc } else { Metric::Coco });
    let models::Named { name, weights } = models::load(args.weights.as_deref())?;
    let detector = Detector::new(&weights).with_context(|| name.clone())?;

    // Annotations first: a damaged one is told at once, not when half of the images have been looked at.
    let mut labels = labels::read(&sources, Classes::Any, &args.reading)?;
    for line in labels::warnings(&labels.warnings).into_iter().chain(labels::summary(&labels.left_out)) {
        eprintln!("{line}");
    }
    labels.images.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    labels.images = labels.images.into_iter().map(LabelledImage::in_file_pixels).collect();
    let truth: Vec<_> = labels.images.iter().map(LabelledImage::voc_objects).collect();
    labels::check_scorable(&truth, &sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))?;

    let images: Vec<_> = labels.images.iter().map(|image| image.image.clone()).collect();
    let progress = Progress::new(images.len(), "images");
    let damaged = Mutex::new(Vec::new());
    let done = |damage: Option<Problem>| {
        damaged.lock().expect("nobody panics with it").extend(damage);
        progress.step();
    };
    let choice = EngineChoice { device: args.device, engine: args.engine, precision: args.precision };
    let found = if choice.is_runtime() {
        detect_all(&detector, &images, args.score, args.nms, &done)
    } else {
        let mut engine = choice.engine(&weights.graph()?)?;
        engine.freeze(&weights).with_context(|| name.clone())?;
        detect_all_by(engine.as_mut(), &detector, &images, args.score, args.nms, &done)
    };
    let seconds = progress.finish();
    let mut found = found?;
    let mut damaged = damaged.into_inner().expect("nobody panicked with it");
    damaged.sort_by(|a: &Problem, b| a.file.cmp(&b.file));
    labels::warnings(&damaged).iter().for_each(|line| eprintln!("{line}"));
    for (image, found) in labels.images.iter().zip(&mut found) {
        // Of what is decoded at a part of its sides; labels are in pixels of the file.
        found.iter_mut().for_each(|detection| detection.bbox = detection.bbox.scaled(image.header.shrink as f32));
    }
    let known = &weights.metadata.class_names;
    if let Some(path) = &args.save_detections {
        write_atomic(path, &serde_json::to_vec(&coco::results(&labels, &found, known))?)?;
    }
    let voc = (metric != Metric::Coco).then(|| score(&truth, &found, known));
    let coco = (metric != Metric::Voc).then(|| CocoReport::new(&labels, &found, known));
    let output = EvalOutput { voc: voc.transpose()?, coco: coco.transpose()?, seconds };
    if args.json {
        super::print_json(out, &output)?;
    } else {
        print(&output, &name, images.len(), known, out)?;
    }
    Ok(Outcome::Complete)
}

/// What to score on. `--data DATA:SPLIT` is understood too, where nothing has that name.
fn sources(args: &Args) -> Result<Vec<Source>> {
    let given = match &args.data {
        None => args.sources.clone(),
        Some(data) => {
            let text = data.to_str().filter(|_| args.split.is_none() && !data.exists());
            let split = args.split.clone().unwrap_or_default();
            vec![text.and_then(|text| text.parse().ok()).unwrap_or_else(|| Source { folder: data.clone(), split })]
        }
    };
    in_role(&given, Role::Eval)
}

fn print(output: &EvalOutput, weights: &str, images: usize, known: &[String], out: &mut dyn Write) -> Result<()> {
    let EvalOutput { voc, coco, seconds } = output;
    if let Some(voc) = voc {
        writeln!(out, "{}", report_table(voc))?;
    }
    if let Some(coco) = coco {
        if voc.is_some() {
            writeln!(out, "by COCO's rules:")?;
        }
        for table in coco.tables() {
            writeln!(out, "{table}")?;
        }
    }
    let unknown =
        voc.as_ref().map(|report| &report.unknown_classes).or(coco.as_ref().map(|report| &report.unknown_classes));
    if let Some(unknown) = unknown.filter(|unknown| !unknown.is_empty()) {
        let class = |class: &String| match class_list::closest(class, known) {
            Some(meant) => format!("{} (did you mean \"{meant}\"?)", shown(class)),
            None => shown(class),
        };
        writeln!(
            out,
            "The weights do not know {}: left out of the mean. Their classes are in another list, or named otherwise.",
            unknown.iter().map(class).collect::<Vec<_>>().join(", ")
        )?;
    }
    writeln!(out, "{weights}: {images} images in {seconds:.1} s ({:.1} images/s)", images as f64 / seconds)?;
    Ok(())
}

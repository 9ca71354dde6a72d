//! `yolox-nano eval`: the official Pascal VOC score.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use serde::Serialize;
use shared_model::{Detection, Detector};

use crate::data::voc::{Object, VocFolder};
use crate::eval::{ClassMap, ClassScore, Evaluator, Truth};
use crate::photo::Photo;
use crate::progress::Progress;
use crate::table::table;
use crate::{Outcome, models};

/// Score weights on a Pascal VOC data set: AP50, and AP over IoU .50:.05:.95.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano eval --data VOCdevkit/VOC2007 --split test
  yolox-nano eval --weights mine.safetensors --data VOC2007 --split test --limit 100 --json

DIR holds JPEGImages, Annotations and ImageSets/Main/SPLIT.txt. Difficult objects neither count nor hurt. Weights trained
on COCO are scored by the names of classes (airplane = aeroplane, tv = tvmonitor ...); a class that the weights do not
know is reported and left out of the means. All figures are per cent.")]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// The data set: a folder in the layout of Pascal VOC.
    #[arg(long, value_name = "DIR")]
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
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
    /// Print JSON: {images, ap50_11, ap_11, ap50_area, ap_area, per_class, unknown_classes, seconds}.
    #[arg(long)]
    json: bool,
}

/// All figures are per cent.
#[derive(Debug, Serialize)]
struct Report {
    images: usize,
    #[serde(flatten)]
    mean: Figures,
    per_class: Vec<Row>,
    /// Classes of the data set that the weights do not know: not in the means.
    unknown_classes: Vec<String>,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    ap50_11: f64,
    ap_11: f64,
    ap50_area: f64,
    ap_area: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    class: String,
    objects: usize,
    #[serde(flatten)]
    figures: Figures,
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

    let progress = Progress::new(names.len(), "images");
    let look = |name: &String| -> Result<Vec<Detection>> {
        let path = folder.picture(name);
        let detect = || -> Result<_> {
            let photo = Photo::open(&path)?;
            Ok(detector.detect(photo.picture()?, args.score, args.nms)?)
        };
        let detections = detect().with_context(|| format!("the picture {}", path.display()))?;
        progress.step();
        Ok(detections)
    };
    // In the order of the split, whatever thread was first: the result is the same every time.
    let found = names.par_iter().map(look).collect::<Result<Vec<_>>>();
    let seconds = progress.finish();
    let pictures: Vec<_> = truth.into_iter().zip(found?).collect();
    let report = report(&pictures, &weights.metadata.class_names, seconds)?;
    if args.json {
        super::print_json(out, &report)?;
    } else {
        print(&report, &name, out)?;
    }
    Ok(Outcome::Complete)
}

fn report(pictures: &[(Vec<Object>, Vec<Detection>)], known: &[String], seconds: f64) -> Result<Report> {
    // The classes are those that occur; AP is not defined for others.
    let classes: BTreeSet<&String> = pictures.iter().flat_map(|(objects, _)| objects).map(|o| &o.class).collect();
    let classes: Vec<String> = classes.into_iter().cloned().collect();
    let map = ClassMap::new(known, &classes);
    let position = |class: &String| classes.binary_search(class).expect("every class is in the list");

    let mut evaluator = Evaluator::new(classes.clone());
    for (objects, detections) in pictures {
        let truth = |o: &Object| (position(&o.class), Truth { bbox: o.bbox, difficult: o.difficult });
        let scored = |d: &Detection| Some((map.to_data(d.class)?, f64::from(d.score), d.bbox.into()));
        evaluator.add(objects.iter().map(truth), detections.iter().filter_map(scored));
    }
    let scores = evaluator.scores().into_iter().enumerate();
    let per_class: Vec<Row> =
        scores.filter(|(class, _)| !map.unknown().contains(class)).filter_map(|(_, score)| score.map(row)).collect();
    let unknown_classes: Vec<String> = map.unknown().iter().map(|&class| classes[class].clone()).collect();
    if per_class.is_empty() {
        return Err(anyhow!(
            "nothing can be scored: of the pictures' classes ({}) the weights know none with an object",
            classes.join(", ")
        ));
    }
    let mean = |figure: fn(&Figures) -> f64| mean(per_class.iter().map(|row| figure(&row.figures)));
    let mean = Figures {
        ap50_11: mean(|f| f.ap50_11),
        ap_11: mean(|f| f.ap_11),
        ap50_area: mean(|f| f.ap50_area),
        ap_area: mean(|f| f.ap_area),
    };
    Ok(Report { images: pictures.len(), mean, per_class, unknown_classes, seconds })
}

fn row(score: ClassScore) -> Row {
    let ClassScore { class, objects, ap_11, ap_area } = score;
    let figures = Figures {
        ap50_11: 100.0 * ap_11[0],
        ap_11: 100.0 * mean(ap_11.into_iter()),
        ap50_area: 100.0 * ap_area[0],
        ap_area: 100.0 * mean(ap_area.into_iter()),
    };
    Row { class, objects, figures }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn print(report: &Report, weights: &str, out: &mut dyn Write) -> Result<()> {
    let mut table = table(&["class", "objects", "AP50", "AP", "AP50 (area)", "AP (area)"], 1);
    let mut add = |class: &str, objects: usize, f: Figures| {
        let figures = [f.ap50_11, f.ap_11, f.ap50_area, f.ap_area].map(|figure| format!("{figure:.2}"));
        table.add_row([class.to_string(), objects.to_string()].into_iter().chain(figures));
    };
    for row in &report.per_class {
        add(&row.class, row.objects, row.figures);
    }
    let classes = report.per_class.len();
    add(&format!("mean of {classes}"), report.per_class.iter().map(|row| row.objects).sum(), report.mean);
    writeln!(out, "{table}")?;
    if !report.unknown_classes.is_empty() {
        writeln!(
            out,
            "The weights do not know {}: left out of the mean. Their classes are in another list, or named otherwise.",
            report.unknown_classes.join(", ")
        )?;
    }
    let Report { images, seconds, .. } = report;
    writeln!(out, "{weights}: {images} images in {seconds:.1} s ({:.1} images/s)", *images as f64 / seconds)?;
    Ok(())
}

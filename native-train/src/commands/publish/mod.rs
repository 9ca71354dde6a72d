//! `yolox-nano publish`: trained weights into models/, where the command line and the page find them.

mod card;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Value;
use shared_model::evaluation::{MAX_IOU, MIN_SCORE};
use shared_model::graph::SIZE_MULTIPLE;
use shared_model::{Detector, ManifestEntry, Metadata, Protocol, SmallFile, WeightPrecision, Weights, cost};

use crate::Outcome;
use crate::data::labels::{self, Classes, LabelledImage};
use crate::data::{Reading, Source};
use crate::eval::{detect_all, report_table, score};
use crate::files::write_atomic;
use crate::models::{self, LARGEST_LOSS, Models};
use crate::progress::Progress;
use crate::train::report;
use crate::train::run_folder::RunFolder;

/// Score trained weights on VOC2007 test and put them into models/, in half precision, with an entry in the manifest and a
/// model card.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano publish runs/final/weights/best.safetensors --name final-voc --data VOC2007

What is scored are the files that are published: one in half precision, and one in a byte a number, which the page downloads. Of the training, folders' names are left out.
The training's curves go along where the weights lie in the folder of their run. An entry of the same name is replaced.
NAME.md says what the weights are, how they were trained, what they score and what they are not for. Afterwards `--weights NAME` works in every command, and the page offers it.")]
pub struct Args {
    /// The weights, as `yolox-nano train` writes them.
    #[arg(value_name = "FILE")]
    weights: PathBuf,
    /// Short name: letters, digits and hyphens.
    #[arg(long, value_parser = name)]
    name: String,
    /// VOC2007, as a folder in the layout of Pascal VOC.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The list of images: ImageSets/Main/SPLIT.txt.
    #[arg(long, default_value = "test")]
    split: String,
    /// Side in pixels of the input that they are scored at and published for, a multiple of 32 [default: that of the
    /// training].
    #[arg(long, value_name = "PIXELS", value_parser = size)]
    size: Option<usize>,
    /// Licence of the weights (SPDX identifier).
    #[arg(long, default_value = "Apache-2.0")]
    licence: String,
    /// Data that the weights were trained on [default: what they say about their training].
    #[arg(long, value_name = "TEXT")]
    trained_on: Option<String>,
    /// The comparison that the weights belong to: trained from random weights, or started from the COCO weights and taught
    /// by them [default: what they say about their training].
    #[arg(long, value_parser = PossibleValuesParser::new(["random", "teacher"]).map(|text| named_protocol(&text)))]
    protocol: Option<Protocol>,
}

fn named_protocol(text: &str) -> Protocol {
    if text == "teacher" { Protocol::Teacher } else { Protocol::Random }
}

fn size(text: &str) -> Result<usize, String> {
    let fits = |size: &usize| *size > 0 && size.is_multiple_of(SIZE_MULTIPLE);
    text.parse().ok().filter(fits).ok_or_else(|| format!("a multiple of {SIZE_MULTIPLE} is needed"))
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.into())
    } else {
        Err("lower-case letters, digits and hyphens are possible".into())
    }
}

/// # Errors
/// Fails where weights or data set cannot be read, half precision does not hold the weights, or a file cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let path = args.weights.display();
    let source = Source { folder: args.data.clone(), split: args.split.clone() };
    let mut published = Models::find()?;
    let mut weights = models::load(args.weights.to_str())?.weights;
    let before = training_before(&weights.metadata, published.folder(), MOST_TRAININGS);
    if let (Some(before), Some(training)) = (before, &mut weights.metadata.training) {
        training["before"] = before;
    }
    without_folders(&mut weights.metadata);
    weights.metadata.input_size = args.size.unwrap_or(weights.metadata.input_size);
    let trained_on = match (&args.trained_on, trained_on(&weights.metadata)) {
        (Some(text), known) => {
            // Names of copies or archives say less about where the weights come from.
            if let Some(known) = known {
                weights.metadata.source = weights.metadata.source.replace(&known, text);
            }
            text.clone()
        }
        (None, known) => {
            known.with_context(|| format!("{path} does not say what it was trained on: say it with --trained-on"))?
        }
    };
    let bytes = weights.to_bytes(WeightPrecision::Half).with_context(|| path.to_string())?;
    let weights = Weights::from_bytes(&bytes).with_context(|| format!("{path} in half precision"))?;

    let labels = labels::read(std::slice::from_ref(&source), Classes::Any, &Reading::default())?;
    let of_image = |image: LabelledImage| (image.image.clone(), image.voc_objects());
    let (images, truth): (Vec<_>, Vec<_>) = labels.images.into_iter().map(of_image).unzip();
    let progress = Progress::new(2 * images.len(), "images");
    let report_of = |weights: &Weights| {
        let found = detect_all(&Detector::new(weights)?, &images, MIN_SCORE, MAX_IOU, &|_| progress.step())?;
        score(&truth, &found, &weights.metadata.class_names)
    };
    let small_bytes = weights.to_bytes(WeightPrecision::Int8).with_context(|| path.to_string())?;
    let (report, small_report) = (report_of(&weights)?, report_of(&Weights::from_bytes(&small_bytes)?)?);
    progress.finish();

    let metadata = &weights.metadata;
    let size = metadata.input_size;
    let cost = cost(&weights.graph()?, size, size);
    let hundredths = |figure: f64| (figure * 100.0).round() / 100.0;
    let curves = curves(&args.weights)?;
    let curves_file = format!("{}.curves.svg", args.name);
    let file = published.free_file(&args.name, &models::sha256(&bytes));
    let small = SmallFile {
        file: Models::small_file(&file),
        sha256: models::sha256(&small_bytes),
        bytes: small_bytes.len() as u64,
        voc2007_ap50: hundredths(small_report.mean.ap50_11),
        voc2007_ap: hundredths(small_report.mean.ap_11),
    };
    let less = report.mean.ap50_11 - small_report.mean.ap50_11;
    if less > LARGEST_LOSS {
        eprintln!("warning: in a byte a number, as the page downloads them, the weights' AP50 is less by {less:.2}");
    }
    let entry = ManifestEntry {
        name: args.name.clone(),
        file,
        variant: metadata.variant.clone(),
        classes: metadata.class_names.len(),
        sha256: models::sha256(&bytes),
        bytes: bytes.len() as u64,
        small: Some(small.clone()),
        parameters: cost.parameters,
        gflops: (cost.gflops * 1e4).round() / 1e4,
        input_size: size,
        trained_on,
        recipe: recipe(metadata),
        protocol: args.protocol.or_else(|| protocol(metadata)),
        seed: metadata.training.as_ref().and_then(|training| training["recipe"]["seed"].as_u64()),
        val_ap50: on_val(metadata, "ap50").map(hundredths),
        val_ap: on_val(metadata, "ap").map(hundredths),
        source: metadata.source.clone(),
        licence: args.licence.clone(),
        voc2007_ap50: Some(hundredths(report.mean.ap50_11)),
        voc2007_ap: Some(hundredths(report.mean.ap_11)),
        voc2007_classes: report
            .per_class
            .iter()
            .map(|row| (row.class.clone(), hundredths(row.figures.ap50_11)))
            .collect(),
        voc2007_images: Some(report.images),
        curves: curves.as_ref().map(|_| curves_file.clone()),
    };
    writeln!(out, "{}", report_table(&report))?;
    // The files first, weights beside those that are published: a manifest never names one that is not there, or another one.
    write_atomic(&published.folder().join(&entry.file), &bytes)?;
    write_atomic(&published.folder().join(&small.file), &small_bytes)?;
    let curves_path = published.folder().join(&curves_file);
    if let Some(svg) = &curves {
        write_atomic(&curves_path, svg)?;
    }
    write_atomic(&published.folder().join(format!("{}.md", args.name)), card::card(&entry, metadata).as_bytes())?;
    published.put(entry)?;
    published.remove_unnamed(&args.name)?;
    // Those of an earlier training under this name.
    if curves.is_none() && curves_path.is_file() {
        std::fs::remove_file(&curves_path).with_context(|| curves_path.display().to_string())?;
    }
    writeln!(out, "{} is in {}", args.name, published.folder().display())?;
    Ok(Outcome::Complete)
}

/// Trainings that went before that are looked for: files may name each other in a circle.
const MOST_TRAININGS: usize = 8;

/// What the weights that this training began with say about theirs, where they are of the same network, still there, and not
/// published themselves; it holds the one before it in the same way.
fn training_before(metadata: &Metadata, published: &Path, most: usize) -> Option<Value> {
    let init = Path::new(metadata.training.as_ref()?["recipe"]["init"].as_str()?);
    if most == 0 || !init.is_file() || init.parent() == Some(published) {
        return None;
    }
    let earlier = models::load(init.to_str()).ok()?.weights.metadata;
    let is_same = earlier.variant == metadata.variant
        && earlier.channels == metadata.channels
        && earlier.class_names == metadata.class_names;
    let mut training = earlier.training.clone().filter(|training| is_same && training.is_object())?;
    if let Some(before) = training_before(&earlier, published, most - 1) {
        training["before"] = before;
    }
    Some(training)
}

/// A training and those before it ([`training_before`]), the first one first.
fn trainings(metadata: &Metadata) -> Vec<&Value> {
    let mut all: Vec<&Value> =
        std::iter::successors(metadata.training.as_ref(), |training| training.get("before")).collect();
    all.reverse();
    all
}

/// The curves of the training that has written these weights, if its folder has them, or the metrics to draw them from.
fn curves(weights: &Path) -> Result<Option<Vec<u8>>> {
    let Some(folder) = RunFolder::of_weights(weights) else { return Ok(None) };
    let path = folder.curves();
    if path.is_file() {
        return Ok(Some(std::fs::read(&path).with_context(|| path.display().to_string())?));
    }
    if folder.metrics().is_file() { Ok(Some(report::drawn_curves(&folder)?.into_bytes())) } else { Ok(None) }
}

/// Leaves nothing but the last part of every path that the weights' description of their training holds: what folders the
/// machine had is nobody's business.
fn without_folders(metadata: &mut Metadata) {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
    let is_path = |word: &str| word.contains('/') && !word.contains("://");
    let words = metadata.source.split(' ').map(|word| if is_path(word) { last(word) } else { word.into() });
    metadata.source = words.collect::<Vec<_>>().join(" ");
    if let Some(training) = &mut metadata.training {
        shorten(training, &last);
    }
}

fn shorten(value: &mut Value, last: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) if text.contains('/') => *text = last(text),
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, last)),
        Value::Object(values) => values.values_mut().for_each(|value| shorten(value, last)),
        _ => {}
    }
}

/// The training sets, and how many images they have.
fn trained_on(metadata: &Metadata) -> Option<String> {
    let training = metadata.training.as_ref()?;
    let sets: Vec<&str> = training["recipe"]["train"].as_array()?.iter().filter_map(Value::as_str).collect();
    Some(format!("{} ({} images)", sets.join(", "), training["facts"]["train_images"].as_u64()?))
}

/// The comparison that weights belong to by what they say about their training. Those that started from others and had no
/// teacher belong to none.
fn protocol(metadata: &Metadata) -> Option<Protocol> {
    let recipe = metadata.training.as_ref()?["recipe"].as_object()?;
    let has = |key: &str| recipe.get(key).is_some_and(|value| !value.is_null());
    match (has("distill"), has("init") || has("overfit")) {
        (true, _) => Some(Protocol::Teacher),
        (false, true) => None,
        (false, false) => Some(Protocol::Random),
    }
}

/// A score of exactly these weights, at the size that they are published for, on the images that the best ones are chosen
/// by. Other weights of a training, such as the last, name the best ones' score too.
fn on_val(metadata: &Metadata, figure: &str) -> Option<f64> {
    let training = metadata.training.as_ref()?;
    let best = &training["best_on_val"];
    if training["recipe"]["size"].as_u64().is_some_and(|size| size != metadata.input_size as u64) {
        return None;
    }
    (best["iteration"].as_u64()? == training["iterations"].as_u64()?).then(|| best[figure].as_f64())?
}

/// The settings that matter most, of all trainings one after another.
fn recipe(metadata: &Metadata) -> Option<String> {
    let trainings = trainings(metadata);
    let (first, last) = (trainings.first()?, trainings.last()?);
    let start = first["recipe"]["init"].as_str().map_or("from scratch".into(), |from| format!("from {from}"));
    let teacher = last["recipe"]["distill"].as_str().map_or(String::new(), |teacher| format!(", taught by {teacher}"));
    let lengths = trainings.iter().map(|training| {
        let recipe = &training["recipe"];
        let after = training["epochs"].as_f64()?;
        // A time budget sets their number, whatever the settings say.
        let all = recipe["epochs"].as_f64().filter(|all| recipe["time-budget"].is_null() && after < all - 0.05);
        let epochs = all.map_or_else(|| format!("{after:.1} epochs"), |all| format!("{after:.1} of {all} epochs"));
        Some(format!("{epochs}, {} px", recipe["size"].as_u64()?))
    });
    let lengths = lengths.collect::<Option<Vec<_>>>()?.join(", then ");
    let batch = last["facts"]["effective_batch"].as_u64()?;
    let rates = trainings.iter().map(|training| Some(training["facts"]["learning_rate"].as_f64()?.to_string()));
    let rates = rates.collect::<Option<Vec<_>>>()?.join(", then ");
    Some(format!("{start}{teacher}, {lengths}, batch {batch}, learning rate {rates}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared_model::{VARIANTS, Weights};

    use super::*;

    #[test]
    fn curves_come_from_the_folder_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights/best.safetensors");
        assert_eq!(curves(&weights).unwrap(), None);
        let line = r#"{"kind":"evaluation","iteration":2,"epoch":1.0,"ap":1.5,"ap50":3.5,"best":true,"seconds":1.0}"#;
        std::fs::write(folder.path().join("metrics.jsonl"), line).unwrap();
        let drawn = String::from_utf8(curves(&weights).unwrap().unwrap()).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.contains("AP50"), "{drawn}");
        std::fs::write(folder.path().join("curves.svg"), "<svg/>").unwrap();
        assert_eq!(curves(&weights).unwrap().as_deref(), Some(&b"<svg/>"[..]));
        // Weights elsewhere may be of another run.
        assert_eq!(curves(&folder.path().join("other/best.safetensors")).unwrap(), None);
    }

    #[test]
    fn descriptions_name_no_folders() {
        let mut metadata = Weights::random(&VARIANTS[0], 20, 0).metadata;
        metadata.source = "trained by yolox-nano 0.1.0 on ../voc/VOC2012:train (5 images), from random, seed 0".into();
        metadata.training = Some(json!({
            "recipe": { "train": ["/data/voc/VOC2012:train"], "init": "/w/coco.safetensors", "size": 416 },
            "facts": { "train_images": 5, "effective_batch": 16, "learning_rate": 0.001 },
            "epochs": 4.0,
        }));
        without_folders(&mut metadata);
        assert_eq!(metadata.source, "trained by yolox-nano 0.1.0 on VOC2012:train (5 images), from random, seed 0");
        assert!(!metadata.training.as_ref().unwrap().to_string().contains('/'));
        assert_eq!(trained_on(&metadata).unwrap(), "VOC2012:train (5 images)");
        assert_eq!(
            recipe(&metadata).unwrap(),
            "from coco.safetensors, 4.0 epochs, 416 px, batch 16, learning rate 0.001"
        );
    }

    fn trained(training: Value) -> Metadata {
        let mut metadata = Weights::random(&VARIANTS[0], 20, 0).metadata;
        metadata.training = Some(training);
        metadata
    }

    #[test]
    fn the_comparison_follows_from_the_training() {
        let of = |recipe: Value| protocol(&trained(json!({ "recipe": recipe })));
        assert_eq!(of(json!({ "seed": 0 })), Some(Protocol::Random));
        assert_eq!(of(json!({ "init": null })), Some(Protocol::Random));
        assert_eq!(of(json!({ "init": "coco.safetensors" })), None);
        assert_eq!(of(json!({ "overfit": 16 })), None);
        assert_eq!(of(json!({ "init": "coco.safetensors", "distill": "coco.safetensors" })), Some(Protocol::Teacher));
        assert_eq!(protocol(&trained(json!("by hand"))), None);
        assert_eq!(protocol(&Weights::random(&VARIANTS[0], 20, 0).metadata), None);
    }

    #[test]
    fn scores_on_val_are_those_of_the_weights_themselves() {
        let training = |iterations: u64| {
            let best = json!({ "iteration": 70, "ap50": 33.5, "ap": 19.1 });
            trained(json!({ "iterations": iterations, "best_on_val": best }))
        };
        assert_eq!((on_val(&training(70), "ap50"), on_val(&training(70), "ap")), (Some(33.5), Some(19.1)));
        assert_eq!(on_val(&training(77), "ap"), None);
        let mut smaller = training(70);
        smaller.training.as_mut().unwrap()["recipe"] = json!({ "size": 256 });
        assert_eq!(on_val(&smaller, "ap"), None, "published for 416 pixels");
        smaller.input_size = 256;
        assert_eq!(on_val(&smaller, "ap"), Some(19.1));
        assert_eq!(on_val(&trained(json!({ "iterations": 7, "best_on_val": null })), "ap"), None);
    }

    #[test]
    fn trainings_one_after_another_are_told_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let training = |init: &str, epochs: f64, size: u64, rate: f64| {
            json!({
                "recipe": { "init": init, "distill": "coco.safetensors", "size": size, "time-budget": "9m" },
                "facts": { "effective_batch": 16, "learning_rate": rate },
                "epochs": epochs,
            })
        };
        let write = |name: &str, training: Value| {
            let mut weights = Weights::random(&VARIANTS[0], 3, 0);
            weights.metadata.training = Some(training);
            std::fs::write(file(name), weights.to_bytes(WeightPrecision::Half).unwrap()).unwrap();
            weights.metadata
        };
        let models = Path::new("models");
        let first = write("first", training("models/coco.safetensors", 2.5, 256, 0.0006));
        let mut second = write("second", training(&file("first"), 0.5, 416, 0.0003));
        assert_eq!(training_before(&first, models, MOST_TRAININGS), None);
        assert_eq!(
            training_before(&second, folder.path(), MOST_TRAININGS),
            None,
            "published weights have their own card"
        );
        second.training.as_mut().unwrap()["before"] = training_before(&second, models, MOST_TRAININGS).unwrap();
        without_folders(&mut second);
        assert_eq!(
            recipe(&second).unwrap(),
            "from coco.safetensors, taught by coco.safetensors, 2.5 epochs, 256 px, then 0.5 epochs, 416 px, batch 16, \
             learning rate 0.0006, then 0.0003"
        );
        let card = card::card(&ManifestEntry::default(), &second);
        let lines: Vec<_> = card.lines().filter(|line| line.starts_with("yolox-nano train")).collect();
        assert!(lines.len() == 2 && lines[0].contains("--size 256") && lines[1].contains("--init first"), "{card}");

        let circle = write("circle", training(&file("circle"), 1.0, 256, 0.1));
        let mut depth = 0;
        let mut before = training_before(&circle, models, MOST_TRAININGS);
        while let Some(training) = before {
            before = training.get("before").cloned();
            depth += 1;
        }
        assert_eq!(depth, MOST_TRAININGS);
    }

    #[test]
    fn weights_of_the_middle_of_a_training_say_so() {
        let words = |settings: Value| {
            let facts = json!({ "effective_batch": 64, "learning_rate": 0.01 });
            recipe(&trained(json!({ "recipe": settings, "facts": facts, "epochs": 90.0 }))).unwrap()
        };
        let settings = json!({ "size": 416, "epochs": 100 });
        assert_eq!(words(settings), "from scratch, 90.0 of 100 epochs, 416 px, batch 64, learning rate 0.01");
        let settings = json!({ "size": 416, "epochs": 300, "time-budget": "2h" });
        assert_eq!(words(settings), "from scratch, 90.0 epochs, 416 px, batch 64, learning rate 0.01");
    }
}

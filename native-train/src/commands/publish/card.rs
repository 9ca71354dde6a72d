//! The model card of published weights: what they are, where they come from, what they can do and what not.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use shared_model::{ManifestEntry, Metadata, Protocol, SmallFile, Variant};

use super::trainings;
use crate::train::settings::Settings;

/// Images of VOC2007 test.
const VOC_IMAGES: usize = 4952;
/// Settings that a card names even where they are the defaults, in this order.
const NAMED: [&str; 5] = ["variant", "epochs", "batch", "size", "seed"];
/// Settings that change nothing about the weights, or that the card gives in words.
const LEFT_OUT: [&str; 10] = [
    "train",
    "val",
    "classes",
    "augmentation",
    "eval-every",
    "checkpoint-every",
    "device",
    "threads",
    "cache",
    "time-budget",
];

/// The card, in Markdown. `metadata` are those of the published file, without folders' names.
pub(super) fn card(entry: &ManifestEntry, metadata: &Metadata) -> String {
    let ManifestEntry { name, file, bytes, sha256, licence, trained_on, source, .. } = entry;
    let summary = Variant::named(&entry.variant).map_or("", |variant| variant.summary);
    let (side, classes) = (entry.input_size, metadata.class_names.join(", "));
    let training = training(entry, metadata);
    let scores = scores(entry, metadata);
    let images = metadata.training.as_ref().and_then(|training| training["facts"]["train_images"].as_u64());
    let data = images.map_or_else(|| trained_on.clone(), |count| format!("{count} images"));
    format!(
        "\
# {name}

Weights of YOLOX-nano's variant `{variant}` ({summary}): a detector of {count} classes with {parameters} parameters and {gflops:.4}
GFLOPs for an image of {side} x {side} pixels.

| | |
| --- | --- |
| file | [{file}]({file}), {bytes} bytes |
| SHA-256 | `{sha256}` |
| licence | {licence} |
| trained on | {trained_on} |
| origin | {source} |

## Training

{training}
## Scores

Per cent, by the official rules of Pascal VOC2007 (11-point); AP is the mean over IoU .50:.05:.95.

| images | AP50 | AP |
| --- | ---: | ---: |
{scores}
## Limits

- It knows {count} classes and nothing else: {classes}.
- It has learned from {data}. In images unlike those of Pascal VOC (everyday photographs at eye level) it finds less.
- It overlooks objects and reports some that are not there: the scores say how often. It is not for uses in which that can
  harm somebody, such as driving, surveillance or medicine.

## Use

```
yolox-nano detect IMAGE --weights {name}
```

On the page, choose `{name}` in a list of models.
",
        variant = entry.variant,
        count = entry.classes,
        parameters = entry.parameters,
        gflops = entry.gflops,
    )
}

/// What the training began with, how long it was, and the command.
fn training(entry: &ManifestEntry, metadata: &Metadata) -> String {
    let trainings = trainings(metadata);
    let is_taught = trainings.iter().any(|training| training["recipe"]["distill"].is_string());
    let mut text = match entry.protocol {
        Some(Protocol::Random) => "Trained from random weights: compare it with the others that were.\n".to_string(),
        Some(Protocol::Teacher) if is_taught => "Started from the COCO weights and taught by them.\n".to_string(),
        Some(Protocol::Teacher) => {
            "Started from the COCO weights, which are of this structure: so no teacher.\n".to_string()
        }
        None => String::new(),
    };
    if let Some(recipe) = &entry.recipe {
        let _ = writeln!(text, "In short: {recipe}.");
    }
    let recipes: Vec<_> = trainings.iter().filter_map(|training| training["recipe"].as_object()).collect();
    if let Some(settings) = recipes.last() {
        let commands: Vec<_> = recipes.iter().map(|settings| command(settings)).collect();
        let words = match commands.len() {
            1 => "The command, to which the data come",
            _ => "The commands, each from the best weights of the one before, to which the data come",
        };
        let _ = write!(text, "{words} as `--train` and `--val`:\n\n```\n{}\n```\n", commands.join("\n"));
        let usual = &defaults()["augmentation"];
        // Older runs know fewer settings, all of which were as they are by default now.
        let differs = |own: &&Value| own.as_object().is_some_and(|own| own.iter().any(|(key, own)| usual[key] != *own));
        if let Some(augmentation) = settings.get("augmentation").filter(differs) {
            let _ = write!(text, "\nImages were changed by other numbers than the defaults: `{augmentation}`.\n");
        }
    }
    if text.is_empty() {
        text += "Nothing is known but the origin.\n";
    }
    text
}

fn scores(entry: &ManifestEntry, metadata: &Metadata) -> String {
    let mut text = String::new();
    if let (Some(ap50), Some(ap)) = (entry.voc2007_ap50, entry.voc2007_ap) {
        let images = match entry.voc2007_images {
            Some(images) if images < VOC_IMAGES => format!("{images} of the {VOC_IMAGES} of VOC2007 test"),
            _ => format!("VOC2007 test, all {VOC_IMAGES}"),
        };
        let _ = writeln!(text, "| {images} | {ap50:.2} | {ap:.2} |");
    }
    if let Some(SmallFile { file, bytes, voc2007_ap50, voc2007_ap, .. }) = &entry.small {
        let what = format!("the same, in a byte a number: [{file}]({file}), {bytes} bytes, which the page downloads");
        let _ = writeln!(text, "| {what} | {voc2007_ap50:.2} | {voc2007_ap:.2} |");
    }
    if let (Some(ap50), Some(ap)) = (entry.val_ap50, entry.val_ap) {
        let count = metadata.training.as_ref().and_then(|training| training["facts"]["val_images"].as_u64());
        let count = count.map(|count| format!("the {count} ")).unwrap_or_default();
        let _ = writeln!(text, "| {count}for validation, by which the weights were chosen | {ap50:.2} | {ap:.2} |");
    }
    text
}

/// The command line of these settings: those that matter most, and those that are not the defaults.
fn command(settings: &Map<String, Value>) -> String {
    let defaults = defaults();
    let differs = |key: &str| defaults.get(key) != settings.get(key);
    let is_other = |key: &&str| !NAMED.contains(key) && !LEFT_OUT.contains(key) && differs(key);
    let mut others: Vec<&str> = settings.keys().map(String::as_str).filter(is_other).collect();
    others.sort_unstable();
    let mut command = "yolox-nano train".to_string();
    for key in NAMED.into_iter().chain(others) {
        // A time budget sets their number.
        if key == "epochs" && settings.get("time-budget").is_some_and(Value::is_string) {
            flag(&mut command, "time-budget", &settings["time-budget"]);
        } else if let Some(value) = settings.get(key) {
            flag(&mut command, key, value);
        }
    }
    command
}

fn flag(command: &mut String, key: &str, value: &Value) {
    let _ = match value {
        Value::Array(values) => {
            values.iter().for_each(|value| flag(command, key, value));
            Ok(())
        }
        Value::Bool(true) => write!(command, " --{key}"),
        Value::Null | Value::Bool(false) | Value::Object(_) => Ok(()),
        Value::String(text) if text.contains(' ') => write!(command, " --{key} '{text}'"),
        Value::String(text) => write!(command, " --{key} {text}"),
        Value::Number(number) => write!(command, " --{key} {number}"),
    };
}

fn defaults() -> Value {
    serde_json::to_value(Settings::default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared_model::Weights;

    use super::*;
    use crate::data::Difficult;

    fn example() -> (ManifestEntry, Metadata) {
        let mut metadata = Weights::random(Variant::named("dw7").unwrap(), 20, 0).metadata;
        (metadata.class_names[0], metadata.class_names[1]) = ("aeroplane".into(), "bicycle".into());
        let settings = Settings {
            variant: "dw7".into(),
            train: vec!["train0.tar:train".parse().unwrap()],
            epochs: 100,
            batch: 64,
            threads: Some(5),
            ..Settings::default()
        };
        metadata.training = Some(json!({
            "recipe": settings,
            "facts": { "train_images": 4868, "val_images": 500 },
        }));
        let entry = ManifestEntry {
            name: "dw7-random".into(),
            file: "dw7-random.safetensors".into(),
            variant: "dw7".into(),
            classes: 20,
            sha256: "0123abcd".into(),
            bytes: 1_844_162,
            parameters: 882_507,
            gflops: 1.0734,
            input_size: 416,
            trained_on: "VOC2008plus:train (4868 images)".into(),
            recipe: Some("from scratch, 90.0 of 100 epochs, 416 px, batch 64, learning rate 0.01".into()),
            protocol: Some(Protocol::Random),
            val_ap50: Some(33.52),
            val_ap: Some(19.06),
            source: "trained by yolox-nano 0.1.0".into(),
            licence: "Apache-2.0".into(),
            voc2007_ap50: Some(33.8),
            voc2007_ap: Some(18.5),
            voc2007_images: Some(800),
            ..ManifestEntry::default()
        };
        (entry, metadata)
    }

    #[test]
    fn a_card_says_what_the_weights_are_and_what_they_are_not_for() {
        let (entry, metadata) = example();
        let card = card(&entry, &metadata);
        for part in [
            "# dw7-random\n",
            "variant `dw7` (",
            "20 classes with 882507 parameters and 1.0734\nGFLOPs",
            "| SHA-256 | `0123abcd` |",
            "| licence | Apache-2.0 |",
            "| trained on | VOC2008plus:train (4868 images) |",
            "Trained from random weights",
            "90.0 of 100 epochs",
            "\nyolox-nano train --variant dw7 --epochs 100 --batch 64 --size 416 --seed 0\n",
            "| 800 of the 4952 of VOC2007 test | 33.80 | 18.50 |",
            "| the 500 for validation, by which the weights were chosen | 33.52 | 19.06 |",
            "aeroplane, bicycle,",
            "learned from 4868 images",
            "not for uses",
            "yolox-nano detect IMAGE --weights dw7-random\n",
        ] {
            assert!(card.contains(part), "{part:?} is missing:\n{card}");
        }
        assert!(!card.contains(".tar") && !card.contains("threads"), "{card}");
    }

    #[test]
    fn little_is_said_where_little_is_known() {
        let (mut entry, mut metadata) = example();
        metadata.training = None;
        (entry.recipe, entry.protocol, entry.val_ap) = (None, None, None);
        entry.voc2007_images = Some(VOC_IMAGES);
        let card = card(&entry, &metadata);
        assert!(card.contains("Nothing is known but the origin.") && !card.contains("validation"), "{card}");
        assert!(card.contains("| VOC2007 test, all 4952 | 33.80 | 18.50 |"), "{card}");
        assert!(card.contains("learned from VOC2008plus:train (4868 images)."), "{card}");
    }

    #[test]
    fn a_command_names_what_is_not_the_default() {
        let mut settings = Settings {
            init: Some("coco.safetensors".into()),
            freeze: vec!["backbone".into(), "head".into()],
            difficult: Difficult::Skip,
            time_budget: Some("2h 30m".parse().unwrap()),
            lr: Some(0.001),
            ..Settings::default()
        };
        settings.augmentation.flip = 0.0;
        let recipe = serde_json::to_value(&settings).unwrap();
        assert_eq!(
            command(recipe.as_object().unwrap()),
            "yolox-nano train --variant baseline --time-budget '2h 30m' --batch 16 --size 416 --seed 0 \
             --difficult skip --freeze backbone --freeze head --init coco.safetensors --lr 0.001"
        );
        let (entry, mut metadata) = example();
        metadata.training = Some(json!({ "recipe": recipe }));
        assert!(card(&entry, &metadata).contains("other numbers than the defaults: `{"));
        settings.augmentation.flip = 0.5;
        let mut recipe = serde_json::to_value(&settings).unwrap();
        recipe["augmentation"].as_object_mut().unwrap().remove("mixup");
        metadata.training = Some(json!({ "recipe": recipe }));
        assert!(!card(&entry, &metadata).contains("other numbers"));
    }
}

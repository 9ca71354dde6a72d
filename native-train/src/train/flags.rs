//! The settings of a training as flags.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_with::{DisplayFromStr, serde_as, skip_serializing_none};

use super::text::{SizeRange, TimeSpan};
use super::{BoxLoss, CenterRadius, ClassLoss, ObjectnessTarget, OptimizerName};
use crate::data::reading::{BadBoxes, ExifBoxes, OtherClasses, Unannotated};
use crate::data::{Difficult, Source, class_list};
use crate::engine::{DeviceName, EngineName, Precision};

/// A list of classes.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
struct ClassNames(Vec<String>);

fn class_names(text: &str) -> Result<ClassNames, String> {
    class_list::parse(text).map(ClassNames).map_err(|error| error.to_string())
}

/// What [`Settings`](super::settings::Settings) can be told on the command line: `None` and empty where it is not. Defaults, which
/// depend on each other, and checks are those of the settings.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Debug, Default, clap::Args, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flags {
    /// What to learn from: a folder in Pascal VOC's layout (or a .tar archive of one, which need not be unpacked) and a
    /// list in its ImageSets/Main, a data.yaml of YOLO's (its train), or COCO's JSON; may be given several times.
    #[arg(long, value_name = "DATA[:SPLIT]", help_heading = "Data")]
    #[serde_as(as = "Vec<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    train: Vec<Source>,
    /// What the best weights are chosen by; never the images of the final test.
    #[arg(long, value_name = "DATA[:SPLIT]", help_heading = "Data")]
    #[serde_as(as = "Vec<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    val: Vec<Source>,
    /// The classes, in the order of the network's outputs: a file with one name a line, or names with commas between them
    /// [default: those that occur in the training set].
    #[arg(long, value_name = "FILE|LIST", value_parser = class_names, help_heading = "Data")]
    classes: Option<ClassNames>,
    /// What to make of objects of classes that are not in --classes: stop, or skip them, so that they are background
    /// [default: stop].
    #[arg(long, value_enum, help_heading = "Data")]
    other_classes: Option<OtherClasses>,
    /// What to make of boxes without an inside or outside their image: stop, or skip these objects [default: stop].
    #[arg(long, value_enum, help_heading = "Data")]
    bad_boxes: Option<BadBoxes>,
    /// What to make of images without an annotation: stop, or take them for background [default: stop].
    #[arg(long, value_enum, help_heading = "Data")]
    unannotated: Option<Unannotated>,
    /// What boxes are of where EXIF turns an image and its annotation does not say so: stop, upright or stored
    /// [default: stop].
    #[arg(long, value_enum, help_heading = "Data")]
    exif_boxes: Option<ExifBoxes>,
    /// What to make of objects that are marked as difficult: learn them like others, skip them, so that they are background,
    /// or ignore what the network says where they are, for labels that even people disagree about [default: learn].
    #[arg(long, value_enum, help_heading = "Data")]
    difficult: Option<Difficult>,

    /// The network; `yolox-nano variants` lists them [default: baseline].
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    variant: Option<String>,
    /// Weights to start from: a file or a name in models/manifest.json. What fits is taken over, from other variants and
    /// class lists too.
    #[arg(long, value_name = "FILE|NAME", help_heading = "Network")]
    init: Option<String>,
    /// Keep the parameters whose names begin so (`backbone`); may be given several times.
    #[arg(long, value_name = "PREFIX", help_heading = "Network")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    freeze: Vec<String>,
    /// Steps before training in which the parts of the network that --init could not take over learn, each by itself, to
    /// compute what the other network's parts compute [default: 1000, where there are such parts].
    #[arg(long, value_name = "N", help_heading = "Network")]
    fit_steps: Option<usize>,
    /// Learning rate at the beginning of these steps, which Muon makes; it falls along a cosine [default: 0.003].
    #[arg(long, value_name = "LR", help_heading = "Network")]
    fit_lr: Option<f64>,
    /// Side of the input in pixels, a multiple of 32 [default: 416].
    #[arg(long, value_name = "PIXELS", help_heading = "Network")]
    size: Option<usize>,
    /// Draw the side of the input from this range every 10 iterations, such as 320:640.
    #[arg(long, value_name = "MIN:MAX", help_heading = "Network")]
    #[serde_as(as = "Option<DisplayFromStr>")]
    multi_scale: Option<SizeRange>,

    /// A teacher: weights of a network, a file or a name in models/manifest.json, that says what it sees in the same images.
    #[arg(long, value_name = "FILE|NAME", help_heading = "Teacher")]
    distill: Option<String>,
    /// Weight of the loss against what the teacher says: objectness, classes, boxes [default: 1].
    #[arg(long, value_name = "WEIGHT", help_heading = "Teacher")]
    distill_output: Option<f64>,
    /// Weight of the loss against what the teacher's parts compute, from dark2 to C3_n4 [default: 1].
    #[arg(long, value_name = "WEIGHT", help_heading = "Teacher")]
    distill_features: Option<f64>,
    /// Weight of the loss against the labels; 0 learns from the teacher alone, from images without labels too [default: 1].
    #[arg(long, value_name = "WEIGHT", help_heading = "Teacher")]
    labels: Option<f64>,

    /// How often every image is seen [default: 300].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    epochs: Option<usize>,
    /// Train for so long (150m, 2h 30m), whatever the number of epochs: the schedule follows the measured speed, so that it
    /// ends in time with all its stages.
    #[arg(long, value_name = "TIME", conflicts_with = "epochs", help_heading = "Schedule")]
    #[serde_as(as = "Option<DisplayFromStr>")]
    time_budget: Option<TimeSpan>,
    /// Images that go through the network at once [default: 16, or as many as memory holds, with more --accumulate].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    batch: Option<usize>,
    /// Batches whose gradients make one step [default: 1].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    accumulate: Option<usize>,
    /// The rule by which gradients move parameters [default: sgd].
    #[arg(long, value_enum, help_heading = "Schedule")]
    optimizer: Option<OptimizerName>,
    /// Learning rate after warm-up [default: 0.01 for each 64 images of a step; with adamw and muon 0.004 for 64, and by the
    /// root of their number].
    #[arg(long, value_name = "LR", help_heading = "Schedule")]
    lr: Option<f64>,
    /// Part of the time between warm-up and the flat end in which the learning rate stays before it falls along a cosine, 0
    /// to 1 [default: 0].
    #[arg(long, value_name = "PART", help_heading = "Schedule")]
    lr_hold: Option<f64>,
    /// Decay of the convolutions' weights [default: 0.0005; with adamw and muon 0.05].
    #[arg(long, value_name = "DECAY", help_heading = "Schedule")]
    weight_decay: Option<f64>,
    /// Shorten a step's gradient to this norm where it is longer [default: never].
    #[arg(long, value_name = "NORM", help_heading = "Schedule")]
    clip: Option<f64>,
    /// How far running statistics of batch normalisation follow a batch's [default: 0.03].
    #[arg(long, value_name = "PART", help_heading = "Schedule")]
    norm_momentum: Option<f64>,
    /// Take running statistics of batch normalisation anew before the last evaluation, from so many training images as they
    /// are, through the mean of the weights [default: 0, which leaves them as training has them].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    norm_images: Option<usize>,
    /// Epochs in which the learning rate rises [default: 1/60 of all; 1,000 steps or 1/10, where that is too short].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    warmup_epochs: Option<f64>,
    /// Last epochs, without mosaic and with L1 loss [default: 1/20 of all; 1 epoch or 1/5, where that is too short].
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    no_mosaic_epochs: Option<f64>,
    /// Decay, an iteration, of the running mean of the weights that is evaluated [default: by the schedule's length].
    #[arg(long, value_name = "DECAY", help_heading = "Schedule")]
    ema_decay: Option<f64>,
    /// Radius in strides around an object's centre in which anchors are its candidates: 1.5, or 2.5 as in the release of
    /// 2022 [default: 1.5].
    #[arg(long, value_enum, help_heading = "Schedule")]
    center_radius: Option<CenterRadius>,
    /// What boxes cost: iou is YOLOX's 1 - IoU^2, which says nothing where a box lies beside its object; giou, ciou and siou
    /// do. For objects that are found late, such as small ones [default: iou].
    #[arg(long, value_enum, help_heading = "Loss")]
    box_loss: Option<BoxLoss>,
    /// What objectness and classes cost: bce is YOLOX's binary cross-entropy; qfl (quality focal) counts less what the network
    /// is right about, vfl (varifocal) does so for what is to be 0. For few objects among much background [default: bce].
    #[arg(long, value_enum, help_heading = "Loss")]
    cls_loss: Option<ClassLoss>,
    /// What the objectness is to be where there is an object: one, or the iou of the box that the network says, for scores
    /// that tell how well a box lies [default: one].
    #[arg(long, value_enum, help_heading = "Loss")]
    obj_target: Option<ObjectnessTarget>,
    /// Of all randomness [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64), help_heading = "Schedule")]
    seed: Option<u64>,

    /// Learn the first N images with objects by heart, as they are: the first thing to try when training goes wrong. Ends
    /// well when AP50 on these images reaches 95 %.
    #[arg(long, value_name = "N", help_heading = "Run")]
    overfit: Option<usize>,
    /// Begin the last stage (without mosaic) once so many evaluations in a row are no better than the best, so that a
    /// training that has stopped to gain ends early but whole; counted after warm-up [default: it begins when planned].
    #[arg(long, visible_alias = "early-stop", value_name = "N", help_heading = "Run")]
    patience: Option<usize>,
    /// Epochs between two evaluations [default: a tenth of the training].
    #[arg(long, value_name = "EPOCHS", help_heading = "Run")]
    eval_every: Option<f64>,
    /// Minutes between two checkpoints [default: 10].
    #[arg(long, value_name = "MINUTES", help_heading = "Run")]
    checkpoint_every: Option<f64>,
    /// Where the network is computed: cpu, cuda (NVIDIA's GPUs), or one of several GPUs, as cuda:1 [default: cpu].
    #[arg(long, value_name = "DEVICE", help_heading = "Run")]
    #[serde_as(as = "Option<DisplayFromStr>")]
    device: Option<DeviceName>,
    /// What computes it: native (this project's kernels), candle (the same, differentiated by candle), or torch, if the program
    /// was built with libtorch [default: native].
    #[arg(long, value_enum, help_heading = "Run")]
    engine: Option<EngineName>,
    /// How exactly a GPU multiplies [default: tf32].
    #[arg(long, value_enum, help_heading = "Run")]
    precision: Option<Precision>,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Run")]
    threads: Option<usize>,
    /// Memory for decoded images, which spares decoding them in every epoch [default: an eighth of what is free].
    #[arg(long, value_name = "MIB", help_heading = "Run")]
    cache: Option<usize>,
}

impl Flags {
    /// What was given, under the keys of a configuration file.
    ///
    /// # Errors
    /// Fails where a number is too large for TOML.
    pub fn given(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).context("a flag's value is too large")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::train::settings::Settings;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn given(flags: &str) -> toml::Table {
        Cli::try_parse_from(["train"].into_iter().chain(flags.split_whitespace())).unwrap().flags.given().unwrap()
    }

    const ALL: &str = "--train a:train --train b/c:val --val a:val --classes cat,dog --difficult ignore --other-classes skip --bad-boxes skip --unannotated background \
        --exif-boxes stored --variant final \
        --box-loss giou --cls-loss vfl --obj-target iou --patience 4 \
        --init w.safetensors --freeze backbone --size 320 --multi-scale 256:384 --epochs 7 --batch 8 --accumulate 2 \
        --optimizer muon --lr 0.02 --lr-hold 0.5 --clip 10 --norm-momentum 0.1 --norm-images 9 --fit-steps 20 --fit-lr 0.001 \
        --distill t.safetensors --distill-output 2 --distill-features 0.5 --labels 0.25 --weight-decay 0.1 --warmup-epochs 1.5 --no-mosaic-epochs 2 --ema-decay 0.99 --center-radius 2.5 \
        --seed 5 --overfit 16 --eval-every 2 --checkpoint-every 3 --device cuda:1 --engine torch --precision bf16 --threads 2 --cache 100";

    const FILE: &str = r#"
        train = ["a:train", "b/c:val"]
        val = ["a:val"]
        classes = ["cat", "dog"]
        difficult = "ignore"
        other-classes = "skip"
        bad-boxes = "skip"
        unannotated = "background"
        exif-boxes = "stored"
        box-loss = "giou"
        cls-loss = "vfl"
        obj-target = "iou"
        patience = 4
        variant = "final"
        init = "w.safetensors"
        freeze = ["backbone"]
        size = 320
        multi-scale = "256:384"
        epochs = 7
        batch = 8
        accumulate = 2
        optimizer = "muon"
        lr = 0.02
        lr-hold = 0.5
        clip = 10
        norm-momentum = 0.1
        norm-images = 9
        fit-steps = 20
        fit-lr = 0.001
        distill = "t.safetensors"
        distill-output = 2
        distill-features = 0.5
        labels = 0.25
        weight-decay = 0.1
        warmup-epochs = 1.5
        no-mosaic-epochs = 2
        ema-decay = 0.99
        center-radius = "2.5"
        seed = 5
        overfit = 16
        eval-every = 2
        checkpoint-every = 3
        device = "cuda:1"
        engine = "torch"
        precision = "bf16"
        threads = 2
        cache = 100
    "#;

    #[test]
    fn a_file_says_what_flags_say() {
        let file: toml::Table = FILE.parse().unwrap();
        let from_file = Settings::from_layers(std::slice::from_ref(&file)).unwrap();
        assert_eq!(from_file, Settings::from_layers(&[given(ALL)]).unwrap());
        assert_eq!((from_file.epochs, from_file.multi_scale.unwrap().max, from_file.seed), (7, 384, 5));

        assert_eq!(given("--early-stop 3"), given("--patience 3"));
        let budget = Settings::from_layers(&[given("--train a:b --time-budget 150m")]).unwrap();
        let file: toml::Table = "train = ['a:b']\ntime-budget = '2h 30m'".parse().unwrap();
        assert_eq!(budget, Settings::from_layers(&[file]).unwrap());

        // Every setting is a key of the file, and every key but the numbers of the augmentation a flag.
        let mut keys: Vec<String> = toml::Table::try_from(&from_file).unwrap().keys().cloned().collect();
        keys.retain(|key| key != "augmentation");
        let mut flags: Vec<String> = given(ALL).keys().cloned().collect();
        keys.sort();
        flags.sort();
        assert_eq!(keys, flags);
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_the_defaults() {
        let file: toml::Table = "train = ['a:b']\nepochs = 9\nbatch = 4\n[augmentation]\nflip = 0.0".parse().unwrap();
        let settings = Settings::from_layers(&[file, given("--epochs 3 --train c:d")]).unwrap();
        assert_eq!((settings.epochs, settings.batch, settings.size), (3, 4, 416));
        assert_eq!(settings.train, ["c:d".parse().unwrap()]);
        assert_eq!((settings.augmentation.flip, settings.augmentation.degrees), (0.0, 10.0), "the others are kept");
    }
}

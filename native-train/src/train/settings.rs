//! What a training can be told, and what it does where it is not.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer, Serialize};
use serde_with::{DisplayFromStr, serde_as, skip_serializing_none};
use shared_model::Variant;
use shared_model::graph::SIZE_MULTIPLE;

use super::optimizer::STATISTICS_MOMENTUM;
use super::plan::EpochPlan;
use super::schedule::{Schedule, StageLengths};
use super::text::{SizeRange, TimeSpan};
use super::{BoxLoss, CenterRadius, ClassLoss, LossSettings, ObjectnessTarget, OptimizerName, OptimizerSettings};
use crate::augment::Augmentation;
use crate::data::reading::{BadBoxes, ExifBoxes, OtherClasses, Unannotated};
use crate::data::{Difficult, Reading, Source, class_list};
use crate::engine::{DeviceName, EngineChoice, EngineName, Precision};

/// Batch size that the reference recipe's learning rate belongs to.
pub(super) const REFERENCE_BATCH: f64 = 64.0;
/// The part of the training that the mean of the weights reaches back: 5,000 of 77,600 iterations in the reference recipe,
/// which has no more in longer ones.
const EMA_PART: f64 = 0.065;
/// The reference recipe's decay of the mean.
const REFERENCE_EMA_DECAY: f64 = 0.9998;
/// The reference recipe's learning rate.
pub(super) const REFERENCE_LR: f64 = 0.01;
/// The reference recipe's decay of kernels.
const REFERENCE_DECAY: f64 = 5e-4;
/// Learning rate of AdamW and Muon for as many images a step as in the reference recipe.
const ADAPTIVE_LR: f64 = 0.004;
/// Decay of kernels for these, apart from the gradient.
const ADAPTIVE_DECAY: f64 = 0.05;

/// All settings of a training. Keys of configuration files and flags have the same names, with dashes.
///
/// What is `None` follows from other settings, by the methods.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Name of the network.
    pub variant: String,
    /// What to learn from.
    #[serde_as(as = "Vec<DisplayFromStr>")]
    pub train: Vec<Source>,
    /// What the best weights are chosen by.
    #[serde_as(as = "Vec<DisplayFromStr>")]
    pub val: Vec<Source>,
    /// Names of the classes, in the order of the network's outputs; where there are none, those that occur.
    #[serde(deserialize_with = "names_or_list")]
    pub classes: Vec<String>,
    /// What training makes of difficult objects. Older runs have `skip-difficult = true` or `false` instead.
    #[serde(alias = "skip-difficult", deserialize_with = "difficult_or_skip")]
    pub difficult: Difficult,
    /// What is made of objects of other classes than `classes`.
    pub other_classes: OtherClasses,
    /// What is made of boxes that are none.
    pub bad_boxes: BadBoxes,
    /// What is made of images without an annotation.
    pub unannotated: Unannotated,
    /// What boxes of images that EXIF turns are of.
    pub exif_boxes: ExifBoxes,
    /// Weights to start from: a file or a name in the list of models.
    pub init: Option<String>,
    /// Parameters whose names begin so stay as they are.
    pub freeze: Vec<String>,
    /// Steps before training in which what `init` could not take over is fitted to its network's features.
    pub fit_steps: Option<usize>,
    /// Learning rate of these steps at their beginning.
    pub fit_lr: f64,
    /// Weights of a network to learn from: a file or a name in the list of models.
    pub distill: Option<String>,
    /// Weight of the loss against what that network says.
    pub distill_output: f64,
    /// Weight of the loss against what its parts compute.
    pub distill_features: f64,
    /// Weight of the loss against the labels.
    pub labels: f64,
    /// How often every image is seen.
    pub epochs: usize,
    /// Trains for so long, in place of `epochs`.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub time_budget: Option<TimeSpan>,
    /// Images that go through the network at once.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// The rule by which gradients move parameters.
    pub optimizer: OptimizerName,
    /// Learning rate after warm-up.
    pub lr: Option<f64>,
    /// The part of the time between warm-up and the flat end in which the learning rate does not fall yet.
    pub lr_hold: f64,
    /// Decay of the convolutions' weights.
    pub weight_decay: Option<f64>,
    /// The greatest norm of a step's gradient; a longer one is shortened.
    pub clip: Option<f64>,
    /// How far running statistics of batch normalisation follow a batch's.
    pub norm_momentum: f64,
    /// Training images that running statistics are taken from anew at the end; 0 leaves them as training has them.
    pub norm_images: usize,
    /// Epochs in which the learning rate rises.
    pub warmup_epochs: Option<f64>,
    /// Last epochs, without mosaic and with L1 loss.
    pub no_mosaic_epochs: Option<f64>,
    /// Decay of the mean of the weights, an iteration.
    pub ema_decay: Option<f64>,
    /// Side of the input in pixels.
    pub size: usize,
    /// The range that the input's side is drawn from in training.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub multi_scale: Option<SizeRange>,
    /// Which anchors may find an object.
    pub center_radius: CenterRadius,
    /// What boxes cost.
    pub box_loss: BoxLoss,
    /// What objectness and classes cost.
    pub cls_loss: ClassLoss,
    /// What the objectness is to be where there is an object.
    pub obj_target: ObjectnessTarget,
    /// Of all randomness.
    pub seed: u64,
    /// Learns so many images by heart.
    pub overfit: Option<usize>,
    /// Evaluations in a row that are no better, after which the last stage begins.
    #[serde(alias = "early-stop")]
    pub patience: Option<usize>,
    /// Epochs between two evaluations.
    pub eval_every: Option<f64>,
    /// Minutes between two checkpoints.
    pub checkpoint_every: f64,
    /// Where the network is computed.
    #[serde_as(as = "DisplayFromStr")]
    pub device: DeviceName,
    /// Whose kernels compute it.
    pub engine: EngineName,
    /// How exactly a GPU multiplies.
    pub precision: Precision,
    /// Number of threads; all cores where there is none.
    pub threads: Option<usize>,
    /// Memory for decoded images in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<usize>,
    /// How images are changed.
    pub augmentation: Augmentation,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variant: "baseline".into(),
            train: Vec::new(),
            val: Vec::new(),
            classes: Vec::new(),
            difficult: Difficult::default(),
            other_classes: OtherClasses::default(),
            bad_boxes: BadBoxes::default(),
            unannotated: Unannotated::default(),
            exif_boxes: ExifBoxes::default(),
            init: None,
            freeze: Vec::new(),
            fit_steps: None,
            fit_lr: 0.003,
            distill: None,
            distill_output: 1.0,
            distill_features: 1.0,
            labels: 1.0,
            epochs: 300,
            time_budget: None,
            batch: 16,
            accumulate: 1,
            optimizer: OptimizerName::Sgd,
            lr: None,
            lr_hold: 0.0,
            weight_decay: None,
            clip: None,
            norm_momentum: STATISTICS_MOMENTUM,
            norm_images: 0,
            warmup_epochs: None,
            no_mosaic_epochs: None,
            ema_decay: None,
            size: 416,
            multi_scale: None,
            center_radius: CenterRadius::default(),
            box_loss: BoxLoss::default(),
            cls_loss: ClassLoss::default(),
            obj_target: ObjectnessTarget::default(),
            seed: 0,
            overfit: None,
            patience: None,
            eval_every: None,
            checkpoint_every: 10.0,
            device: DeviceName::default(),
            engine: EngineName::default(),
            precision: Precision::default(),
            threads: None,
            cache: None,
            augmentation: Augmentation::default(),
        }
    }
}

/// The largest number of epochs, or of whatever else is counted: far more than anybody has time for.
const MOST: usize = 1_000_000;

impl Settings {
    /// The defaults for learning a few images by heart: as they are, in small steps, with an average over a few epochs.
    pub fn overfit(images: usize) -> Self {
        Self {
            overfit: Some(images),
            batch: images.min(8),
            epochs: 400,
            lr: Some(0.02),
            weight_decay: Some(0.0),
            ema_decay: Some(0.98),
            eval_every: Some(20.0),
            augmentation: Augmentation { mosaic: 0.0, hsv: [0.0; 3], flip: 0.0, ..Augmentation::default() },
            ..Self::default()
        }
    }

    /// Reads `layers` of settings, each of which overrides those before it, over the defaults.
    ///
    /// # Errors
    /// Fails where a key is unknown or a value has the wrong type or makes no sense, naming it.
    pub fn from_layers(layers: &[toml::Table]) -> Result<Self> {
        let mut given = toml::Table::new();
        for layer in layers {
            let mut layer = layer.clone();
            // As older runs have it; where two layers say it, the later one is heard.
            if let Some(skip) = layer.remove("skip-difficult") {
                layer.entry("difficult").or_insert(skip);
            }
            given.extend(layer);
        }
        let overfit = given.get("overfit").and_then(toml::Value::as_integer).and_then(|n| usize::try_from(n).ok());
        let defaults = overfit.map_or_else(Self::default, Self::overfit);
        let mut all = toml::Table::try_from(&defaults).context("the default settings cannot be written")?;
        // The numbers of the augmentation may be given one by one.
        if let (Some(toml::Value::Table(given)), Some(toml::Value::Table(defaults))) =
            (given.remove("augmentation"), all.get_mut("augmentation"))
        {
            defaults.extend(given);
        }
        all.extend(given);
        let settings: Self = all.try_into().context("the settings are wrong")?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        Variant::named(&self.variant)?;
        let side = |name: &str, side: usize| {
            ensure!(
                side > 0 && side.is_multiple_of(SIZE_MULTIPLE) && side <= 4096,
                "--{name} must be a multiple of {SIZE_MULTIPLE} pixels up to 4096, not {side}"
            );
            Ok(())
        };
        side("size", self.size)?;
        if let Some(SizeRange { min, max }) = self.multi_scale {
            side("multi-scale", min)?;
            side("multi-scale", max)?;
            ensure!(min <= max, "--multi-scale {min}:{max}: the smaller size comes first");
        }
        let counts = [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("epochs", self.epochs),
            ("fit-steps", self.fit_steps.unwrap_or(1).max(1)),
        ];
        for (name, value) in counts {
            // Products of them are counted with.
            ensure!((1..=MOST).contains(&value), "--{name} must be from 1 to {MOST}, not {value}");
        }
        ensure!(self.accumulate == 1 || self.batch > 1, "--accumulate needs a --batch of 2 or more");
        ensure!(self.overfit != Some(0), "--overfit must be at least 1");
        ensure!(self.patience != Some(0), "--patience must be at least 1");
        ensure!(
            self.patience.is_none() || !self.val.is_empty() || self.overfit.is_some(),
            "--patience needs images to be evaluated on: name them with --val FOLDER:SPLIT"
        );
        ensure!(
            self.patience.is_none() || self.time_budget.is_none(),
            "--patience ends a training early, --time-budget fills the time: give one of them"
        );
        ensure!(self.threads.is_none_or(|threads| (1..=1024).contains(&threads)), "--threads must be 1 to 1024");
        let cache = self.cache.unwrap_or_default();
        ensure!(cache <= usize::MAX >> 20, "--cache {cache} is more than any memory");
        let not_negative = [
            ("weight-decay", self.weight_decay),
            ("distill-output", Some(self.distill_output)),
            ("distill-features", Some(self.distill_features)),
            ("labels", Some(self.labels)),
            ("warmup-epochs", self.warmup_epochs),
            ("no-mosaic-epochs", self.no_mosaic_epochs),
        ];
        let positive = [
            ("lr", self.lr),
            ("fit-lr", Some(self.fit_lr)),
            ("clip", self.clip),
            ("eval-every", self.eval_every),
            ("checkpoint-every", Some(self.checkpoint_every)),
        ];
        for (name, value) in not_negative {
            ensure!(value.is_none_or(|value| value >= 0.0 && value.is_finite()), "--{name} must not be negative");
        }
        for (name, value) in positive {
            ensure!(value.is_none_or(|value| value > 0.0 && value.is_finite()), "--{name} must be greater than 0");
        }
        if self.time_budget.is_none() {
            let stages = self.warmup_epochs.unwrap_or_default() + self.no_mosaic_epochs.unwrap_or_default();
            let epochs = self.epochs;
            ensure!(
                stages <= epochs as f64,
                "--warmup-epochs and --no-mosaic-epochs ask for {stages} epochs, of which there are {epochs}: give more \
                 --epochs, or make these stages shorter"
            );
        }
        ensure!(
            self.ema_decay.is_none_or(|decay| (0.0..1.0).contains(&decay)),
            "--ema-decay must be from 0 to below 1"
        );
        ensure!((0.0..=1.0).contains(&self.lr_hold), "--lr-hold must be from 0 to 1");
        ensure!(self.norm_momentum > 0.0 && self.norm_momentum <= 1.0, "--norm-momentum must be above 0, at most 1");
        ensure!(
            self.labels > 0.0 || self.distill.is_some(),
            "--labels 0 leaves nothing to learn from: name a teacher with --distill"
        );
        ensure!(
            self.distill.is_none() || self.labels + self.distill_output + self.distill_features > 0.0,
            "the weights of labels, --distill-output and --distill-features are all 0: there is nothing to learn from"
        );
        ensure!(
            self.fit_steps.is_none_or(|steps| steps == 0) || self.init.is_some(),
            "--fit-steps fits what --init could not take over: name weights with --init"
        );
        class_list::check(&self.classes)?;
        ensure!(
            self.other_classes == OtherClasses::Stop || !self.classes.is_empty(),
            "--other-classes skip leaves out what is not in a list of classes: give one with --classes"
        );
        self.augmentation.check()?;
        if self.train.is_empty() {
            bail!("there is nothing to learn from: name a data set with --train FOLDER:SPLIT");
        }
        Ok(())
    }

    /// How labels are read.
    pub fn reading(&self) -> Reading {
        let Self { bad_boxes, unannotated, exif_boxes, other_classes, .. } = *self;
        Reading { bad_boxes, unannotated, exif_boxes, other_classes }
    }

    /// What computes the network.
    pub fn engine_choice(&self) -> EngineChoice {
        EngineChoice { device: self.device, engine: self.engine, precision: self.precision }
    }

    /// Images of a step.
    pub fn effective_batch(&self) -> usize {
        self.batch * self.accumulate
    }

    /// The learning rate after warm-up: by default the reference recipe's, in proportion to the images of a step; for
    /// AdamW and Muon, whose steps have a length of their own, in proportion to the root of their number.
    pub fn learning_rate(&self) -> f64 {
        let batches = self.effective_batch() as f64 / REFERENCE_BATCH;
        self.lr.unwrap_or_else(|| match self.optimizer {
            OptimizerName::Sgd => REFERENCE_LR * batches,
            OptimizerName::Adamw | OptimizerName::Muon => ADAPTIVE_LR * batches.sqrt(),
        })
    }

    /// What the optimizer is told.
    pub fn optimizer_settings(&self) -> OptimizerSettings {
        let weight_decay = self.weight_decay.unwrap_or(match self.optimizer {
            OptimizerName::Sgd => REFERENCE_DECAY,
            OptimizerName::Adamw | OptimizerName::Muon => ADAPTIVE_DECAY,
        });
        OptimizerSettings { name: self.optimizer, weight_decay, statistics_momentum: self.norm_momentum }
    }

    /// Decay of the mean of the weights, an iteration: by default so that it reaches back over the same part of the
    /// training as in the reference recipe.
    pub fn ema_decay(&self, schedule: &Schedule) -> f64 {
        let scaled = 1.0 - 1.0 / (EMA_PART * schedule.iterations as f64).max(1.0);
        self.ema_decay.unwrap_or(scaled.min(REFERENCE_EMA_DECAY))
    }

    /// What the loss depends on, with or without the L1 loss of the last stage.
    pub fn loss_settings(&self, l1: bool) -> LossSettings {
        let Self { center_radius, box_loss: boxes, cls_loss: classes, obj_target: objectness, .. } = *self;
        LossSettings { center_radius, l1, boxes, classes, objectness }
    }

    /// How long the stages are asked to be.
    pub fn stage_lengths(&self) -> StageLengths {
        StageLengths { fit: 0, warmup: self.warmup_epochs, plain: self.no_mosaic_epochs }
    }

    /// The order and the sizes of images, of which there are so many.
    ///
    /// # Errors
    /// Fails where they do not fill a batch.
    pub fn plan(&self, images: usize) -> Result<EpochPlan> {
        let (batch, accumulate) = (self.batch, self.accumulate);
        ensure!(
            batch * accumulate <= images,
            "the training set has {images} images, fewer than a step takes (--batch {batch}, --accumulate \
             {accumulate}): give a smaller --batch"
        );
        let (seed, size, multi_scale) = (self.seed, self.size, self.multi_scale);
        let mosaic = self.augmentation.mosaic > 0.0 || self.augmentation.copy_paste > 0.0;
        Ok(EpochPlan { seed, images, batch, accumulate, size, multi_scale, mosaic })
    }
}

/// Names of classes, or what `--classes` takes: a file of them, or `a,b,c`.
fn names_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "classes must be names, as in [\"cat\", \"dog\"], or the name of a file of them")]
    enum Given {
        Names(Vec<String>),
        List(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Names(names) => Ok(names),
        Given::List(list) => class_list::parse(&list).map_err(serde::de::Error::custom),
    }
}

/// What is made of difficult objects, or whether they are left out.
fn difficult_or_skip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Difficult, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "difficult must be learn, skip or ignore")]
    enum Given {
        Difficult(Difficult),
        Skip(bool),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::Difficult(difficult) => difficult,
        Given::Skip(true) => Difficult::Skip,
        Given::Skip(false) => Difficult::Learn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::from_layers(&[format!("train = ['VOC:train']\n{text}").parse().unwrap()])
    }

    #[test]
    fn what_is_stored_can_be_fed_back() {
        for text in [
            "",
            "overfit = 16",
            "difficult = 'ignore'\nbox-loss = 'siou'",
            "multi-scale = '320:640'\ntime-budget = '90m'\nlr = 0.123",
            "classes = ['a']",
            "classes = 'a,b'",
            "early-stop = 3\nval = ['VOC:val']",
        ] {
            let settings = read(text).unwrap();
            let stored = toml::to_string_pretty(&settings).unwrap();
            assert_eq!(Settings::from_layers(&[stored.parse().unwrap()]).unwrap(), settings, "{stored}");
        }
    }

    #[test]
    fn the_learning_rate_follows_the_images_of_a_step() {
        assert_eq!(read("batch = 64").unwrap().learning_rate(), 0.01);
        assert_eq!(read("batch = 8\naccumulate = 2").unwrap().learning_rate(), 0.0025);
        assert_eq!(read("lr = 0.5").unwrap().learning_rate(), 0.5);
    }

    #[test]
    fn overfitting_has_defaults_of_its_own_that_can_be_changed() {
        let settings = read("overfit = 16\nlr = 0.05").unwrap();
        assert_eq!((settings.augmentation.mosaic, settings.augmentation.flip, settings.batch), (0.0, 0.0, 8));
        assert_eq!(settings.learning_rate(), 0.05);
    }

    #[test]
    fn nonsense_is_named() {
        for (text, complaint) in [
            ("epoch = 3", "unknown field `epoch`"),
            ("epochs = 'many'", "invalid type"),
            ("epochs = 0", "--epochs"),
            ("batch = 0", "--batch"),
            ("size = 400", "--size must be a multiple of 32"),
            ("multi-scale = '320'", "320:640"),
            ("multi-scale = '640:320'", "smaller size comes first"),
            ("lr = nan", "--lr"),
            ("lr = -1.0", "--lr"),
            ("ema-decay = 1.0", "--ema-decay"),
            ("patience = 0", "--patience"),
            ("patience = 3", "--val"),
            ("patience = 3\nval = ['VOC:val']\ntime-budget = '5m'", "give one of them"),
            ("center-radius = '2.0'", "unknown variant `2.0`"),
            ("box-loss = 'diou'", "unknown variant `diou`"),
            ("cls-loss = 'focal'", "unknown variant `focal`"),
            ("obj-target = 'zero'", "unknown variant `zero`"),
            ("difficult = 'maybe'", "learn, skip or ignore"),
            ("classes = ['cat', 'Cat']", "differ only by case"),
            ("classes = 'nowhere.txt'", "there is no file nowhere.txt"),
            ("classes = 3", "classes must be names"),
            ("other-classes = 'skip'", "give one with --classes"),
            ("bad-boxes = 'clip'", "unknown variant `clip`"),
            ("variant = 'yolo'", "no variant \"yolo\""),
            ("epochs = 3\nwarmup-epochs = 2\nno-mosaic-epochs = 2", "--warmup-epochs"),
            ("train = []", "--train FOLDER:SPLIT"),
            ("train = [':val']", "a data set is needed"),
            ("time-budget = '5'", "150m"),
            ("batch = 1\naccumulate = 4", "--batch of 2"),
            ("[augmentation]\nmosiac = 1.0", "mosiac"),
            ("[augmentation]\nflip = 2.0", "flip"),
            ("[augmentation]\nmixup = 2.0", "mixup"),
            ("[augmentation]\ncopy-paste = -1.0", "copy-paste"),
        ] {
            let mut table: toml::Table = "train = ['VOC:train']".parse().unwrap();
            table.extend(text.parse::<toml::Table>().unwrap());
            let error = format!("{:#}", Settings::from_layers(&[table]).unwrap_err());
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn older_runs_say_whether_difficult_objects_are_skipped() {
        assert_eq!(read("skip-difficult = true").unwrap().difficult, Difficult::Skip);
        assert_eq!(read("skip-difficult = false").unwrap().difficult, Difficult::Learn);
        assert_eq!(read("difficult = 'ignore'").unwrap().difficult, Difficult::Ignore);
        let layers =
            ["train = ['a:b']\nskip-difficult = true", "difficult = 'learn'"].map(|text| text.parse().unwrap());
        assert_eq!(Settings::from_layers(&layers).unwrap().difficult, Difficult::Learn, "the later layer");
        // A checkpoint's settings are JSON, from before there were settings of the loss.
        let before = r#"{"variant": "dw7", "skip-difficult": true, "center-radius": "2.5"}"#;
        let settings: Settings = serde_json::from_str(before).unwrap();
        let expected = LossSettings { center_radius: CenterRadius::R2_5, l1: true, ..LossSettings::default() };
        assert_eq!((settings.difficult, settings.loss_settings(true)), (Difficult::Skip, expected));
    }

    #[test]
    fn images_are_left_alone_only_where_nothing_else_comes_into_them() {
        let mosaic = |text: &str| read(&format!("batch = 2\n[augmentation]\n{text}")).unwrap().plan(9).unwrap().mosaic;
        assert!(mosaic("mosaic = 0.5") && mosaic("mosaic = 0.0\ncopy-paste = 0.5"));
        assert!(!mosaic("mosaic = 0.0\nmixup = 1.0"));
    }

    #[test]
    fn a_batch_larger_than_the_data_is_refused() {
        assert!(read("batch = 8\naccumulate = 2").unwrap().plan(16).is_ok());
        let error = read("batch = 8\naccumulate = 2").unwrap().plan(15).unwrap_err().to_string();
        assert!(error.contains("15 images") && error.contains("smaller --batch"), "{error}");
    }

    #[test]
    fn the_mean_of_the_weights_reaches_twice_as_far_in_a_training_twice_as_long() {
        let schedule = |iterations| Schedule::new(10, iterations, StageLengths::default());
        let reach = |iterations| 1.0 / (1.0 - Settings::default().ema_decay(&schedule(iterations)));
        assert!((reach(4000) / reach(2000) - 2.0).abs() < 1e-6, "{} and {}", reach(4000), reach(2000));
    }
}

//! Evaluation during training: the score that `yolox-nano eval` prints, of the mean of the weights.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use shared_model::evaluation::{EvalReport, MAX_IOU, MIN_SCORE};
use shared_model::voc::VocObject;
use shared_model::{Detection, Detector, Weights};

use super::settings::Settings;
use crate::data::class_list;
use crate::data::formats::in_role;
use crate::data::problem::Problem;
use crate::data::source::class_names as class_names_of;
use crate::data::text::shown;
use crate::data::{DataFile, Difficult, Role, Source, TrainingSet, labels};
use crate::eval::{detect_all, score};

/// The images that weights are scored on.
#[derive(Clone, Debug)]
pub struct Validation {
    pub images: Vec<DataFile>,
    /// Their annotated objects.
    pub truth: Vec<Vec<VocObject>>,
    /// What people should know of them, a line each.
    pub notes: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The score.
    pub report: EvalReport,
    /// The detections in each image.
    pub found: Vec<Vec<Detection>>,
    /// How long it took.
    pub seconds: f64,
}

impl Validation {
    /// The images of a set.
    pub fn new(set: &TrainingSet) -> Self {
        let object = |class: usize| set.class_names[class].clone();
        let objects = |item: &crate::data::TrainingImage| {
            let boxes = item.boxes.iter();
            boxes.map(|b| VocObject { class: object(b.class), difficult: b.difficult, bbox: b.bbox }).collect()
        };
        Self {
            images: set.items.iter().map(|item| item.image.clone()).collect(),
            truth: set.items.iter().map(objects).collect(),
            notes: labels::warnings(&set.warnings).into_iter().chain(labels::summary(&set.left_out)).collect(),
        }
    }

    /// The images that `settings` name for it, all of which are decoded once: a damaged one is told before training, not at
    /// its first evaluation.
    ///
    /// # Errors
    /// Fails where data cannot be read, naming them, nothing can be scored on them, or they have classes that are not
    /// `class_names`, those of the training set.
    pub fn open(settings: &Settings, class_names: &[String]) -> Result<Self> {
        let sources = in_role(&settings.val, Role::Val)?;
        if settings.classes.is_empty() {
            Self::check_classes(&in_role(&settings.train, Role::Train)?, &sources, class_names)?;
        }
        let set = TrainingSet::open_with(&sources, Some(class_names), Difficult::Learn, &settings.reading())?;
        let mut validation = Self::new(&set);
        let names: Vec<_> = sources.iter().map(ToString::to_string).collect();
        labels::check_scorable(&validation.truth, &format!("--val {}", names.join(", ")))?;
        let look = |file: &DataFile| -> Result<Option<Problem>> {
            let photo = file.photo().with_context(|| format!("an image of --val, {}", file.path().display()))?;
            Ok(Problem::of_damage(file.path(), &photo))
        };
        let damaged = validation.images.par_iter().map(look).collect::<Result<Vec<_>>>()?;
        validation.notes.extend(labels::warnings(&damaged.into_iter().flatten().collect::<Vec<_>>()));
        Ok(validation)
    }

    /// That the training set `train`, whose classes are `class_names`, has all classes that `val` has.
    fn check_classes(train: &[Source], val: &[Source], class_names: &[String]) -> Result<()> {
        let names = class_names_of(val)?;
        let unknown: Vec<_> = names.into_iter().filter(|name| !class_names.contains(name)).collect();
        let all: Vec<_> = class_names.iter().chain(&unknown).cloned().collect();
        // A list that would be refused is no advice.
        let list = match class_list::check(&all) {
            Err(_) => String::new(),
            Ok(()) if all.iter().any(|name| name.contains(',')) => {
                ", or give the list of all classes with --classes, in a file, one a line".into()
            }
            Ok(()) => {
                let all = all.join(",");
                format!(", or give the list of all classes with --classes, as in --classes \"{all}\"")
            }
        };
        let named = |name: &String| match class_list::closest(name, class_names) {
            Some(known) => format!("{} (is it \"{}\"?)", shown(name), shown(known)),
            None => shown(name),
        };
        let sources = train.iter().chain(val).map(ToString::to_string);
        ensure!(
            unknown.is_empty(),
            "--val has classes that are nowhere in --train: {}. Mend their names{list}; `yolox-nano check-data {}` shows \
             where they are",
            unknown.iter().map(named).collect::<Vec<_>>().join(", "),
            sources.collect::<Vec<_>>().join(" ")
        );
        Ok(())
    }

    /// Scores weights.
    ///
    /// # Errors
    /// Fails where an image cannot be read, naming it, or none has an object.
    pub fn score(&self, weights: &Weights) -> Result<Evaluated> {
        let started = Instant::now();
        let detector = Detector::new(weights)?;
        let found = detect_all(&detector, &self.images, MIN_SCORE, MAX_IOU, &|_| ())?;
        let report = score(&self.truth, &found, &weights.metadata.class_names).context("evaluation")?;
        Ok(Evaluated { report, found, seconds: started.elapsed().as_secs_f64() })
    }
}

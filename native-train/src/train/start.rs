//! Where a training begins: a new run, or one that goes on.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use shared_model::{Channels, Graph, ParameterLayout, Variant};

use super::checkpoint::{Checkpoint, TrainingProgress};
use super::distill::Teacher;
use super::init::{self, Initial};
use super::run_folder::{Facts, RunFolder, git_revision};
use super::schedule::{Schedule, StageLengths};
use super::settings::Settings;
use super::trainer::{Learner, TrainerParts};
use super::validation::Validation;
use super::warnings::warnings;
use super::{Optimizer, OptimizerState, trainer};
use crate::data::formats::in_role;
use crate::data::text::shown;
use crate::data::{Role, Source, TrainingImage, TrainingSet, labels};
use crate::engine::Engine;
use crate::models;
use crate::table::grouped;

/// Steps of fitting, where nobody says how many.
const FIT_STEPS: usize = 1000;

/// Makes the engine that computes a network, as the settings want it.
pub type MakeEngine = dyn Fn(&Graph, &Settings) -> Result<Box<dyn Engine>>;

/// A training that was asked to go on.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Resumed {
    /// It is ready to go.
    Ready(Run),
    /// All of it is done already: what to say.
    Complete(String),
}

/// A training that is ready to go.
pub struct Run {
    /// What it works with.
    pub parts: TrainerParts,
    /// Where it goes on from.
    pub checkpoint: Checkpoint,
    /// What was taken over from other weights, for people to read.
    pub transferred: Option<String>,
}

/// Reads what `settings` say to learn from.
///
/// # Errors
/// Fails where data cannot be read, naming them.
pub fn training_set(settings: &Settings) -> Result<TrainingSet> {
    let classes = Some(settings.classes.as_slice()).filter(|classes| !classes.is_empty());
    let sources = in_role(&settings.train, Role::Train)?;
    let mut set = TrainingSet::open_with(&sources, classes, settings.difficult, &settings.reading())?;
    let has_objects = |item: &TrainingImage| item.learned(settings.difficult).next().is_some();
    if let Some(images) = settings.overfit {
        set.items.retain(has_objects);
        let found = set.items.len();
        ensure!(found >= images, "--overfit {images}: only {found} images have objects: ask for fewer");
        set.items.truncate(images);
    }
    let of_which = match set.class_names.is_empty() {
        true => String::new(),
        false => format!(" of these classes: {}", set.class_names.join(", ")),
    };
    ensure!(
        set.items.iter().any(has_objects),
        "no image of the training set has an object to be learned{of_which}; annotate some, or name another split"
    );
    Ok(set)
}

/// Everything that follows from settings and data.
struct Prepared {
    set: Arc<TrainingSet>,
    validation: Option<Validation>,
    facts: Facts,
    layout: ParameterLayout,
    graph: Graph,
}

impl Prepared {
    fn new(settings: &Settings, channels: &Channels, class_names: Option<&[String]>) -> Result<Self> {
        if let Some(moved) = settings.train.iter().chain(&settings.val).find(|source| !source.folder.exists()) {
            bail!(
                "there is no {}, where the images are to be: bring it back, or name its new place{}",
                moved.folder.display(),
                if class_names.is_some() { " with --train and --val FOLDER:SPLIT beside --resume" } else { "" }
            );
        }
        let set = training_set(settings)?;
        if let Some(names) = class_names {
            let without = |these: &[String], those: &[String]| {
                let only: Vec<_> = these.iter().filter(|name| !those.contains(name)).map(|name| shown(name)).collect();
                if only.is_empty() { "none".into() } else { only.join(", ") }
            };
            ensure!(
                set.class_names == names,
                "the training set has other classes than when the run began (new: {}; gone: {}): bring the labels back as they \
                 were, or begin a new run, with the old one's weights as --init",
                without(&set.class_names, names),
                without(names, &set.class_names)
            );
        }
        let validation = if settings.overfit.is_some() {
            Some(Validation::new(&set))
        } else if settings.val.is_empty() {
            None
        } else {
            Some(Validation::open(settings, &set.class_names)?)
        };
        let variant = Variant::named(&settings.variant)?;
        let graph = variant.graph(set.class_names.len()).with_channels(channels)?;
        let layout = ParameterLayout::new(&graph);
        let trained = layout.entries.iter().filter(|(parameter, _)| {
            parameter.trainable && !settings.freeze.iter().any(|prefix| parameter.name.starts_with(prefix))
        });
        let mut train_objects = vec![0; set.class_names.len()];
        for labelled in set.items.iter().flat_map(|item| item.learned(set.difficult)) {
            train_objects[labelled.class] += 1;
        }
        let facts = Facts {
            program: concat!("yolox-nano ", env!("CARGO_PKG_VERSION")).into(),
            git_revision: git_revision(),
            class_names: set.class_names.clone(),
            train_images: set.items.len(),
            train_objects,
            val_images: validation.as_ref().map_or(0, |validation| validation.images.len()),
            parameters: trained.map(|(_, range)| range.len()).sum(),
            learning_rate: settings.learning_rate(),
            effective_batch: settings.effective_batch(),
            iterations_per_epoch: settings.plan(set.items.len())?.iterations_per_epoch(),
            threads: rayon::current_num_threads(),
        };
        Ok(Self { set: Arc::new(set), validation, facts, layout, graph })
    }

    fn learner(
        self,
        settings: &Settings,
        engine: Box<dyn Engine>,
        teacher: Option<Teacher>,
    ) -> Result<(Learner, Option<Validation>, Facts)> {
        let Self { set, validation, facts, layout, graph } = self;
        let plan = settings.plan(set.items.len())?;
        let learner = Learner { engine, teacher, graph, layout, set, plan, threads: facts.threads };
        Ok((learner, validation, facts))
    }

    /// The network to learn from: `--distill`'s, or the one that training begins with where parts are to be fitted to its
    /// own. `engine`, the student's, gets its taps.
    fn teacher(
        &self,
        settings: &Settings,
        fits: bool,
        make_engine: &MakeEngine,
        engine: &mut dyn Engine,
    ) -> Result<Option<Teacher>> {
        let name = settings.distill.as_ref().or(settings.init.as_ref().filter(|_| fits));
        let Some(name) = name else { return Ok(None) };
        let flag = if settings.distill.is_some() { "--distill" } else { "--init" };
        let teacher = Teacher::load(name, &self.graph, &self.set.class_names, settings, make_engine).context(flag)?;
        if fits || settings.distill_features > 0.0 {
            engine.tap(&teacher.taps().iter().map(|stage| stage.node).collect::<Vec<_>>())?;
        }
        Ok(Some(teacher))
    }
}

/// The channels of the network to train: where training begins with pruned weights of the same variant, theirs.
fn channels(settings: &Settings) -> Result<Channels> {
    let Some(init) = &settings.init else { return Ok(Channels::default()) };
    let metadata = models::load(Some(init)).context("--init")?.weights.metadata;
    Ok(if metadata.variant == settings.variant { metadata.channels } else { Channels::default() })
}

/// Prepares a run that starts in the folder `out`, which it makes; the pool of threads must be there.
///
/// # Errors
/// Fails where data or weights cannot be read, do not fit each other, or the folder is used already.
pub fn new_run(settings: Settings, out: Option<&Path>, make_engine: &MakeEngine) -> Result<Run> {
    let channels = channels(&settings)?;
    let prepared = Prepared::new(&settings, &channels, None)?;
    let mut engine = make_engine(&prepared.graph, &settings)?;
    let initial = init::initial(&settings, &channels, &prepared.set, make_engine, engine.as_mut())?;
    let Initial { parameters, origin, transferred, unfit } = initial;
    let fit = if unfit.is_empty() { 0 } else { settings.fit_steps.unwrap_or(FIT_STEPS) };
    let teacher = prepared.teacher(&settings, fit > 0, make_engine, engine.as_mut())?;
    let fitted = trainer::fitted_layers(&prepared.graph, teacher.as_ref(), &unfit);
    // Refuses names to freeze that there are not.
    let optimizer_settings = settings.optimizer_settings();
    let state = OptimizerState::new(optimizer_settings.name, prepared.layout.len);
    Optimizer::new(&prepared.layout, optimizer_settings, &settings.freeze, state)?;
    let state = OptimizerState::new(trainer::optimizer_name(&settings, fit > 0), prepared.layout.len);
    // Only now, that nothing else can go wrong with settings, data and weights.
    let folder = RunFolder::create(out, &settings.variant)?;
    folder.write_config(&settings, &prepared.facts)?;

    let per_epoch = prepared.facts.iterations_per_epoch;
    let progress = TrainingProgress {
        class_names: prepared.set.class_names.clone(),
        channels,
        data: fingerprint(&prepared.set),
        origin: origin.clone(),
        began_in: std::env::current_dir().ok(),
        iteration: 0,
        evaluated: 0,
        schedule: Schedule::new(
            per_epoch,
            fit + settings.epochs * per_epoch,
            StageLengths { fit, ..settings.stage_lengths() },
        ),
        fitted,
        ema_updates: 0,
        seconds: 0.0,
        best: None,
        settings,
    };
    let (learner, validation, facts) = prepared.learner(&progress.settings, engine, teacher)?;
    let parts = TrainerParts { learner, validation, folder, facts, origin };
    let checkpoint = Checkpoint { progress, ema: parameters.clone(), parameters, optimizer: state };
    Ok(Run { parts, checkpoint, transferred })
}

/// Prepares a run to go on from its folder's checkpoint, with the settings in `given` changed; `use_threads` starts the
/// pool of threads.
///
/// # Errors
/// Fails where there is no usable checkpoint, or the data have changed.
pub fn resumed_run(
    root: &Path,
    given: toml::Table,
    make_engine: &MakeEngine,
    use_threads: impl FnOnce(&Settings) -> Result<()>,
) -> Result<Resumed> {
    let folder = RunFolder::existing(root).locked();
    let length = |progress: &TrainingProgress| Ok(ParameterLayout::new(&progress.graph()?).len);
    let mut checkpoint = Checkpoint::read(&folder.checkpoint(), length)?;
    let began_in = checkpoint.progress.began_in.clone();
    let TrainingProgress { settings, schedule, iteration, seconds, .. } = &mut checkpoint.progress;
    let mut before = toml::Table::try_from(&*settings)?;
    if given.contains_key("epochs") {
        before.remove("time-budget");
    }
    let longer = given.contains_key("epochs") || given.contains_key("time-budget");
    *settings = Settings::from_layers(&[before, given])?;
    if let Some(began_in) = &began_in {
        // Names that do not lead anywhere from here may do so from where the run began.
        for source in settings.train.iter_mut().chain(&mut settings.val).filter(|source| !source.folder.exists()) {
            let there = source.below(began_in);
            if there.folder.exists() {
                *source = there;
            }
        }
    }
    use_threads(settings)?;
    if longer {
        let iterations = match settings.time_budget {
            // A first guess, as if all went on as before; the trainer measures.
            Some(budget) => (*iteration as f64 * budget.0.as_secs_f64() / seconds.max(1.0)) as usize,
            None => schedule.fit + settings.epochs * schedule.per_epoch,
        };
        let lengths = StageLengths { fit: schedule.fit, ..settings.stage_lengths() };
        *schedule = Schedule::new(schedule.per_epoch, iterations.max(*iteration), lengths);
    }
    if *iteration >= schedule.iterations {
        return Ok(Resumed::Complete(format!(
            "the run {} is complete, with its {:.2} epochs; its weights are {}. To train for longer, ask for more in all \
             (--resume {} --epochs N)",
            root.display(),
            schedule.epochs(*iteration),
            folder.best_weights().display(),
            root.display()
        )));
    }
    let progress = &checkpoint.progress;
    let prepared = Prepared::new(&progress.settings, &progress.channels, Some(&progress.class_names))?;
    ensure!(
        fingerprint(&prepared.set) == progress.data,
        "the training set is not the one that the run {} began with (images or labels differ): restore it, name its new \
         place with --train FOLDER:SPLIT, or start a new run with --init {}",
        root.display(),
        folder.last_raw_weights().display()
    );
    folder.write_config(&progress.settings, &prepared.facts)?;
    let (learner, validation, facts) = going_on(prepared, progress, make_engine)?;
    let parts = TrainerParts { learner, validation, folder, facts, origin: progress.origin.clone() };
    Ok(Resumed::Ready(Run { parts, checkpoint, transferred: None }))
}

/// What computes shares of a training that another process leads, and which has come to `progress`; the pool of threads must be there.
///
/// # Errors
/// Fails where data or weights cannot be read here, or are others.
pub fn learner(progress: &TrainingProgress, make_engine: &MakeEngine) -> Result<Learner> {
    let prepared = Prepared::new(&progress.settings, &progress.channels, Some(&progress.class_names))?;
    ensure!(fingerprint(&prepared.set) == progress.data, "the training set is not the one that the first process has");
    Ok(going_on(prepared, progress, make_engine)?.0)
}

/// What goes on with a training that has come to `progress`.
fn going_on(
    prepared: Prepared,
    progress: &TrainingProgress,
    make_engine: &MakeEngine,
) -> Result<(Learner, Option<Validation>, Facts)> {
    let mut engine = make_engine(&prepared.graph, &progress.settings)?;
    let is_fitting = progress.iteration < progress.schedule.fit;
    let teacher = prepared.teacher(&progress.settings, is_fitting, make_engine, engine.as_mut())?;
    prepared.learner(&progress.settings, engine, teacher)
}

/// SHA-256 of the names and labels of all images.
fn fingerprint(set: &TrainingSet) -> String {
    let mut hash = Sha256::new();
    for item in &set.items {
        hash.update(format!("{} {:?}\n", item.name, item.boxes));
    }
    base16ct::lower::encode_string(&hash.finalize())
}

impl Run {
    /// What the training is going to do, for people to read.
    pub fn introduction(&self) -> Vec<String> {
        let TrainingProgress { settings, schedule, iteration, .. } = &self.checkpoint.progress;
        let facts = &self.parts.facts;
        let count = |number: usize| grouped(number as u64);
        let sources = |sources: &[Source]| sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let val = match (settings.overfit, settings.val.is_empty()) {
            (Some(_), _) => "the same images".to_string(),
            (None, true) => "none".into(),
            (None, false) => format!("{} images ({})", count(facts.val_images), sources(&settings.val)),
        };
        let mut lines = vec![
            format!(
                "network: {}, {} classes, {} trained parameters, from {}",
                settings.variant,
                facts.class_names.len(),
                count(facts.parameters),
                self.parts.origin
            ),
            format!(
                "train: {} images, {} objects ({}); val: {val}",
                count(facts.train_images),
                count(facts.train_objects.iter().sum()),
                sources(&settings.train)
            ),
            format!(
                "step: {} images (batch {} x {}), learning rate {}, decay {}, mean of the weights {:.5}, seed {}, {} \
                 threads, computed by {}",
                facts.effective_batch,
                settings.batch,
                settings.accumulate,
                facts.learning_rate,
                settings.optimizer_settings().weight_decay,
                settings.ema_decay(schedule),
                settings.seed,
                facts.threads,
                settings.engine_choice()
            ),
        ];
        lines.push(match settings.time_budget {
            Some(budget) => format!("schedule: {budget}, planned as the speed is known"),
            None => format!(
                "schedule: {} epochs of {} steps; warm-up until epoch {:.2}, no mosaic from epoch {:.2}",
                settings.epochs,
                schedule.per_epoch,
                schedule.epochs(schedule.warmup),
                schedule.epochs(schedule.no_aug_from)
            ),
        });
        let revision = facts.git_revision.as_ref().map(|revision| format!(", git {revision}")).unwrap_or_default();
        lines.push(format!("run: {}{revision}", self.parts.folder.path().display()));
        if *iteration > 0 {
            lines.push(format!("going on after step {iteration} of {}", schedule.iterations));
        }
        lines.extend(self.transferred.clone());
        let differing = self.parts.learner.teacher.as_ref().map(Teacher::differing).unwrap_or_default();
        if !differing.is_empty() && settings.distill.is_some() && settings.distill_features > 0.0 {
            lines.push(format!(
                "what {} compute is not learned from the teacher: they have other channels there (one of the networks is \
                 pruned)",
                differing.join(", ")
            ));
        }
        let set = &self.parts.learner.set;
        lines.extend(labels::warnings(&set.warnings));
        lines.extend(labels::summary(&set.left_out));
        if let Some(validation) = self.parts.validation.as_ref().filter(|_| settings.overfit.is_none()) {
            lines.extend(validation.notes.clone());
        }
        lines.extend(warnings(settings, facts, schedule).into_iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}

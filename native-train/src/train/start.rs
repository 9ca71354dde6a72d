//! Where a training begins: a new run, or one that goes on.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use shared_model::{Graph, ParameterLayout, Variant};

use super::checkpoint::{Checkpoint, Progress};
use super::distill::Teacher;
use super::init::{self, Initial};
use super::run_folder::{Facts, RunFolder, git_revision};
use super::settings::Settings;
use super::timeline::{StageLengths, Timeline};
use super::trainer::Parts;
use super::validation::Validation;
use super::warnings::warnings;
use super::{Engine, Optimizer, OptimizerState, trainer};
use crate::data::{Difficult, Item, TrainingSet};
use crate::files::remove_unfinished;
use crate::table::grouped;

/// Steps of fitting, where nobody says how many.
const FIT_STEPS: usize = 1000;

/// Flaws of the data that do no harm and are shown one by one.
const FLAWS_SHOWN: usize = 5;

/// Makes the engine that computes a network, as the settings want it.
pub type MakeEngine = dyn Fn(&Graph, &Settings) -> Result<Box<dyn Engine>>;

/// A training that is ready to go.
pub struct Run {
    /// What it works with.
    pub parts: Parts,
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
    let mut set = TrainingSet::open(&settings.train, classes, settings.difficult)?;
    let has_objects = |item: &Item| item.learned(settings.difficult).next().is_some();
    if let Some(pictures) = settings.overfit {
        set.items.retain(has_objects);
        let found = set.items.len();
        ensure!(found >= pictures, "--overfit {pictures}: only {found} pictures have objects: ask for fewer");
        set.items.truncate(pictures);
    }
    ensure!(
        set.items.iter().any(has_objects),
        "no picture of the training set has an object of these classes: {}",
        set.class_names.join(", ")
    );
    Ok(set)
}

/// Everything that follows from settings and data.
struct Prepared {
    set: Arc<TrainingSet>,
    validation: Option<Validation>,
    facts: Facts,
    layout: ParameterLayout,
    variant: &'static Variant,
}

impl Prepared {
    fn new(settings: &Settings, class_names: Option<&[String]>) -> Result<Self> {
        let set = training_set(settings)?;
        if let Some(names) = class_names {
            ensure!(set.class_names == names, "the training set has other classes than when the run began");
        }
        let validation = if settings.overfit.is_some() {
            Some(Validation::new(&set))
        } else if settings.val.is_empty() {
            None
        } else {
            Some(Validation::new(&TrainingSet::open(&settings.val, Some(&set.class_names), Difficult::Learn)?))
        };
        let variant = Variant::named(&settings.variant)?;
        let layout = ParameterLayout::new(&variant.graph(set.class_names.len()));
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
            train_pictures: set.items.len(),
            train_objects,
            val_pictures: validation.as_ref().map_or(0, |validation| validation.pictures.len()),
            parameters: trained.map(|(_, place)| place.len()).sum(),
            learning_rate: settings.learning_rate(),
            effective_batch: settings.effective_batch(),
            iterations_per_epoch: settings.plan(set.items.len())?.iterations_per_epoch(),
            threads: rayon::current_num_threads(),
        };
        Ok(Self { set: Arc::new(set), validation, facts, layout, variant })
    }

    fn parts(
        self,
        settings: &Settings,
        engine: Box<dyn Engine>,
        teacher: Option<Teacher>,
        folder: RunFolder,
        origin: String,
    ) -> Result<Parts> {
        let graph = self.graph();
        let Self { set, validation, facts, layout, .. } = self;
        let plan = settings.plan(set.items.len())?;
        Ok(Parts { engine, teacher, graph, layout, set, validation, plan, folder, facts, origin })
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
        let graph = self.graph();
        let teacher = Teacher::load(name, &graph, &self.set.class_names, settings, make_engine).context(flag)?;
        if fits || settings.distill_features > 0.0 {
            engine.tap(&teacher.taps().iter().map(|stage| stage.node).collect::<Vec<_>>())?;
        }
        Ok(Some(teacher))
    }

    fn graph(&self) -> Graph {
        self.variant.graph(self.set.class_names.len())
    }
}

/// Prepares a run that starts in the folder `out`, which it makes; the pool of threads must be there.
///
/// # Errors
/// Fails where data or weights cannot be read, do not fit each other, or the folder is used already.
pub fn new_run(settings: Settings, out: Option<&Path>, make_engine: &MakeEngine) -> Result<Run> {
    let prepared = Prepared::new(&settings, None)?;
    let mut engine = make_engine(&prepared.graph(), &settings)?;
    let initial = init::initial(&settings, prepared.variant, &prepared.set, make_engine, engine.as_mut())?;
    let Initial { parameters, origin, transferred, unfit } = initial;
    let fit = if unfit.is_empty() { 0 } else { settings.fit_steps.unwrap_or(FIT_STEPS) };
    let teacher = prepared.teacher(&settings, fit > 0, make_engine, engine.as_mut())?;
    let fitted = trainer::fitted_layers(&prepared.graph(), teacher.as_ref(), &unfit);
    // Refuses names to freeze that there are not.
    let optimizer_settings = settings.optimizer_settings();
    let state = OptimizerState::new(optimizer_settings.name, prepared.layout.len);
    Optimizer::new(&prepared.layout, optimizer_settings, &settings.freeze, state)?;
    let state = OptimizerState::new(trainer::optimizer_name(&settings, fit > 0), prepared.layout.len);
    // Only now, that nothing else can go wrong with settings, data and weights.
    let folder = RunFolder::create(out, &settings.variant)?;
    folder.write_config(&settings, &prepared.facts)?;

    let per_epoch = prepared.facts.iterations_per_epoch;
    let progress = Progress {
        class_names: prepared.set.class_names.clone(),
        data: fingerprint(&prepared.set),
        origin: origin.clone(),
        iteration: 0,
        evaluated: 0,
        timeline: Timeline::new(
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
    let parts = prepared.parts(&progress.settings, engine, teacher, folder, origin)?;
    let checkpoint = Checkpoint { progress, ema: parameters.clone(), parameters, optimizer: state };
    Ok(Run { parts, checkpoint, transferred })
}

/// Prepares a run to go on from its folder's checkpoint, with the settings in `given` changed; `use_threads` starts the
/// pool of threads.
///
/// # Errors
/// Fails where there is no usable checkpoint, the data have changed, or nothing is left to be done.
pub fn resumed_run(
    root: &Path,
    given: toml::Table,
    make_engine: &MakeEngine,
    use_threads: impl FnOnce(&Settings) -> Result<()>,
) -> Result<Run> {
    let folder = RunFolder::existing(root);
    let mut checkpoint = Checkpoint::read(&folder.checkpoint(), |progress| {
        let variant = Variant::named(&progress.settings.variant)?;
        Ok(ParameterLayout::new(&variant.graph(progress.class_names.len())).len)
    })?;
    let Progress { settings, timeline, iteration, seconds, .. } = &mut checkpoint.progress;
    let mut before = toml::Table::try_from(&*settings)?;
    if given.contains_key("epochs") {
        before.remove("time-budget");
    }
    let longer = given.contains_key("epochs") || given.contains_key("time-budget");
    *settings = Settings::from_layers(&[before, given])?;
    use_threads(settings)?;
    if longer {
        let iterations = match settings.time_budget {
            // A first guess, as if all went on as before; the trainer measures.
            Some(budget) => (*iteration as f64 * budget.0.as_secs_f64() / seconds.max(1.0)) as usize,
            None => timeline.fit + settings.epochs * timeline.per_epoch,
        };
        let lengths = StageLengths { fit: timeline.fit, ..settings.stage_lengths() };
        *timeline = Timeline::new(timeline.per_epoch, iterations.max(*iteration), lengths);
    }
    ensure!(
        *iteration < timeline.iterations,
        "the run {} has done its {:.2} epochs: to train for longer, ask for more in all (--resume {} --epochs N)",
        root.display(),
        timeline.epochs(*iteration),
        root.display()
    );
    let progress = &checkpoint.progress;
    let prepared = Prepared::new(&progress.settings, Some(&progress.class_names))?;
    ensure!(
        fingerprint(&prepared.set) == progress.data,
        "the training set is not the one that the run {} began with (pictures or labels differ): restore it, or start a \
         new run with --init {}",
        root.display(),
        folder.last_raw_weights().display()
    );
    remove_unfinished(root)?;
    folder.write_config(&progress.settings, &prepared.facts)?;
    let mut engine = make_engine(&prepared.graph(), &progress.settings)?;
    let is_fitting = progress.iteration < progress.timeline.fit;
    let teacher = prepared.teacher(&progress.settings, is_fitting, make_engine, engine.as_mut())?;
    let parts = prepared.parts(&progress.settings, engine, teacher, folder, progress.origin.clone())?;
    Ok(Run { parts, checkpoint, transferred: None })
}

/// SHA-256 of the names and labels of all pictures.
fn fingerprint(set: &TrainingSet) -> String {
    let mut hash = Sha256::new();
    for item in &set.items {
        hash.update(format!("{} {:?}\n", item.name, item.boxes));
    }
    crate::models::hexadecimal(&hash.finalize())
}

impl Run {
    /// What the training is going to do, for people to read.
    pub fn introduction(&self) -> Vec<String> {
        let Progress { settings, timeline, iteration, .. } = &self.checkpoint.progress;
        let facts = &self.parts.facts;
        let count = |number: usize| grouped(number as u64);
        let sources =
            |sources: &[crate::data::Source]| sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let val = match (settings.overfit, settings.val.is_empty()) {
            (Some(_), _) => "the same pictures".to_string(),
            (None, true) => "none".into(),
            (None, false) => format!("{} pictures ({})", count(facts.val_pictures), sources(&settings.val)),
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
                "train: {} pictures, {} objects ({}); val: {val}",
                count(facts.train_pictures),
                count(facts.train_objects.iter().sum()),
                sources(&settings.train)
            ),
            format!(
                "step: {} pictures (batch {} x {}), learning rate {}, decay {}, mean of the weights {:.5}, seed {}, {} \
                 threads, computed by {}",
                facts.effective_batch,
                settings.batch,
                settings.accumulate,
                facts.learning_rate,
                settings.optimizer_settings().weight_decay,
                settings.ema_decay(timeline),
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
                timeline.per_epoch,
                timeline.epochs(timeline.warmup),
                timeline.epochs(timeline.plain_from)
            ),
        });
        let revision = facts.git_revision.as_ref().map(|revision| format!(", git {revision}")).unwrap_or_default();
        lines.push(format!("run: {}{revision}", self.parts.folder.path().display()));
        if *iteration > 0 {
            lines.push(format!("going on after step {iteration} of {}", timeline.iterations));
        }
        lines.extend(self.transferred.clone());
        let flaws = &self.parts.set.warnings;
        lines.extend(flaws.iter().take(FLAWS_SHOWN).map(|flaw| format!("warning: {flaw}")));
        if flaws.len() > FLAWS_SHOWN {
            let more = flaws.len() - FLAWS_SHOWN;
            lines.push(format!("warning: {more} more flaws of the data, which yolox-nano check-data shows"));
        }
        lines.extend(warnings(settings, facts, timeline).into_iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}

//! The loop of training: read it from top to bottom.

mod divergence;
mod lesson;
mod outcome;
mod outlook;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use shared_model::{Graph, ParameterLayout};

use self::lesson::BatchLosses;
pub(super) use self::lesson::{fitted_layers, optimizer_name};
use super::checkpoint::{Best, Checkpoint, Progress};
use super::console::Console;
use super::distill::Teacher;
use super::interrupt::Interrupt;
use super::loader::{Loader, LoaderSettings};
use super::metrics::{self, Metrics, Record, Step};
use super::pace::Pace;
use super::plan::Plan;
use super::report;
use super::run_folder::{Facts, Kept, RunFolder};
use super::tensorboard::EventFile;
use super::timeline::{Stage, Timeline};
use super::validation::Validation;
use super::{DeviceName, Ema, Engine, Optimizer};
use crate::data::TrainingSet;
use crate::data::pictures::Pictures;

/// Batches that are ready before they are needed.
const PREFETCH: usize = 4;
/// On a processor a thread prepares the batches for so many that compute the network, which takes at least ten times as long.
const COMPUTING_PER_LOADING: usize = 4;
/// A loss that has not fallen below this part of its first value has hardly fallen.
const STUCK: f64 = 0.7;
/// AP50 at which pictures count as learned by heart; per cent.
const LEARNED: f64 = 95.0;

/// What a training works with.
pub struct Parts {
    /// Computes the network.
    pub engine: Box<dyn Engine>,
    /// What to learn from beside the labels.
    pub teacher: Option<Teacher>,
    /// The network.
    pub graph: Graph,
    /// The network's parameters and where they lie.
    pub layout: ParameterLayout,
    /// What to learn from.
    pub set: Arc<TrainingSet>,
    /// What to choose the best weights by.
    pub validation: Option<Validation>,
    /// Which pictures come when.
    pub plan: Plan,
    /// Where everything is written.
    pub folder: RunFolder,
    /// What is known about it.
    pub facts: Facts,
    /// Where the first weights came from, in a few words.
    pub origin: String,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// All iterations are done.
    Finished,
    /// Somebody stopped it; it can go on.
    Interrupted,
    /// The pictures are learned by heart.
    Learned,
}

/// A training between two iterations.
pub struct Trainer {
    parts: Parts,
    interrupt: Interrupt,
    /// What changes; a checkpoint holds exactly this.
    progress: Progress,
    parameters: Vec<f32>,
    optimizer: Optimizer,
    ema: Ema,
    /// Shared with the threads that prepare batches.
    timeline: Arc<Mutex<Timeline>>,
    pace: Pace,
    console: Console,
    metrics: Metrics,
    events: EventFile,
}

impl Trainer {
    /// A training that goes on from `checkpoint`, which may be that of iteration 0.
    ///
    /// # Errors
    /// Fails where the run's folder cannot be written or the device fails.
    pub fn new(mut parts: Parts, checkpoint: Checkpoint, interrupt: Interrupt) -> Result<Self> {
        let Checkpoint { progress, parameters, ema, optimizer } = checkpoint;
        parts.engine.load(&parameters)?;
        let optimizer = lesson::optimizer(&parts.layout, &progress, optimizer)?;
        let ema = Ema::new(ema, progress.ema_updates);
        let metrics = Metrics::open(&parts.folder.metrics(), progress.iteration)?;
        let events = EventFile::create(parts.folder.path())?;
        let timeline = Arc::new(Mutex::new(progress.timeline));
        let (pace, console) = (Pace::default(), Console::start());
        Ok(Self { parts, interrupt, progress, parameters, optimizer, ema, timeline, pace, console, metrics, events })
    }

    /// Trains to the end, or until somebody asks to stop.
    ///
    /// # Errors
    /// Fails where a picture cannot be read, a file not written, or training diverges: then it names the step, the layer
    /// and the last good checkpoint.
    pub fn train(&mut self) -> Result<Ending> {
        let before = self.progress.seconds;
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Finished;
        let mut loader = self.start_loader();
        let mut stage = None;
        if self.progress.settings.init.is_some() && self.progress.iteration == 0 && self.progress.best.is_none() {
            // What training has to beat.
            self.evaluate()?;
        }
        // So that a process killed before its first regular checkpoint can go on too.
        self.save()?;

        while self.progress.iteration < self.progress.timeline.iterations {
            let now = self.progress.timeline.stage(self.progress.iteration);
            if stage.replace(now) != Some(now) {
                self.announce(now);
            }

            let step_started = Instant::now();
            let mut step = self.step(&mut loader, now)?;
            let seconds = step_started.elapsed().as_secs_f64();
            self.progress.iteration += 1;
            self.progress.seconds = before + started.elapsed().as_secs_f64();
            step.images_per_second = self.pictures_per_iteration() / seconds;
            self.pace.step(self.pictures_per_iteration() * (step.size * step.size) as f64, seconds);
            self.replan();
            self.report(step)?;

            let timeline = self.progress.timeline;
            let iteration = self.progress.iteration;
            if iteration == timeline.fit {
                self.end_fitting()?;
            }
            if iteration == timeline.plain_from && iteration < timeline.iterations {
                self.write_weights(Kept::LastMosaic)?;
            }
            if iteration == timeline.iterations {
                self.retake_statistics()?;
            }
            // In the middle of fitting, the parts do not make a network.
            let is_due = iteration > timeline.fit && iteration >= self.progress.evaluated + self.evaluation_interval();
            if is_due || iteration == timeline.iterations {
                let ap50 = self.evaluate()?;
                if self.progress.settings.overfit.is_some() && ap50.is_some_and(|ap50| ap50 >= LEARNED) {
                    ending = Ending::Learned;
                    break;
                }
                if self.lose_patience()? {
                    loader = self.start_loader();
                }
            }
            if self.interrupt.asked() {
                ending = Ending::Interrupted;
                break;
            }
            if saved.elapsed().as_secs_f64() >= 60.0 * self.progress.settings.checkpoint_every {
                self.save()?;
                saved = Instant::now();
            }
        }
        self.progress.seconds = before + started.elapsed().as_secs_f64();
        self.console.finish();
        if ending != Ending::Interrupted && self.parts.validation.is_none() {
            // Nothing says which are better than the last.
            self.write_weights(Kept::Best)?;
        }
        report::curves(&self.parts.folder)?;
        // Last of all: a checkpoint of the last iteration says that everything is done.
        self.save()?;
        Ok(ending)
    }

    /// The best evaluation so far.
    pub fn best(&self) -> Option<Best> {
        self.progress.best
    }

    /// What a person can try where pictures were not learned by heart.
    ///
    /// # Errors
    /// Fails where the run's metrics cannot be read.
    pub fn why_not_learned(&self, pictures: usize) -> Result<String> {
        let records = metrics::read(&self.parts.folder.metrics())?;
        let mut losses = records.iter().filter_map(|record| match record {
            Record::Step(step) => Some(step.loss),
            Record::Evaluation(_) => None,
        });
        let first = losses.next().unwrap_or_default();
        let last = losses.next_back().unwrap_or(first);
        let remedy = if last > STUCK * first {
            "it hardly fell: look at the labels (--dry-run-augment FOLDER), then try another --lr"
        } else {
            "it did fall: give more --epochs"
        };
        let ap50 = self.progress.best.map_or(0.0, |best| best.ap50);
        Ok(format!(
            "the {pictures} pictures are not learned: AP50 {ap50:.2} at best, {LEARNED} is wanted. The loss went from \
             {first:.2} to {last:.2}: {remedy}"
        ))
    }

    /// How far the training has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// One iteration: forward, loss, backward for each of its batches; one step of the optimizer; one of the mean.
    fn step(&mut self, loader: &mut Loader, stage: Stage) -> Result<Step> {
        let iteration = self.progress.iteration;
        let lr = self.learning_rate();
        let accumulate = self.progress.settings.accumulate;
        let share = 1.0 / accumulate as f32;

        let mut sum = BatchLosses::default();
        let mut update = vec![0.0; self.parts.layout.len];
        let mut of_batch = vec![0.0; self.parts.layout.len];
        for _ in 0..accumulate {
            let batch = loader.next().context("the batches came to an end before training did")?;
            let labelled = match batch {
                Ok(labelled) => labelled,
                Err(error) => return Err(self.stop_before_step(error)),
            };
            let losses = self.pass(&labelled, stage, &mut of_batch).map_err(|error| self.explain(error, lr))?;
            sum.add(&losses);
            // Statistics of batches are averaged as gradients are.
            update.iter_mut().zip(&of_batch).for_each(|(sum, value)| *sum += share * value);
        }
        self.check_finite("gradient", &update, lr)?;
        self.clip(&mut update);
        self.optimizer.step(&self.parts.layout, &mut self.parameters, &update, lr);
        self.check_finite("value", &self.parameters, lr)?;
        self.parts.engine.load(&self.parameters)?;
        let timeline = &self.progress.timeline;
        self.ema.update(&self.parameters, self.progress.settings.ema_decay(timeline));
        self.progress.ema_updates = self.ema.updates;

        let mean = |value: f32| f64::from(value * share);
        let parts: Vec<f64> = sum.parts.iter().map(|&part| mean(part)).collect();
        Ok(Step {
            iteration: iteration + 1,
            epoch: timeline.epochs(iteration + 1),
            lr,
            size: self.parts.plan.size(iteration),
            loss: mean(sum.total),
            iou: mean(sum.labels.iou),
            obj: mean(sum.labels.obj),
            cls: mean(sum.labels.cls),
            l1: mean(sum.labels.l1),
            output: sum.output.map(mean),
            features: (!parts.is_empty()).then(|| parts.iter().sum::<f64>() / parts.len() as f64),
            parts,
            foreground: sum.labels.foreground,
            objects: sum.labels.objects,
            images_per_second: 0.0,
            memory_mib: memory_mib(),
        })
    }

    fn start_loader(&self) -> Loader {
        let (plan, timeline) = (self.parts.plan.clone(), Arc::clone(&self.timeline));
        let batch = move |i| Some(plan.batch(i, &timeline.lock().unwrap_or_else(PoisonError::into_inner)));
        let settings = &self.progress.settings;
        let threads = match settings.device {
            DeviceName::Cpu => self.parts.facts.threads.div_ceil(COMPUTING_PER_LOADING),
            // The GPU computes.
            DeviceName::Cuda(_) => self.parts.facts.threads,
        };
        let loader = LoaderSettings {
            seed: settings.seed,
            threads,
            // Each thread has one on its way.
            prefetch: threads + PREFETCH,
        };
        let first = self.progress.iteration * settings.accumulate;
        let pictures = Pictures::new(Arc::clone(&self.parts.set), settings.cache << 20);
        Loader::start(Arc::new(pictures), settings.augmentation.clone(), loader, first, batch)
    }
}

/// Memory of this process in MiB; 0 where the system does not say.
fn memory_mib() -> f64 {
    memory_stats::memory_stats().map_or(0.0, |memory| memory.physical_mem as f64 / f64::from(1 << 20))
}

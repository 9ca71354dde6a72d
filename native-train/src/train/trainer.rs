//! The loop of training: read it from top to bottom.

mod divergence;
mod learner;
mod lesson;
mod outcome;
mod outlook;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;

use self::learner::Failure;
pub use self::learner::{BatchLosses, Learner};
pub(super) use self::lesson::{fitted_layers, optimizer_name};
use super::checkpoint::{Best, Checkpoint, TrainingProgress};
use super::console::Console;
use super::interrupt::Interrupt;
use super::loader::Loader;
use super::metrics::{self, Metrics, Record, StepMetrics};
use super::ranks::{Order, Ranks};
use super::report;
use super::run_folder::{Facts, KeptWeights, RunFolder};
use super::schedule::Schedule;
use super::tensorboard::EventFile;
use super::throughput::Throughput;
use super::validation::Validation;
use super::{Ema, Optimizer};

/// Batches that are ready before they are needed.
const PREFETCH: usize = 4;
/// A loss that has not fallen below this part of its first value has hardly fallen.
const STUCK: f64 = 0.7;
/// AP50 at which images count as learned by heart; per cent.
const LEARNED: f64 = 95.0;

/// What a training works with.
pub struct TrainerParts {
    /// The network, and what it learns from.
    pub learner: Learner,
    /// What to choose the best weights by.
    pub validation: Option<Validation>,
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
    /// The images are learned by heart.
    Learned,
}

/// A training between two iterations.
pub struct Trainer {
    parts: TrainerParts,
    ranks: Ranks,
    interrupt: Interrupt,
    /// What changes; a checkpoint holds exactly this.
    progress: TrainingProgress,
    parameters: Vec<f32>,
    optimizer: Optimizer,
    ema: Ema,
    /// Shared with the threads that prepare batches.
    schedule: Arc<Mutex<Schedule>>,
    /// How often they were started.
    loaders: usize,
    throughput: Throughput,
    console: Console,
    metrics: Metrics,
    events: EventFile,
}

impl Trainer {
    /// A training that goes on from `checkpoint`, which may be that of iteration 0; this process is the first of `ranks`.
    ///
    /// # Errors
    /// Fails where the run's folder cannot be written or the device fails.
    pub fn new(mut parts: TrainerParts, checkpoint: Checkpoint, ranks: Ranks, interrupt: Interrupt) -> Result<Self> {
        let Checkpoint { progress, parameters, ema, optimizer } = checkpoint;
        ranks.order(&Order::Prepare(Box::new(progress.clone())))?;
        parts.learner.engine.load(&parameters)?;
        let optimizer = lesson::optimizer(&parts.learner.layout, &progress, optimizer)?;
        let ema = Ema::new(ema, progress.ema_updates);
        let metrics = Metrics::open(&parts.folder.metrics(), progress.iteration)?;
        let events = EventFile::create(parts.folder.path())?;
        let schedule = Arc::new(Mutex::new(progress.schedule));
        let (throughput, console) = (Throughput::default(), Console::start());
        Ok(Self {
            parts,
            ranks,
            interrupt,
            progress,
            parameters,
            optimizer,
            ema,
            schedule,
            loaders: 0,
            throughput,
            console,
            metrics,
            events,
        })
    }

    /// Trains to the end, or until somebody asks to stop.
    ///
    /// # Errors
    /// Fails where an image cannot be read, a file not written, or training diverges: then it names the step, the layer
    /// and the last good checkpoint.
    pub fn train(&mut self) -> Result<Ending> {
        let before = self.progress.seconds;
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Finished;
        let mut loader = self.start_loader();
        let mut stage = None;
        // Before any other file: a process that is killed from now on can go on.
        self.write_checkpoint()?;
        if self.progress.settings.init.is_some() && self.progress.iteration == 0 && self.progress.best.is_none() {
            // What training has to beat.
            self.evaluate()?;
            self.save()?;
        }

        while self.progress.iteration < self.progress.schedule.iterations {
            let now = self.progress.schedule.stage(self.progress.iteration);
            if stage.replace(now) != Some(now) {
                self.announce(now);
            }

            let step_started = Instant::now();
            let mut step = self.step(&mut loader)?;
            let seconds = step_started.elapsed().as_secs_f64();
            self.progress.iteration += 1;
            self.progress.seconds = before + started.elapsed().as_secs_f64();
            step.images_per_second = self.images_per_iteration() / seconds;
            self.throughput.step(self.images_per_iteration() * (step.size * step.size) as f64, seconds);
            self.replan();
            self.report(step)?;

            let schedule = self.progress.schedule;
            let iteration = self.progress.iteration;
            if iteration == schedule.fit {
                self.end_fitting()?;
            }
            if iteration == schedule.no_aug_from && iteration < schedule.iterations {
                self.write_weights(KeptWeights::LastMosaic)?;
            }
            if iteration == schedule.iterations {
                self.retake_statistics()?;
            }
            // In the middle of fitting, the parts do not make a network.
            let is_due = iteration > schedule.fit && iteration >= self.progress.evaluated + self.evaluation_interval();
            if is_due || iteration == schedule.iterations {
                let ap50 = self.evaluate()?;
                if self.progress.settings.overfit.is_some() && ap50.is_some_and(|ap50| ap50 >= LEARNED) {
                    ending = Ending::Learned;
                    break;
                }
                if self.lose_patience()? {
                    loader = self.start_loader();
                }
            }
            // Behind the last iteration there is nothing to stop, and its checkpoint is written when everything else is.
            let is_last = iteration >= self.progress.schedule.iterations;
            if self.interrupt.asked() && !is_last {
                ending = Ending::Interrupted;
                break;
            }
            if !is_last && saved.elapsed().as_secs_f64() >= 60.0 * self.progress.settings.checkpoint_every {
                self.save()?;
                saved = Instant::now();
            }
        }
        self.progress.seconds = before + started.elapsed().as_secs_f64();
        self.console.finish();
        if ending != Ending::Interrupted && self.parts.validation.is_none() {
            // Nothing says which are better than the last.
            self.write_weights(KeptWeights::Best)?;
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

    /// What a person can try where images were not learned by heart.
    ///
    /// # Errors
    /// Fails where the run's metrics cannot be read.
    pub fn why_not_learned(&self, images: usize) -> Result<String> {
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
            "the {images} images are not learned: AP50 {ap50:.2} at best, {LEARNED} is wanted. The loss went from \
             {first:.2} to {last:.2}: {remedy}"
        ))
    }

    /// How far the training has come.
    pub fn progress(&self) -> &TrainingProgress {
        &self.progress
    }

    /// One iteration: forward, loss, backward for each of its batches; one step of the optimizer; one of the mean.
    fn step(&mut self, loader: &mut Loader) -> Result<StepMetrics> {
        let iteration = self.progress.iteration;
        let lr = self.learning_rate();
        let parts = self.parts.learner.parts();
        let schedule = self.progress.schedule;
        self.ranks.order(&Order::Step { iteration, schedule, loaders: self.loaders, parts })?;
        self.ranks.share_parameters(&mut self.parameters);
        let mut update = vec![0.0; self.parts.learner.layout.len];
        let own =
            self.parts.learner.share(&self.progress, &self.ranks, loader, &mut update).map_err(
                |failure| match failure {
                    Failure::Batch(error) => self.stop_before_step(error),
                    Failure::Pass(error) => self.explain(error, lr),
                },
            );
        let all = self.ranks.collect(&mut update, own.as_ref(), parts);
        let own = own?;
        let sum = all.map_err(|error| self.stop_before_step(error))?.unwrap_or(own);
        self.check_finite("gradient", &update, lr)?;
        self.clip(&mut update);
        self.optimizer.step(&self.parts.learner.layout, &mut self.parameters, &update, lr);
        self.check_finite("value", &self.parameters, lr)?;
        self.parts.learner.engine.load(&self.parameters)?;
        let schedule = &self.progress.schedule;
        self.ema.update(&self.parameters, self.progress.settings.ema_decay(schedule));
        self.progress.ema_updates = self.ema.updates;

        let weight = 1.0 / self.progress.settings.accumulate as f32;
        let mean = |value: f32| f64::from(value * weight);
        let parts: Vec<f64> = sum.parts.iter().map(|&part| mean(part)).collect();
        Ok(StepMetrics {
            iteration: iteration + 1,
            epoch: schedule.epochs(iteration + 1),
            lr,
            size: self.parts.learner.plan.size(iteration),
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

    fn start_loader(&mut self) -> Loader {
        self.loaders += 1;
        self.parts.learner.start_loader(&self.progress, &self.schedule, &self.ranks)
    }
}

/// Memory of this process in MiB; 0 where the system does not say.
fn memory_mib() -> f64 {
    memory_stats::memory_stats().map_or(0.0, |memory| memory.physical_mem as f64 / f64::from(1 << 20))
}

//! What computes a step's gradients: the network, what it learns from, and batches of images.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Error, Result, ensure};
use shared_model::{Graph, ParameterLayout};

use super::PREFETCH;
use super::divergence::Diverged;
use crate::data::TrainingSet;
use crate::data::images::Images;
use crate::engine::{DeviceName, Engine, HeadOutput, Lesson, OutputGradients, Outputs};
use crate::train::checkpoint::TrainingProgress;
use crate::train::distill::{Teacher, feature_loss, in_classes, output_loss};
use crate::train::loader::{LabelledBatch, Loader, LoaderSettings};
use crate::train::machine;
use crate::train::plan::EpochPlan;
use crate::train::ranks::Ranks;
use crate::train::schedule::{Schedule, TrainingStage};
use crate::train::{Losses, loss};

/// On a processor a thread prepares the batches for so many that compute the network, which takes at least ten times as long.
const COMPUTING_PER_LOADING: usize = 4;

/// A network that learns, and what from.
pub struct Learner {
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
    /// Which images come when.
    pub plan: EpochPlan,
    /// Threads of this process.
    pub threads: usize,
}

/// Why there is no share of a step.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The images of a batch cannot be had.
    #[error("{0:#}")]
    Batch(Error),
    /// They cannot be computed with.
    #[error("{0:#}")]
    Pass(Error),
}

/// The losses of a batch, or sums of them.
#[derive(Clone, Debug, Default)]
pub struct BatchLosses {
    /// Of all, each times its weight.
    pub total: f32,
    /// Against labels.
    pub labels: Losses,
    /// Against what the teacher says.
    pub output: Option<f32>,
    /// Against what each of the teacher's parts computes.
    pub parts: Vec<f32>,
}

impl BatchLosses {
    /// As numbers that can be added up, with room for as many `parts`.
    pub fn to_values(&self, parts: usize) -> Vec<f32> {
        let Losses { total, iou, obj, cls, l1, foreground, objects } = self.labels;
        let output = self.output.unwrap_or_default();
        let mut values = vec![self.total, total, iou, obj, cls, l1, foreground as f32, objects as f32, output];
        values.extend(&self.parts);
        values.resize(9 + parts, 0.0);
        values
    }

    /// What `values` say, in which everybody's losses are added up; these are one's own.
    pub fn of_values(&self, values: &[f32]) -> Self {
        let [total, labels, iou, obj, cls, l1, foreground, objects, output] = *values.first_chunk().expect("9 numbers");
        Self {
            total,
            labels: Losses {
                total: labels,
                iou,
                obj,
                cls,
                l1,
                foreground: foreground as usize,
                objects: objects as usize,
            },
            output: self.output.map(|_| output),
            parts: values[9..][..self.parts.len()].to_vec(),
        }
    }

    /// Adds another batch's.
    pub fn add(&mut self, other: &Self) {
        let (sum, labels) = (&mut self.labels, &other.labels);
        sum.total += labels.total;
        sum.iou += labels.iou;
        sum.obj += labels.obj;
        sum.cls += labels.cls;
        sum.l1 += labels.l1;
        sum.foreground += labels.foreground;
        sum.objects += labels.objects;
        self.total += other.total;
        self.output = other.output.map(|output| output + self.output.unwrap_or_default());
        self.parts.resize(other.parts.len(), 0.0);
        self.parts.iter_mut().zip(&other.parts).for_each(|(sum, part)| *sum += part);
    }
}

impl Learner {
    /// Losses against parts of the teacher that a batch may have.
    pub fn parts(&self) -> usize {
        self.teacher.as_ref().map_or(0, |teacher| teacher.taps().len())
    }

    /// This process's batches of the step that `progress` has come to: the sums of their losses, and in `update`, which is full of zeros,
    /// their share of the mean over all of the step's batches. Statistics of batches are averaged as gradients are.
    ///
    /// # Errors
    /// Fails where an image cannot be read, or the device fails, or an output is not finite.
    pub fn share(
        &mut self,
        progress: &TrainingProgress,
        ranks: &Ranks,
        loader: &mut Loader,
        update: &mut [f32],
    ) -> Result<BatchLosses, Failure> {
        let accumulate = progress.settings.accumulate;
        let weight = 1.0 / accumulate as f32;
        let mut sum = BatchLosses::default();
        let mut of_batch = vec![0.0; self.layout.len];
        for _ in 0..ranks.place().batches(accumulate) {
            let batch = loader.next().context("the batches came to an end before training did").flatten();
            let losses = self.pass(progress, &batch.map_err(Failure::Batch)?, &mut of_batch).map_err(Failure::Pass)?;
            sum.add(&losses);
            update.iter_mut().zip(&of_batch).for_each(|(sum, value)| *sum += weight * value);
        }
        Ok(sum)
    }

    /// Starts to prepare this process's batches, from the next step's on, by the settings of `progress`; the shared `schedule` may change.
    pub fn start_loader(&self, progress: &TrainingProgress, schedule: &Arc<Mutex<Schedule>>, ranks: &Ranks) -> Loader {
        let (plan, schedule) = (self.plan.clone(), Arc::clone(schedule));
        let settings = &progress.settings;
        let (accumulate, place) = (settings.accumulate, ranks.place());
        let batch = move |i| {
            let schedule = schedule.lock().unwrap_or_else(PoisonError::into_inner);
            Some(plan.batch(place.batch(i, accumulate), &schedule))
        };
        let threads = match settings.device {
            DeviceName::Cpu => self.threads.div_ceil(COMPUTING_PER_LOADING),
            // The GPU computes.
            DeviceName::Cuda(_) => self.threads,
        };
        let loader = LoaderSettings {
            seed: settings.seed,
            threads,
            // Each thread has one on its way.
            prefetch: threads + PREFETCH,
        };
        let first = progress.iteration * place.batches(accumulate);
        let cache = settings.cache.unwrap_or_else(machine::cache);
        let images = Images::new(Arc::clone(&self.set), cache << 20);
        Loader::start(Arc::new(images), settings.augmentation.clone(), loader, first, batch)
    }

    /// Forward, losses and backward for one batch; fills `update`.
    fn pass(
        &mut self,
        progress: &TrainingProgress,
        labelled: &LabelledBatch,
        update: &mut [f32],
    ) -> Result<BatchLosses> {
        let TrainingProgress { settings, schedule, iteration, .. } = progress;
        let stage = schedule.stage(*iteration);
        let fits = stage == TrainingStage::Fit;
        let with_head = !fits || progress.fitted.iter().any(|name| name.starts_with("head."));
        let (engine, mut teacher) = (&mut self.engine, self.teacher.as_mut());
        let is_taught = teacher.is_some() && (fits || settings.distill.is_some());
        let [of_labels, of_output, of_features] = match (fits, is_taught) {
            (true, _) => [0.0, 1.0, 1.0],
            (false, true) => [settings.labels, settings.distill_output, settings.distill_features],
            (false, false) => [1.0, 0.0, 0.0],
        }
        .map(|weight| weight as f32);

        let loss_settings = settings.loss_settings(stage == TrainingStage::NoAug);
        let mut losses = BatchLosses::default();
        let head_loss =
            |output: &HeadOutput, said: Option<&HeadOutput>, losses: &mut BatchLosses| -> Result<Vec<f32>> {
                let mut gradient = vec![0.0; output.values.len()];
                let mut add = |loss: f32, part: &[f32], weight: f32| -> Result<()> {
                    ensure!(loss.is_finite(), Diverged("the network's output".into()));
                    losses.total += weight * loss;
                    gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += weight * value);
                    Ok(())
                };
                if of_labels > 0.0 {
                    let (labels, part) = loss(output, &labelled.objects, &loss_settings);
                    add(labels.total, &part, of_labels)?;
                    losses.labels = labels;
                }
                if let Some(said) = said.filter(|_| of_output > 0.0) {
                    let part = output_loss(output, said);
                    add(part.total, &part.gradient, of_output)?;
                    losses.output = Some(part.total);
                }
                Ok(gradient)
            };
        let add_parts = |parts: Vec<f32>, losses: &mut BatchLosses| -> Result<()> {
            let sum: f32 = parts.iter().sum();
            ensure!(sum.is_finite(), Diverged("what a part of the network computes".into()));
            losses.total += of_features * sum;
            losses.parts = parts;
            Ok(())
        };
        if let Some(teacher) = teacher.as_mut().filter(|_| of_features > 0.0) {
            let (theirs, classes) = teacher.parts();
            let mut all = |output: &HeadOutput, said: HeadOutput| {
                head_loss(output, Some(&in_classes(said, classes)), &mut losses)
            };
            let lesson = fits.then_some(with_head);
            if let Some(parts) = engine.step_beside(theirs, &labelled.batch, lesson, of_features, &mut all, update)? {
                add_parts(parts, &mut losses)?;
                return Ok(losses);
            }
        }
        let said = match teacher.as_mut().filter(|_| is_taught) {
            Some(teacher) => Some(teacher.look(&labelled.batch, of_features > 0.0)?),
            None => None,
        };
        match (&said, teacher) {
            (Some(said), Some(teacher)) if of_features > 0.0 => {
                let channels: Vec<usize> = teacher.taps().iter().map(|part| self.graph.channels(part.node)).collect();
                let mut all = |outputs: &Outputs| {
                    let head =
                        if with_head { head_loss(&outputs.head, Some(&said.head), &mut losses)? } else { Vec::new() };
                    let part = feature_loss(&outputs.features, &said.features, &channels, labelled.batch.images);
                    add_parts(part.parts, &mut losses)?;
                    let mut features = part.gradient;
                    features.iter_mut().flatten().for_each(|value| *value *= of_features);
                    Ok(OutputGradients { head, features })
                };
                let lesson = fits.then_some(Lesson { features: &said.features, with_head });
                engine.step_features(&labelled.batch, lesson, &mut all, update)?;
            }
            _ => {
                let said = said.as_ref().map(|said| &said.head);
                engine.step(&labelled.batch, &mut |output| head_loss(output, said, &mut losses), update)?;
            }
        }
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_batches_add_up() {
        let labels = Losses { total: 6.5, iou: 1.0, obj: 2.0, cls: 3.0, l1: 0.5, foreground: 4, objects: 5 };
        let batch = BatchLosses { total: 7.0, labels, output: Some(1.5), parts: vec![0.25, 0.5] };
        let mut sum = BatchLosses::default();
        sum.add(&batch);
        sum.add(&batch);
        let twice: Vec<f32> = batch.to_values(2).iter().map(|value| 2.0 * value).collect();
        assert_eq!(sum.to_values(2), twice);
    }
}

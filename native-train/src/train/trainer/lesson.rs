//! What a step learns from: labels, what a teacher says, and what its parts compute; and the fitting of parts before training.

use anyhow::{Result, ensure};
use shared_model::ParameterLayout;
use shared_model::graph::{Graph, Node, Op, Stage as Part};

use super::Trainer;
use super::divergence::Diverged;
use crate::train::checkpoint::Progress;
use crate::train::distill::{Teacher, feature_loss, output_loss};
use crate::train::init::{CALIBRATION_PICTURES, calibration};
use crate::train::settings::Settings;
use crate::train::timeline::{Stage, Timeline};
use crate::train::{
    Ema, HeadOutput, LabelledBatch, Lesson, Losses, Optimizer, OptimizerName, OptimizerSettings, OptimizerState,
    OutputGradients, Outputs, Schedule, loss, settle_norm,
};

/// The losses of a batch, or sums of them.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchLosses {
    /// Of all, each times its weight.
    pub(super) total: f32,
    /// Against labels.
    pub(super) labels: Losses,
    /// Against what the teacher says.
    pub(super) output: Option<f32>,
    /// Against what each of the teacher's parts computes.
    pub(super) parts: Vec<f32>,
}

impl BatchLosses {
    pub(super) fn add(&mut self, other: &Self) {
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

/// The rule of the steps before training: in few steps it comes closest.
const FIT_OPTIMIZER: OptimizerName = OptimizerName::Muon;

/// The optimizer that a training goes on with.
pub(in crate::train) fn optimizer_name(settings: &Settings, fits: bool) -> OptimizerName {
    if fits { FIT_OPTIMIZER } else { settings.optimizer }
}

/// The optimizer of the stage that `progress` has come to.
pub(super) fn optimizer(layout: &ParameterLayout, progress: &Progress, state: OptimizerState) -> Result<Optimizer> {
    let settings = &progress.settings;
    if progress.iteration >= progress.timeline.fit {
        return Optimizer::new(layout, settings.optimizer_settings(), &settings.freeze, state);
    }
    // Kernels keep their scale, which the rest of the network was trained with.
    let rule = OptimizerSettings { name: FIT_OPTIMIZER, weight_decay: 0.0, ..settings.optimizer_settings() };
    let is_fitted = |name: &str| {
        progress.fitted.iter().any(|layer| name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.')))
    };
    let names = layout.entries.iter().map(|(parameter, _)| &parameter.name);
    let kept = names.filter(|name| !is_fitted(name)).chain(&settings.freeze).cloned();
    Optimizer::new(layout, rule, &kept.collect::<Vec<_>>(), state)
}

/// The layers with parameters of every part of the network that has a layer in `unfit`: those that fitting changes.
pub(in crate::train) fn fitted_layers(graph: &Graph, teacher: Option<&Teacher>, unfit: &[String]) -> Vec<String> {
    let Some(teacher) = teacher else { return Vec::new() };
    let part = |index: usize| teacher.taps().iter().position(|part: &Part| part.node >= Node(index));
    let is_unfit = |index: usize| unfit.contains(&graph.layers[index].name);
    let changed: Vec<_> = (0..graph.layers.len()).filter(|&index| is_unfit(index)).map(part).collect();
    let fitted = (0..graph.layers.len()).filter(|&index| changed.contains(&part(index)));
    let convolutions = fitted.map(|index| &graph.layers[index]).filter(|layer| matches!(layer.op, Op::Conv(_)));
    convolutions.map(|layer| layer.name.clone()).collect()
}

impl Trainer {
    /// The learning rate of the next step.
    pub(super) fn learning_rate(&self) -> f64 {
        let Progress { settings, timeline, iteration, .. } = &self.progress;
        let Timeline { fit, warmup, plain_from, .. } = *timeline;
        let schedule = if *iteration < fit {
            Schedule { peak: settings.fit_lr, from: 0, warmup: 0, falls_from: 0, flat_from: fit }
        } else {
            let falls_from = warmup + (settings.lr_hold * (plain_from - warmup) as f64) as usize;
            Schedule { peak: settings.learning_rate(), from: fit, warmup, falls_from, flat_from: plain_from }
        };
        schedule.lr(*iteration)
    }

    /// Forward, losses and backward for one batch; fills `update`.
    pub(super) fn pass(&mut self, labelled: &LabelledBatch, stage: Stage, update: &mut [f32]) -> Result<BatchLosses> {
        let settings = &self.progress.settings;
        let fits = stage == Stage::Fit;
        let with_head = !fits || self.progress.fitted.iter().any(|name| name.starts_with("head."));
        let (engine, teacher) = (&mut self.parts.engine, &mut self.parts.teacher);
        let said = match teacher {
            Some(teacher) if fits || settings.distill.is_some() => Some(teacher.look(&labelled.batch)?),
            _ => None,
        };
        let [of_labels, of_output, of_features] = match (fits, &said) {
            (true, _) => [0.0, 1.0, 1.0],
            (false, Some(_)) => [settings.labels, settings.distill_output, settings.distill_features],
            (false, None) => [1.0, 0.0, 0.0],
        }
        .map(|weight| weight as f32);

        let loss_settings = settings.loss_settings(stage == Stage::Plain);
        let mut losses = BatchLosses::default();
        let head_loss = |output: &HeadOutput, losses: &mut BatchLosses| -> Result<Vec<f32>> {
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
            if let Some(said) = said.as_ref().filter(|_| of_output > 0.0) {
                let part = output_loss(output, &said.head);
                add(part.total, &part.gradient, of_output)?;
                losses.output = Some(part.total);
            }
            Ok(gradient)
        };
        match (&said, teacher) {
            (Some(said), Some(teacher)) if of_features > 0.0 => {
                let channels: Vec<usize> =
                    teacher.taps().iter().map(|part| self.parts.graph.channels(part.node)).collect();
                let mut all = |outputs: &Outputs| {
                    let head = if with_head { head_loss(&outputs.head, &mut losses)? } else { Vec::new() };
                    let part = feature_loss(&outputs.features, &said.features, &channels, labelled.batch.pictures);
                    let sum: f32 = part.parts.iter().sum();
                    ensure!(sum.is_finite(), Diverged("what a part of the network computes".into()));
                    losses.total += of_features * sum;
                    losses.parts = part.parts;
                    let mut features = part.gradient;
                    features.iter_mut().flatten().for_each(|value| *value *= of_features);
                    Ok(OutputGradients { head, features })
                };
                let lesson = fits.then_some(Lesson { features: &said.features, with_head });
                engine.step_features(&labelled.batch, lesson, &mut all, update)?;
            }
            _ => engine.step(&labelled.batch, &mut |output| head_loss(output, &mut losses), update)?,
        }
        Ok(losses)
    }

    /// Shortens the gradient in `update` where it is longer than the settings allow.
    pub(super) fn clip(&self, update: &mut [f32]) {
        let Some(longest) = self.progress.settings.clip else { return };
        let entries = &self.parts.layout.entries;
        let trained = || entries.iter().filter(|(parameter, _)| parameter.trainable).map(|(_, place)| place.clone());
        let norm = trained().flat_map(|place| &update[place]).map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        if norm > longest {
            let factor = (longest / norm) as f32;
            trained().for_each(|place| update[place].iter_mut().for_each(|value| *value *= factor));
        }
    }

    /// After the last step of fitting: statistics of batch normalisation through the whole network, whose parts have only seen
    /// the teacher's features so far; optimizer and mean of the weights begin anew.
    pub(super) fn end_fitting(&mut self) -> Result<()> {
        let batches = calibration(&self.parts.set, self.progress.settings.size, CALIBRATION_PICTURES)?;
        settle_norm(self.parts.engine.as_mut(), &self.parts.graph, &mut self.parameters, &batches)?;
        self.parts.engine.load(&self.parameters)?;
        let state = OptimizerState::new(self.progress.settings.optimizer, self.parts.layout.len);
        self.optimizer = optimizer(&self.parts.layout, &self.progress, state)?;
        self.ema = Ema::new(self.parameters.clone(), 0);
        self.progress.ema_updates = 0;
        self.evaluate()?;
        self.save()
    }

    /// Before the last evaluation, where the settings ask for it: the running statistics that the mean of the weights has by
    /// itself, on pictures as they are evaluated (precise batch normalisation, <https://arxiv.org/abs/2105.07576>, 3.2). Those
    /// that came along are a mean over other weights, and of mosaics.
    pub(super) fn retake_statistics(&mut self) -> Result<()> {
        let Settings { norm_pictures, size, ref freeze, .. } = self.progress.settings;
        if norm_pictures == 0 {
            return Ok(());
        }
        let batches = calibration(&self.parts.set, size, norm_pictures)?;
        let before = self.ema.values.clone();
        settle_norm(self.parts.engine.as_mut(), &self.parts.graph, &mut self.ema.values, &batches)?;
        let is_frozen = |name: &str| freeze.iter().any(|prefix| name.starts_with(prefix));
        for (_, place) in self.parts.layout.entries.iter().filter(|(parameter, _)| is_frozen(&parameter.name)) {
            self.ema.values[place.clone()].copy_from_slice(&before[place.clone()]);
        }
        self.parts.engine.load(&self.parameters)
    }
}

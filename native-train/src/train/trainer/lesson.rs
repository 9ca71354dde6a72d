//! How steps change the network, and the fitting of parts before training.

use anyhow::Result;
use shared_model::ParameterLayout;
use shared_model::graph::{Graph, Node, Op, Stage as Part};

use super::Trainer;
use crate::train::checkpoint::TrainingProgress;
use crate::train::distill::Teacher;
use crate::train::init::{CALIBRATION_IMAGES, calibration};
use crate::train::schedule::Schedule;
use crate::train::settings::Settings;
use crate::train::{Ema, LrSchedule, Optimizer, OptimizerName, OptimizerSettings, OptimizerState, settle_norm};

/// The rule of the steps before training: in few steps it comes closest.
const FIT_OPTIMIZER: OptimizerName = OptimizerName::Muon;

/// The optimizer that a training goes on with.
pub(in crate::train) fn optimizer_name(settings: &Settings, fits: bool) -> OptimizerName {
    if fits { FIT_OPTIMIZER } else { settings.optimizer }
}

/// The optimizer of the stage that `progress` has come to.
pub(super) fn optimizer(
    layout: &ParameterLayout,
    progress: &TrainingProgress,
    state: OptimizerState,
) -> Result<Optimizer> {
    let settings = &progress.settings;
    if progress.iteration >= progress.schedule.fit {
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
        let TrainingProgress { settings, schedule, iteration, .. } = &self.progress;
        let Schedule { fit, warmup, no_aug_from, .. } = *schedule;
        let lr_schedule = if *iteration < fit {
            LrSchedule { peak: settings.fit_lr, from: 0, warmup: 0, falls_from: 0, flat_from: fit }
        } else {
            let falls_from = warmup + (settings.lr_hold * (no_aug_from - warmup) as f64) as usize;
            LrSchedule { peak: settings.learning_rate(), from: fit, warmup, falls_from, flat_from: no_aug_from }
        };
        lr_schedule.lr(*iteration)
    }

    /// Shortens the gradient in `update` where it is longer than the settings allow.
    pub(super) fn clip(&self, update: &mut [f32]) {
        let Some(longest) = self.progress.settings.clip else { return };
        let entries = &self.parts.learner.layout.entries;
        let trained = || entries.iter().filter(|(parameter, _)| parameter.trainable).map(|(_, range)| range.clone());
        let norm = trained().flat_map(|range| &update[range]).map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        if norm > longest {
            let factor = (longest / norm) as f32;
            trained().for_each(|range| update[range].iter_mut().for_each(|value| *value *= factor));
        }
    }

    /// After the last step of fitting: statistics of batch normalisation through the whole network, whose parts have only seen
    /// the teacher's features so far; optimizer and mean of the weights begin anew.
    pub(super) fn end_fitting(&mut self) -> Result<()> {
        let batches = calibration(&self.parts.learner.set, self.progress.settings.size, CALIBRATION_IMAGES)?;
        settle_norm(self.parts.learner.engine.as_mut(), &self.parts.learner.graph, &mut self.parameters, &batches)?;
        self.parts.learner.engine.load(&self.parameters)?;
        let state = OptimizerState::new(self.progress.settings.optimizer, self.parts.learner.layout.len);
        self.optimizer = optimizer(&self.parts.learner.layout, &self.progress, state)?;
        self.ema = Ema::new(self.parameters.clone(), 0);
        self.progress.ema_updates = 0;
        self.evaluate()?;
        self.save()
    }

    /// Before the last evaluation, where the settings ask for it: the running statistics that the mean of the weights has by
    /// itself, on images as they are evaluated (precise batch normalisation, <https://arxiv.org/abs/2105.07576>, 3.2). Those
    /// that came along are a mean over other weights, and of mosaics.
    pub(super) fn retake_statistics(&mut self) -> Result<()> {
        let Settings { norm_images, size, ref freeze, .. } = self.progress.settings;
        if norm_images == 0 {
            return Ok(());
        }
        let batches = calibration(&self.parts.learner.set, size, norm_images)?;
        let before = self.ema.values.clone();
        settle_norm(self.parts.learner.engine.as_mut(), &self.parts.learner.graph, &mut self.ema.values, &batches)?;
        let is_frozen = |name: &str| freeze.iter().any(|prefix| name.starts_with(prefix));
        for (_, range) in self.parts.learner.layout.entries.iter().filter(|(parameter, _)| is_frozen(&parameter.name)) {
            self.ema.values[range.clone()].copy_from_slice(&before[range.clone()]);
        }
        self.parts.learner.engine.load(&self.parameters)
    }
}

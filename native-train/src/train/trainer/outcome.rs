//! What a training leaves: evaluations, metrics, weights, checkpoints.

use anyhow::Result;
use serde_json::json;
use shared_model::{ColourOrder, Metadata, NormState, Weights};

use super::Trainer;
use crate::train::checkpoint::{Best, Checkpoint, TrainingProgress};
use crate::train::console::duration;
use crate::train::metrics::{Evaluation, Record, StepMetrics};
use crate::train::report;
use crate::train::run_folder::KeptWeights;
use crate::train::schedule::TrainingStage;

impl Trainer {
    /// Scores the mean of the weights, keeps them where they are the best so far; AP50 in per cent, `None` without
    /// images to score on.
    pub(super) fn evaluate(&mut self) -> Result<Option<f64>> {
        self.progress.evaluated = self.progress.iteration;
        let Some(validation) = &self.parts.validation else { return Ok(None) };
        let weights = self.weights(&self.ema.values);
        let scored = validation.score(&weights)?;
        let mean = scored.report.mean;
        let iteration = self.progress.iteration;
        let best = self.progress.best.is_none_or(|best| mean.ap_11 > best.ap);
        if best {
            self.progress.best = Some(Best { iteration, ap: mean.ap_11, ap50: mean.ap50_11 });
            report::evaluation(&self.parts.folder, validation, &scored, &weights.metadata.class_names)?;
            self.write_weights(KeptWeights::Best)?;
        }
        let epoch = self.progress.schedule.epochs(iteration);
        let (ap, ap50, seconds) = (mean.ap_11, mean.ap50_11, scored.seconds);
        self.throughput.evaluation(seconds);
        self.console.say(&format!(
            "epoch {epoch:.2}: AP50 {ap50:.2}, AP {ap:.2} on {} images (mean of the weights, {}{})",
            scored.report.images,
            duration(seconds),
            if best { ", the best so far" } else { "" }
        ));
        self.metrics.add(&Record::Evaluation(Evaluation { iteration, epoch, ap, ap50, best, seconds }))?;
        let mut scalars = vec![("val/AP".to_string(), ap), ("val/AP50".to_string(), ap50)];
        scalars.extend(scored.report.per_class.iter().map(|c| (format!("val AP50/{}", c.class), c.figures.ap50_11)));
        self.events.scalars(iteration, &scalars)?;
        report::curves(&self.parts.folder)?;
        Ok(Some(ap50))
    }

    pub(super) fn report(&mut self, step: StepMetrics) -> Result<()> {
        let schedule = self.progress.schedule;
        let left = self.throughput.seconds(schedule.iterations - self.progress.iteration, self.work());
        self.console.step(&step, &schedule, left);
        let scalars = [
            ("loss/total", step.loss),
            ("loss/iou", step.iou),
            ("loss/obj", step.obj),
            ("loss/cls", step.cls),
            ("loss/l1", step.l1),
            ("lr", step.lr),
            ("size", step.size as f64),
            ("images per second", step.images_per_second),
            ("memory MiB", step.memory_mib),
        ];
        self.events.scalars(step.iteration, &scalars.map(|(name, value)| (name.to_string(), value)))?;
        self.metrics.add(&Record::Step(step))
    }

    pub(super) fn announce(&self, stage: TrainingStage) {
        let schedule = &self.progress.schedule;
        let epoch = schedule.epochs(self.progress.iteration);
        let text = match stage {
            TrainingStage::Fit => format!(
                "until step {}, {} layers are fitted to the features of {}, part by part",
                schedule.fit,
                self.progress.fitted.len(),
                self.parts.origin
            ),
            TrainingStage::Warmup => format!("warm-up until epoch {:.2}", schedule.epochs(schedule.warmup)),
            TrainingStage::Cosine if schedule.warmup > schedule.fit => {
                "warm-up is over: the learning rate falls along a cosine".into()
            }
            TrainingStage::Cosine => "the learning rate falls along a cosine".into(),
            TrainingStage::NoAug => "the last stage: no mosaic, L1 loss, a flat learning rate".into(),
        };
        self.console.say(&format!("epoch {epoch:.2}: {text}"));
    }

    /// Writes the newest weights and the checkpoint, which comes last: one of the last iteration says that everything is there.
    pub(super) fn save(&self) -> Result<()> {
        self.write_weights(KeptWeights::Last)?;
        self.write_checkpoint()
    }

    /// Writes what the training needs to go on.
    pub(super) fn write_checkpoint(&self) -> Result<()> {
        let checkpoint = Checkpoint {
            progress: self.progress.clone(),
            parameters: self.parameters.clone(),
            ema: self.ema.values.clone(),
            optimizer: self.optimizer.state().clone(),
        };
        checkpoint.write(&self.parts.folder.checkpoint())
    }

    /// Saves what was reached before a step whose images cannot be read, and says how to go on.
    pub(super) fn stop_before_step(&self, error: anyhow::Error) -> anyhow::Error {
        let command = self.parts.folder.resume_command();
        let step = self.progress.iteration + 1;
        match self.save() {
            Ok(()) => error
                .context(format!("training stopped before step {step}; mend the data and go on with\n  {command}\n")),
            Err(failed) => error.context(format!("training stopped before step {step}, and was not saved: {failed:#}")),
        }
    }

    pub(super) fn write_weights(&self, kept: KeptWeights) -> Result<()> {
        for (values, raw) in [(&self.ema.values, false), (&self.parameters, true)] {
            self.parts.folder.write_weights(kept, raw, &self.weights(values))?;
        }
        Ok(())
    }

    /// Weights that say where they come from.
    pub(super) fn weights(&self, values: &[f32]) -> Weights {
        let TrainingProgress { settings, class_names, channels, iteration, schedule, best, .. } = &self.progress;
        let sources: Vec<String> = settings.train.iter().map(ToString::to_string).collect();
        let facts = &self.parts.facts;
        let metadata = Metadata {
            format_version: channels.format_version(),
            variant: settings.variant.clone(),
            channels: channels.clone(),
            class_names: class_names.clone(),
            colour_order: ColourOrder::Bgr,
            input_size: settings.size,
            norm: NormState::Separate,
            source: format!(
                "trained by {} on {} ({} images), from {}",
                facts.program,
                sources.join(", "),
                facts.train_images,
                self.parts.origin
            ),
            training: Some(json!({
                "recipe": settings,
                "facts": facts,
                "iterations": iteration,
                "epochs": schedule.epochs(*iteration),
                "best_on_val": best,
            })),
        };
        self.parts.learner.layout.weights(values, metadata)
    }
}

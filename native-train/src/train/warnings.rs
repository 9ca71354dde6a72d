//! What people should know before they wait for hours.

use super::run_folder::Facts;
use super::schedule::Schedule;
use super::settings::{REFERENCE_BATCH, REFERENCE_LR, Settings};

/// A learning rate so many times the reference's is high.
const HIGH_LR: f64 = 4.0;
/// A mean over more than this part of the training has much of the random start in it.
const LONG_MEAN: f64 = 0.25;

/// Sentences about settings and data that seldom do what was meant.
pub fn warnings(settings: &Settings, facts: &Facts, schedule: &Schedule) -> Vec<String> {
    let mut warnings = Vec::new();
    let (lr, batch) = (settings.learning_rate(), settings.effective_batch());
    let reference = REFERENCE_LR * batch as f64 / REFERENCE_BATCH;
    if lr > HIGH_LR * reference && settings.overfit.is_none() {
        warnings.push(format!(
            "the learning rate {lr} is high for {batch} images a step: the reference recipe has {reference:.5}; if the \
             loss grows, lower --lr"
        ));
    }
    let decay = settings.ema_decay(schedule);
    let mean_over = 1.0 / (1.0 - decay);
    if mean_over > LONG_MEAN * schedule.iterations as f64 {
        warnings.push(format!(
            "the mean of the weights reaches back {mean_over:.0} iterations, but the training has only {}: its figures will \
             stay behind the weights'; lower --ema-decay ({decay}) or train for longer",
            schedule.iterations
        ));
    }
    if facts.val_images == 0 {
        warnings
            .push("without --val nothing says which weights are the best: best.safetensors will be the last".into());
    }
    let missing = facts.class_names.iter().zip(&facts.train_objects).filter(|(_, objects)| **objects == 0);
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        warnings.push(format!("the training set has no object of these classes: {}", missing.join(", ")));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::StageLengths;

    fn facts() -> Facts {
        Facts {
            program: "yolox-nano".into(),
            git_revision: None,
            class_names: vec!["cat".into(), "dog".into()],
            train_images: 100,
            train_objects: vec![5, 6],
            val_images: 10,
            parameters: 1,
            learning_rate: 0.01,
            effective_batch: 16,
            iterations_per_epoch: 6,
            threads: 1,
        }
    }

    fn warned(settings: &Settings, facts: &Facts, epochs: usize) -> String {
        warnings(settings, facts, &Schedule::new(6, 6 * epochs, StageLengths::default())).join("\n")
    }

    #[test]
    fn each_trap_has_a_warning() {
        let fine = Settings::default();
        assert_eq!(warned(&fine, &facts(), 300), "");
        assert_eq!(warned(&fine, &facts(), 2), "", "the mean's reach follows the training's length");
        let fast = Settings { lr: Some(0.1), ..fine.clone() };
        assert!(warned(&fast, &facts(), 300).contains("0.1 is high for 16 images"));
        let slow_mean = Settings { ema_decay: Some(0.9998), ..fine.clone() };
        assert!(
            warned(&slow_mean, &facts(), 10).contains("reaches back 5000 iterations, but the training has only 60")
        );
        assert!(warned(&fine, &Facts { val_images: 0, ..facts() }, 300).contains("--val"));
        assert!(warned(&fine, &Facts { train_objects: vec![5, 0], ..facts() }, 300).contains("classes: dog"));
    }
}

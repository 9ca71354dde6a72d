//! What is said where training diverges.

use std::ops::Range;

use anyhow::{Result, anyhow};

use super::Trainer;

/// Something is not finite.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not finite")]
pub(super) struct Diverged(pub(super) String);

impl Trainer {
    /// Fails where a value is not finite, naming its layer and the remedy.
    pub(super) fn check_finite(&self, what: &str, values: &[f32], lr: f64) -> Result<()> {
        let broken = |range: &Range<usize>| values[range.clone()].iter().any(|value| !value.is_finite());
        match self.parts.learner.layout.entries.iter().find(|(_, range)| broken(range)) {
            Some((parameter, _)) => Err(self.explain(Diverged(format!("the {what} of {}", parameter.name)).into(), lr)),
            None => Ok(()),
        }
    }

    /// Says what else is known, and what to do, where training has diverged.
    pub(super) fn explain(&self, error: anyhow::Error, lr: f64) -> anyhow::Error {
        let Some(Diverged(what)) = error.downcast_ref() else { return error };
        let magnitude = |range: &Range<usize>| {
            self.parameters[range.clone()].iter().fold(0.0, |greatest: f32, value| greatest.max(value.abs()))
        };
        let entries =
            self.parts.learner.layout.entries.iter().map(|(parameter, range)| (&parameter.name, magnitude(range)));
        let greatest = entries.max_by(|a, b| a.1.total_cmp(&b.1));
        let greatest = greatest.map_or_else(String::new, |(name, value)| format!("{name} ({value:.1e})"));
        let settings = &self.progress.settings;
        anyhow!(
            "training has diverged: in step {} {what} is not finite (learning rate {lr:.5}; the greatest parameter is in \
             {greatest}). The last good checkpoint is {}. Start a new run with a lower --lr than {}, or a longer \
             --warmup-epochs",
            self.progress.iteration + 1,
            self.parts.folder.checkpoint().display(),
            settings.learning_rate(),
        )
    }
}

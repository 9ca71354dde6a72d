//! Models on all annotated pictures at once: their official score, the threshold to choose, and where they differ.

mod confusion;
mod differences;
mod judged;
mod sizes;

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_model::canonical_class;
use shared_model::evaluation::{
    Ap50Bootstrap, Difference, EvalReport, OperatingPoint, PictureCounts, RankedBoxes, best_f1, f1_difference,
    operating_points,
};

use super::truth::GroundTruth;

pub use confusion::confusion;
pub use differences::{PictureErrors, differences};
pub use judged::{DecidedBoxes, JudgedRun};
pub use sizes::{SizeClass, by_size};

/// What several models made of a set of annotated pictures. All are scored on the same pictures: those that all have looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetEvaluation {
    /// The pictures, in the order of the gallery.
    pub pictures: Vec<AnnotatedPicture>,
    /// The models, in the order of the panels.
    pub models: Vec<ModelEvaluation>,
}

/// A picture of which it is known what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedPicture {
    /// The picture's number.
    pub id: u32,
    /// The picture's file name.
    pub name: String,
    /// What is in it.
    pub truth: Arc<GroundTruth>,
}

/// What one model made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEvaluation {
    /// Its name.
    pub model: String,
    /// AP by the rules and settings of `yolox-nano eval`; `None` where it knows no class that occurs.
    pub report: Option<EvalReport>,
    /// Precision, recall and F1 over all classes that occur, at each of [`thresholds`]; none where it knows no class that
    /// occurs.
    pub points: Vec<OperatingPoint>,
    /// The point of the greatest F1.
    pub best: Option<OperatingPoint>,
    /// The greatest F1 less the first model's, each at its own threshold; `None` for the first model and where one of both has
    /// none.
    pub against_first: Option<Difference>,
    /// Its boxes beside the truth, one entry a picture.
    pub decided: Vec<DecidedBoxes>,
    /// The names of its classes.
    pub classes: Vec<String>,
    /// What it found, one entry a picture.
    pub judged: Vec<Arc<JudgedRun>>,
    /// The boxes that AP counts, for its bootstrap; `None` where there is no report.
    pub ranked: Option<Arc<RankedBoxes>>,
}

/// Thresholds of the score that are told apart: the steps of the page's slider, 0.01 to 0.95.
pub fn thresholds() -> impl Iterator<Item = f32> {
    (1..=95).map(|step| step as f32 / 100.0)
}

impl SetEvaluation {
    /// Scores models on `pictures`. A model is its name, the names of its classes, and what it found in each of the pictures.
    /// `pause` is waited for between parts of the work, of which each takes some hundredths of a second for 1,000 pictures.
    pub async fn new(
        pictures: Vec<AnnotatedPicture>,
        models: impl IntoIterator<Item = (String, Vec<String>, Vec<Arc<JudgedRun>>)>,
        pause: impl AsyncFn(),
    ) -> Self {
        let truths: Vec<_> = pictures.iter().map(|picture| picture.truth.voc_objects()).collect();
        let occurring: BTreeSet<&str> = truths.iter().flatten().map(|object| canonical_class(&object.class)).collect();
        let mut evaluated: Vec<ModelEvaluation> = Vec::new();
        for (model, classes, judged) in models {
            pause().await;
            let decided: Vec<_> = judged.iter().map(|run| run.decided(&classes, &occurring)).collect();
            let boxes = decided.iter().flat_map(|decided| decided.boxes.iter().copied()).collect();
            let objects = decided.iter().map(|decided| decided.objects).sum();
            let points = operating_points(boxes, objects, thresholds());
            pause().await;
            let found: Vec<_> = judged.iter().map(|run| run.official.clone()).collect();
            let report = EvalReport::new(&truths, &found, &classes).ok();
            pause().await;
            let ranked = report.is_some().then(|| Arc::new(RankedBoxes::new(&truths, &found, &classes)));
            let mut evaluation = ModelEvaluation {
                best: best_f1(&points),
                model,
                report,
                points,
                against_first: None,
                decided,
                classes,
                judged,
                ranked,
            };
            if let Some(first) = evaluated.first() {
                pause().await;
                let pair = first.counts_at_best().zip(evaluation.counts_at_best());
                evaluation.against_first = pair.and_then(|(first, own)| f1_difference(&first, &own));
            }
            evaluated.push(evaluation);
        }
        Self { models: evaluated, pictures }
    }

    /// AP50 of model `i` less the first one's, computed at once: some tenths of a second for 1,000 pictures. `None` for the first, and
    /// where one of both is not scored.
    pub fn ap50_against_first(&self, i: usize) -> Option<Difference> {
        let ranked = |i: usize| self.models.get(i)?.ranked.clone();
        let pair = ranked(0).zip(ranked(i)).filter(|_| i > 0);
        pair.and_then(|(first, own)| Ap50Bootstrap::new(first, own))?.advance(usize::MAX)
    }

    /// The classes that occur and that a model knows, in the order of the alphabet.
    pub fn classes(&self) -> Vec<String> {
        let rows = self.models.iter().filter_map(|model| model.report.as_ref()).flat_map(|report| &report.per_class);
        let classes: BTreeSet<&String> = rows.map(|row| &row.class).collect();
        classes.into_iter().cloned().collect()
    }
}

impl ModelEvaluation {
    /// Its boxes picture by picture, at the threshold of the greatest F1.
    fn counts_at_best(&self) -> Option<Vec<PictureCounts>> {
        let best = self.best?;
        Some(self.decided.iter().map(|decided| decided.counts(best.threshold)).collect())
    }
}

#[cfg(test)]
mod tests;

//! How finished runs do on images that nothing was chosen by.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::plan::PlannedRun;
use super::{CampaignFolder, State};
use crate::data::formats::in_role;
use crate::data::{Difficult, Role, Source, TrainingSet, labels};
use crate::files::write_atomic;
use crate::models;
use crate::train::run_folder::KeptWeights;
use crate::train::settings::Settings;
use crate::train::validation::Validation;

/// The score's file in a run's folder.
const FILE: &str = "test.json";

/// What a run's best weights, chosen by val, come to on other images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScore {
    /// The splits.
    pub on: Vec<String>,
    /// VOC2007's 11-point AP at IoU .50, the mean over classes, per cent.
    pub ap50: f64,
    /// The mean over IoU .50:.05:.95.
    pub ap: f64,
}

impl TestScore {
    /// The score that lies in a run's folder, if it is of these images.
    ///
    /// # Errors
    /// Fails where its file cannot be read.
    pub fn read(folder: &CampaignFolder, run: &str, test: &[Source]) -> Result<Option<Self>> {
        let file = folder.run(run).file(FILE);
        if !file.is_file() {
            return Ok(None);
        }
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&std::fs::read(&file)?)?) };
        let what = || format!("{} cannot be read: remove it, and the run is scored again", file.display());
        Ok(Some(read().with_context(what)?).filter(|score| score.on == names(test)))
    }
}

fn names(sources: &[Source]) -> Vec<String> {
    sources.iter().map(ToString::to_string).collect()
}

/// Scores the finished runs that have no score on `test` yet, and says so: seconds to minutes for each.
///
/// # Errors
/// Fails, naming the run, where its weights or the images cannot be read, or a score not be written.
pub fn score_all(folder: &CampaignFolder, runs: &[PlannedRun], test: &[Source], out: &mut dyn Write) -> Result<()> {
    for run in runs.iter().filter(|_| !test.is_empty()) {
        let is_finished = matches!(folder.state(&run.name)?, State::Finished(_));
        if is_finished && TestScore::read(folder, &run.name, test)?.is_none() {
            let score = score(folder, run, test).with_context(|| format!("the run {} on test", run.name))?;
            write_atomic(&folder.run(&run.name).file(FILE), &serde_json::to_vec_pretty(&score)?)?;
            writeln!(out, "{}: AP50 {:.2}, AP {:.2} on test", run.name, score.ap50, score.ap)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn score(folder: &CampaignFolder, run: &PlannedRun, test: &[Source]) -> Result<TestScore> {
    let run_folder = folder.run(&run.name);
    // Without val there is no best.
    let kept = [KeptWeights::Best, KeptWeights::Last].map(|kept| run_folder.weights(kept, false));
    let file = kept.iter().find(|file| file.is_file()).unwrap_or(&kept[1]);
    let weights = models::load(file.to_str())?.weights;
    let settings = Settings::from_layers(std::slice::from_ref(&run.settings))?;
    let sources = in_role(test, Role::Eval)?;
    let classes = Some(&weights.metadata.class_names[..]);
    let images = Validation::new(&TrainingSet::open_with(&sources, classes, Difficult::Learn, &settings.reading())?);
    labels::check_scorable(&images.truth, &names(test).join(", "))?;
    let mean = images.score(&weights)?.report.mean;
    Ok(TestScore { on: names(test), ap50: mean.ap50_11, ap: mean.ap_11 })
}

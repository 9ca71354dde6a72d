//! What a campaign has come to: tables and curves.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;
use shared_model::{Variant, cost};

use super::plan::PlannedRun;
use super::statistics::{Mean, welch};
use super::test_score::TestScore;
use super::{CampaignFolder, Finished, State};
use crate::data::Source;
use crate::files::write_atomic;
use crate::train::console::duration;
use crate::train::metrics::{self, Record};
use crate::train::report::overlaid;
use crate::train::settings::Settings;

/// Side in pixels and classes that GFLOPs and parameters are counted for.
const SIDE: usize = 416;
const CLASSES: usize = 20;

/// Runs that differ only in their seeds.
#[derive(Debug, Serialize)]
pub struct GroupReport {
    /// Their common name.
    pub group: String,
    /// The network.
    pub variant: String,
    /// Trainable parameters, with 20 classes.
    pub parameters: usize,
    /// Of an image of 416 x 416 pixels.
    pub gflops: f64,
    /// The best AP at IoU .50 on val of each run, per cent; their mean.
    pub ap50: Option<Mean>,
    /// The best AP over IoU .50:.05:.95 on val.
    pub ap: Option<Mean>,
    /// AP at IoU .50 on test of the weights that val chose.
    pub test_ap50: Option<Mean>,
    /// AP over IoU .50:.05:.95 on test.
    pub test_ap: Option<Mean>,
    /// Images that a run has seen, mosaics counted as one.
    pub images: Option<Mean>,
    /// Time of a run, in seconds.
    pub seconds: Option<Mean>,
    /// Runs of the plan.
    pub planned: usize,
}

/// Whether two groups differ.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The group with the greater mean.
    pub better: String,
    /// The other.
    pub worse: String,
    /// Of the means of AP50.
    pub ap50: f64,
    /// Probability of as much by chance alone: Welch's t-test.
    pub p: f64,
}

#[derive(Debug, Serialize)]
pub struct CampaignReport {
    /// In the plan's order.
    pub groups: Vec<GroupReport>,
    /// Of all pairs of groups that have two runs or more each.
    pub differences: Vec<Difference>,
}

/// A group's best scores on val.
struct Scores {
    group: String,
    ap50: Vec<f64>,
}

/// Writes `report.md`, `report.json` and `curves.svg` into the campaign's folder; returns the Markdown.
///
/// # Errors
/// Fails where a run's files cannot be read, or these not be written.
pub fn write(folder: &CampaignFolder, runs: &[PlannedRun], test: &[Source]) -> Result<String> {
    let report = collect(folder, runs, test)?;
    let curves = curves(folder, runs)?;
    let text = markdown(&report, curves.is_some());
    write_atomic(&folder.path().join("report.json"), &serde_json::to_vec_pretty(&report)?)?;
    if let Some(svg) = curves {
        write_atomic(&folder.path().join("curves.svg"), svg.as_bytes())?;
    }
    write_atomic(&folder.path().join("report.md"), text.as_bytes())?;
    Ok(text)
}

fn collect(folder: &CampaignFolder, runs: &[PlannedRun], test: &[Source]) -> Result<CampaignReport> {
    let mut groups: Vec<GroupReport> = Vec::new();
    let mut scores: Vec<Scores> = Vec::new();
    for run in runs {
        if groups.iter().any(|group| group.group == run.group) {
            continue;
        }
        let of_group: Vec<&PlannedRun> = runs.iter().filter(|other| other.group == run.group).collect();
        let mut finished: Vec<Finished> = Vec::new();
        let (mut test_ap50, mut test_ap) = (Vec::new(), Vec::new());
        for run in &of_group {
            if let State::Finished(end) = folder.state(&run.name)? {
                finished.push(end);
                let score = TestScore::read(folder, &run.name, test)?;
                test_ap50.extend(score.iter().map(|score| score.ap50));
                test_ap.extend(score.map(|score| score.ap));
            }
        }
        let of = |value: &dyn Fn(&Finished) -> Option<f64>| -> Vec<f64> { finished.iter().filter_map(value).collect() };
        let ap50 = of(&|end| end.best.map(|best| best.ap50));
        let cost = cost(&Variant::named(&run.variant)?.graph(CLASSES), SIDE, SIDE);
        groups.push(GroupReport {
            group: run.group.clone(),
            variant: run.variant.clone(),
            parameters: cost.parameters,
            gflops: cost.gflops,
            ap50: Mean::of(&ap50)?,
            ap: Mean::of(&of(&|end| end.best.map(|best| best.ap)))?,
            test_ap50: Mean::of(&test_ap50)?,
            test_ap: Mean::of(&test_ap)?,
            images: Mean::of(&of(&|end| Some(end.images as f64)))?,
            seconds: Mean::of(&of(&|end| Some(end.seconds)))?,
            planned: of_group.len(),
        });
        scores.push(Scores { group: run.group.clone(), ap50 });
    }
    let mut differences = Vec::new();
    for (i, a) in scores.iter().enumerate() {
        for b in &scores[i + 1..] {
            let Some(p) = welch(&a.ap50, &b.ap50)? else { continue };
            let mean = |scores: &Scores| scores.ap50.iter().sum::<f64>() / scores.ap50.len() as f64;
            let (better, worse) = if mean(a) >= mean(b) { (a, b) } else { (b, a) };
            let ap50 = mean(better) - mean(worse);
            differences.push(Difference { better: better.group.clone(), worse: worse.group.clone(), ap50, p });
        }
    }
    Ok(CampaignReport { groups, differences })
}

/// AP50 over the epochs of every run that was evaluated; `None` where none was.
fn curves(folder: &CampaignFolder, runs: &[PlannedRun]) -> Result<Option<String>> {
    let mut lines = Vec::new();
    for run in runs {
        let path = folder.run(&run.name).metrics();
        if !path.is_file() {
            continue;
        }
        let evaluations = metrics::read(&path)?.into_iter().filter_map(|record| match record {
            Record::Evaluation(evaluation) => Some((evaluation.epoch, evaluation.ap50)),
            Record::Step(_) => None,
        });
        let points: Vec<(f64, f64)> = evaluations.collect();
        if !points.is_empty() {
            lines.push((run.name.as_str(), points));
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    Ok(Some(overlaid("AP50 on val, per cent", "epoch", &lines).context("the curves cannot be drawn")?))
}

fn markdown(report: &CampaignReport, has_curves: bool) -> String {
    let has_test = report.groups.iter().any(|group| group.test_ap50.is_some());
    let on_test = if has_test { "; of the same weights on test" } else { "" };
    let mut text = format!(
        "# Campaign\n\nScores are per cent on val, each run's best{on_test}; means with 95 % confidence intervals over seeds.\n\n"
    );
    let (names, line) = if has_test { (" test AP50 | test AP |", " ---: | ---: |") } else { ("", "") };
    let _ = writeln!(text, "| runs | variant | parameters | GFLOPs | AP50 | AP |{names} seeds | images | time a run |");
    let _ = writeln!(text, "| --- | --- | ---: | ---: | ---: | ---: |{line} ---: | ---: | ---: |");
    let shown = |mean: &Option<Mean>| match mean {
        None => "–".to_string(),
        Some(Mean { mean, half_width: Some(width), .. }) => format!("{mean:.2} ± {width:.2}"),
        Some(Mean { mean, .. }) => format!("{mean:.2}"),
    };
    for group in &report.groups {
        let GroupReport { group, variant, parameters, gflops, ap50, ap, test_ap50, test_ap, images, seconds, planned } =
            group;
        let done = ap50.or(*seconds).map_or(0, |mean| mean.count);
        let seeds = if done == *planned { done.to_string() } else { format!("{done} of {planned}") };
        let images = images.map_or("–".into(), |images| format!("{:.0}", images.mean));
        let time = seconds.map_or("–".into(), |seconds| duration(seconds.mean));
        let (ap50, ap) = (shown(ap50), shown(ap));
        let on_test = if has_test { format!(" {} | {} |", shown(test_ap50), shown(test_ap)) } else { String::new() };
        let _ = writeln!(
            text,
            "| {group} | {variant} | {parameters} | {gflops:.4} | {ap50} | {ap} |{on_test} {seeds} | {images} | {time} |"
        );
    }
    if !report.differences.is_empty() {
        text += "\n| better | worse | AP50 more by | by chance alone (Welch's t-test) |\n| --- | --- | ---: | ---: |\n";
        for Difference { better, worse, ap50, p } in &report.differences {
            let _ = writeln!(text, "| {better} | {worse} | {ap50:.2} | {p:.3} |");
        }
    }
    if has_curves {
        text += "\n![AP50 over epochs](curves.svg)\n";
    }
    text
}

/// The runs of a plan and how far each is, for people.
///
/// # Errors
/// Fails where what is there of a run cannot be read.
pub fn list(folder: &CampaignFolder, runs: &[PlannedRun]) -> Result<Vec<[String; 4]>> {
    let row = |run: &PlannedRun| -> Result<[String; 4]> {
        let settings = Settings::from_layers(std::slice::from_ref(&run.settings))?;
        let length =
            settings.time_budget.map_or_else(|| format!("{} epochs", settings.epochs), |time| time.to_string());
        let (state, score) = match folder.state(&run.name)? {
            State::Waiting => ("to do".into(), String::new()),
            State::Begun => {
                let progress = crate::train::checkpoint::Checkpoint::progress(&folder.run(&run.name).checkpoint())?;
                let share = 100 * progress.iteration / progress.schedule.iterations.max(1);
                (format!("begun, {share} %"), progress.best.map_or(String::new(), |best| format!("{:.2}", best.ap50)))
            }
            State::Finished(end) => {
                ("finished".into(), end.best.map_or(String::new(), |best| format!("{:.2}", best.ap50)))
            }
        };
        Ok([run.name.clone(), length, state, score])
    };
    runs.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::checkpoint::Best;

    #[test]
    fn seeds_are_averaged_and_groups_compared() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CampaignFolder::new(dir.path());
        let run = |variant: &str, seed: u64| PlannedRun {
            name: format!("{variant}-s{seed}"),
            group: variant.into(),
            variant: variant.into(),
            seed,
            settings: toml::Table::new(),
        };
        let runs = [run("baseline", 0), run("baseline", 1), run("final", 0), run("final", 1), run("final", 2)];
        for (i, ap50) in [30.0, 31.0, 38.0, 39.0].into_iter().enumerate() {
            let best = Some(Best { iteration: 9, ap: ap50 / 2.0, ap50 });
            let end = Finished { iterations: 10, images: 160, seconds: 75.0, best };
            let file = folder.run(&runs[i].name).file(super::super::FINISHED);
            write_atomic(&file, &serde_json::to_vec(&end).unwrap()).unwrap();
        }
        let text = write(&folder, &runs, &[]).unwrap();
        assert!(
            text.contains("| baseline | baseline | 900459 | 1.0516 | 30.50 ± 6.35 | 15.25 ± 3.18 | 2 | 160 | 1m 15s |"),
            "{text}"
        );
        assert!(
            text.contains("| final | final | 863355 | 1.0778 | 38.50 ± 6.35 |") && text.contains("| 2 of 3 |"),
            "{text}"
        );
        assert!(text.contains("| final | baseline | 8.00 | 0.008 |"), "{text}");
        assert!(dir.path().join("report.json").is_file() && !dir.path().join("curves.svg").exists());
    }
}

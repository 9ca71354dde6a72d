//! `yolox-nano prune`: makes a trained network smaller by removing channels, in rounds with training between them.

mod report;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use shared_model::{NormState, ParameterLayout, WeightPrecision, Weights, cost};

use crate::data::formats::in_role;
use crate::data::{Difficult, Role, Source, TrainingSet};
use crate::engine::EngineChoice;
use crate::files::{TEMPORARY, write_atomic};
use crate::prune::{ChannelScores, Criterion, Limits, Measure, by_weights, select, taylor};
use crate::train::flags::Flags;
use crate::train::init::calibration;
use crate::train::interrupt::Interrupt;
use crate::train::loader::plain_batch;
use crate::train::ranks::Ranks;
use crate::train::run_folder::RunFolder;
use crate::train::settings::Settings;
use crate::train::settle_norm;
use crate::train::start::{self, Resumed};
use crate::train::trainer::{Ending, Trainer};
use crate::train::validation::Validation;
use crate::{Outcome, models};
use report::{PruneReport, Round, Score};

/// Remove channels from a trained network, and train what is left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano prune baseline-voc --to 0.8 --by l1 --out runs/pruned
      a fifth of the parameters away; no training
  yolox-nano prune final-voc --rounds 3 --epochs 10 --train VOC2007:train --out runs/pruned
      three times a bit smaller, each time trained for 10 epochs; with --val, scored, too
  yolox-nano prune final-voc --by taylor --train VOC2007:train --only-remove --out runs/pruned
      data for gradients and statistics alone
  yolox-nano eval --weights runs/pruned/pruned.safetensors --data VOC2007

The folder holds pruned.safetensors, report.json, prune.json (what was asked for), and for each round with training
round-N.safetensors (what was left, before it) and the run round-N. The settings of a training
(yolox-nano train --help) are those of every round; its network and where it begins are the pruned
one. What is left is a weight file like others: all commands and the page take it.")]
pub struct Args {
    /// The network: a weight file, or a name in models/manifest.json.
    #[arg(value_name = "WEIGHTS")]
    weights: String,
    /// What is to be left, as a part of what there is.
    #[arg(long, value_name = "PART", default_value = "0.8", value_parser = part, help_heading = "Pruning")]
    to: f64,
    /// Of what.
    #[arg(long, value_enum, default_value_t, help_heading = "Pruning")]
    of: Measure,
    /// What makes a channel important: the factor of its batch normalisation, the size of its kernel, what the loss's gradient
    /// says of it, or how far its kernel is from the others.
    #[arg(long, value_enum, default_value = "l1", help_heading = "Pruning")]
    by: Criterion,
    /// In how many steps, each followed by a training where there is --train.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Pruning")]
    rounds: u32,
    /// Channels are left in multiples of this number, for kernels compute several at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Pruning")]
    round_to: u32,
    /// Every layer keeps at least this part of its channels in a round.
    #[arg(long, value_name = "PART", default_value = "0.5", value_parser = part, help_heading = "Pruning")]
    least: f64,
    /// Training images whose gradients --by taylor looks at, and that statistics of normalisation are taken from anew.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Pruning")]
    images: u32,
    /// Train nothing: --train and --val are for gradients, statistics and scores.
    #[arg(long, help_heading = "Pruning")]
    only_remove: bool,
    /// The folder to write to, which must be new, or that of the same command, which was stopped or killed: it goes on.
    #[arg(long, value_name = "FOLDER", help_heading = "Pruning")]
    out: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

fn best_weights(folder: &RunFolder) -> Result<Weights> {
    let best = folder.best_weights();
    Ok(models::load(Some(best.to_str().context("the path of the weights is no text")?))?.weights)
}

/// Images that go through the network at once for gradients.
const TAYLOR_BATCH: usize = 8;

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part < 1.0 => Ok(part),
        _ => Err("a number between 0 and 1 is needed, such as 0.8".into()),
    }
}

/// # Errors
/// Fails where weights or data cannot be read, the network cannot become so small, or a training fails.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let given = args.flags.given()?;
    for key in ["variant", "init", "classes", "overfit"] {
        ensure!(!given.contains_key(key), "--{key} cannot be given: it is the pruned network that is trained");
    }
    let models::Named { name, weights } = models::load(Some(&args.weights))?;
    let pruning = Pruning { args, name, given };
    let asked = pruning.asked(&weights)?;
    let is_begun = std::fs::read_to_string(args.out.join(ASKED)).is_ok_and(|before| before == asked);
    ensure!(
        is_begun || is_unused(&args.out),
        "{} is there already: name another folder with --out",
        args.out.display()
    );
    let pruned = args.out.join(PRUNED);
    if is_begun && pruned.is_file() {
        writeln!(out, "this is done already: {}", pruned.display())?;
        return Ok(Outcome::Complete);
    }
    let settings = pruning.settings(&weights, Path::new(&args.weights))?;
    if settings.is_none() {
        ensure!(args.by != Criterion::Taylor, "--by taylor takes gradients of images: name some with --train");
        ensure!(
            pruning.given.keys().all(|key| ["val", "threads"].contains(&key.as_str())),
            "there is nothing to train with: name images with --train"
        );
    }
    let threads = match &settings {
        Some(settings) => settings.threads,
        None => pruning.given.get("threads").and_then(toml::Value::as_integer).and_then(|n| usize::try_from(n).ok()),
    };
    super::use_threads(threads)?;
    write_atomic(&args.out.join(ASKED), asked.as_bytes())?;
    pruning.run(weights, settings, out)
}

/// What was asked for, in the folder.
const ASKED: &str = "prune.json";

/// What there is at the end.
const PRUNED: &str = "pruned.safetensors";

/// Whether there is nothing in a folder, but for what a process left that failed or was killed before it had any weights.
fn is_unused(folder: &Path) -> bool {
    let is_of_a_start = |name: std::ffi::OsString| name == ASKED || name.to_string_lossy().starts_with(TEMPORARY);
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| is_of_a_start(entry.file_name()))),
        Err(_) => !folder.exists(),
    }
}

struct Pruning<'a> {
    args: &'a Args,
    /// Of the weights.
    name: String,
    /// The settings of a training.
    given: toml::Table,
}

impl Pruning<'_> {
    /// All that the result depends on, as JSON.
    fn asked(&self, weights: &Weights) -> Result<String> {
        let sha256 = models::sha256(&weights.to_bytes(WeightPrecision::Single)?);
        let Args { least, images, only_remove, .. } = self.args;
        let asked = json!({
            "pruning": self.record(), "least": least, "images": images, "only_remove": only_remove,
            "settings": self.given, "sha256": sha256,
        });
        Ok(serde_json::to_string_pretty(&asked)? + "\n")
    }

    /// The settings of a training of `weights`, which lie in `file`; `None` without images to train on.
    fn settings(&self, weights: &Weights, file: &Path) -> Result<Option<Settings>> {
        if !self.given.contains_key("train") {
            return Ok(None);
        }
        let mut all = self.given.clone();
        all.insert("variant".into(), weights.metadata.variant.clone().into());
        all.insert("init".into(), file.to_str().context("the path of the weights is no text")?.into());
        all.insert("classes".into(), weights.metadata.class_names.clone().into());
        all.entry("size").or_insert((weights.metadata.input_size as i64).into());
        Ok(Some(Settings::from_layers(&[all])?))
    }

    fn validation(&self, weights: &Weights) -> Result<Option<Validation>> {
        let Some(sources) = self.given.get("val").and_then(toml::Value::as_array) else { return Ok(None) };
        let source = |value: &toml::Value| value.as_str().unwrap_or_default().parse::<Source>();
        let sources = sources.iter().map(source).collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
        let sources = in_role(&sources, Role::Val)?;
        let set = TrainingSet::open(&sources, Some(&weights.metadata.class_names), Difficult::Learn)?;
        Ok(Some(Validation::new(&set)))
    }

    fn run(&self, mut weights: Weights, settings: Option<Settings>, out: &mut dyn Write) -> Result<Outcome> {
        let Args { to, of, rounds, out: folder, .. } = self.args;
        // Changes of the loss are of the same kind in all layers.
        let comparable = self.args.by == Criterion::Taylor;
        let limits = Limits { multiple: self.args.round_to as usize, least: self.args.least, comparable };
        let trains = settings.is_some() && !self.args.only_remove;
        let interrupt = if trains { Interrupt::listen()? } else { Interrupt::default() };
        let validation = self.validation(&weights)?;
        let size = weights.metadata.input_size;
        let (full, original) = (weights.graph()?, weights.metadata.clone());
        let before = cost(&full, size, size);
        let score = |weights: &Weights| -> Result<Option<Score>> {
            let Some(validation) = &validation else { return Ok(None) };
            let mean = validation.score(weights)?.report.mean;
            Ok(Some(Score { ap: mean.ap_11, ap50: mean.ap50_11 }))
        };
        let mut report = PruneReport::new(self.name.clone(), self.args, score(&weights)?);
        for round in 1..=*rounds {
            let goal = of.of(&before) * to.powf(f64::from(round) / f64::from(*rounds));
            let graph = weights.graph()?;
            let scores = self.scores(&weights, settings.as_ref())?;
            let removed = select(&graph, &scores, *of, goal, limits, size)?;
            weights = weights.without(&removed)?;
            if let Some(settings) = &settings {
                weights = self.with_new_statistics(weights, settings)?;
            }
            weights.metadata.source = self.source(&original.source);
            weights.metadata.training = original.training.clone().map(|mut training| {
                // That score was the whole network's.
                if let Some(all) = training.as_object_mut() {
                    all.remove("best_on_val");
                    all.insert("pruning".into(), self.record());
                }
                training
            });
            let after = cost(&weights.graph()?, size, size);
            let mut row = Round::new(round, &after, score(&weights)?);
            row.tell(out)?;
            if let Some(settings) = settings.as_ref().filter(|_| trains) {
                let left = folder.join(format!("round-{round}.safetensors"));
                write_atomic(&left, &weights.to_bytes(WeightPrecision::Single)?)?;
                let run = folder.join(format!("round-{round}"));
                match self.train(settings, &weights, &left, &run, interrupt.clone(), out)? {
                    Some(trained) => weights = trained,
                    None => {
                        writeln!(out, "stopped in round {round} of {rounds}: the same command goes on")?;
                        return Ok(Outcome::Partial);
                    }
                }
                row.trained = score(&weights)?;
                row.tell(out)?;
            }
            report.rounds.push(row);
        }
        report.compare(&full, &weights.graph()?, size);
        write_atomic(&folder.join("report.json"), &serde_json::to_vec_pretty(&report)?)?;
        // Last of all: they say that everything is done.
        let path = folder.join(PRUNED);
        write_atomic(&path, &weights.to_bytes(WeightPrecision::Single)?)?;
        report.print(out)?;
        writeln!(out, "{}", path.display())?;
        Ok(Outcome::Complete)
    }

    /// How much each channel matters.
    fn scores(&self, weights: &Weights, settings: Option<&Settings>) -> Result<ChannelScores> {
        let Some(settings) = settings.filter(|_| self.args.by == Criterion::Taylor) else {
            return by_weights(weights, self.args.by);
        };
        ensure!(
            weights.metadata.norm == NormState::Separate,
            "{}: batch normalisation is folded into these weights: take another --by, or train them first",
            self.name
        );
        let set = start::training_set(settings)?;
        let count = set.items.len().min(self.args.images as usize);
        let images: Vec<usize> = (0..count).map(|i| i * set.items.len() / count).collect();
        let batches = images.chunks(TAYLOR_BATCH).map(|images| plain_batch(&set, images, settings.size));
        let choice: EngineChoice = settings.engine_choice();
        taylor(weights, choice.engine(&weights.graph()?)?.as_mut(), batches, &settings.loss_settings(false))
    }

    /// Statistics of batch normalisation as they are without the channels that have left. Weights that have lost theirs stay as
    /// they are.
    fn with_new_statistics(&self, weights: Weights, settings: &Settings) -> Result<Weights> {
        if weights.metadata.norm == NormState::Fused {
            return Ok(weights);
        }
        let graph = weights.graph()?;
        let layout = ParameterLayout::new(&graph);
        let mut parameters = layout.flatten(&weights);
        let set = start::training_set(settings)?;
        let batches = calibration(&set, settings.size, self.args.images as usize)?;
        settle_norm(settings.engine_choice().engine(&graph)?.as_mut(), &graph, &mut parameters, &batches)?;
        Ok(layout.weights(&parameters, weights.metadata))
    }

    /// Trains `weights`, which lie in `file`, in the folder `run`, or goes on with that; the best ones, `None` where somebody
    /// stops it.
    fn train(
        &self,
        settings: &Settings,
        weights: &Weights,
        file: &Path,
        run: &Path,
        interrupt: Interrupt,
        out: &mut dyn Write,
    ) -> Result<Option<Weights>> {
        let settings = self.settings(weights, file)?.unwrap_or_else(|| settings.clone());
        let engine = |graph: &shared_model::Graph, settings: &Settings| settings.engine_choice().engine(graph);
        let folder = RunFolder::existing(run);
        let run = match folder.checkpoint().is_file() {
            false => start::new_run(settings, Some(run), &engine)?,
            true => match start::resumed_run(run, toml::Table::new(), &engine, |_| Ok(()))? {
                Resumed::Ready(run) => run,
                Resumed::Complete(_) => return best_weights(&folder).map(Some),
            },
        };
        for line in run.introduction() {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        let mut trainer = Trainer::new(run.parts, run.checkpoint, Ranks::alone(), interrupt)?;
        match trainer.train()? {
            Ending::Interrupted => Ok(None),
            Ending::Learned => bail!("--overfit learns images by heart: it is for no pruning"),
            Ending::Finished => best_weights(&folder).map(Some),
        }
    }

    /// Where weights come from, in a sentence.
    fn source(&self, before: &str) -> String {
        let Args { to, of, by, .. } = self.args;
        format!("{before}; pruned to {to} of its {} by {}", report::name(of), report::name(by))
    }

    fn record(&self) -> serde_json::Value {
        let Args { to, of, by, rounds, round_to, .. } = self.args;
        let (of, by) = (report::name(of), report::name(by));
        json!({ "weights": self.name, "to": to, "of": of, "by": by, "rounds": rounds, "round_to": round_to })
    }
}

//! `yolox-nano train`: trains a network, or goes on with it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use shared_model::Graph;

use crate::Outcome;
use crate::data::images::Images;
use crate::engine::Engine;
use crate::train::flags::Flags;
use crate::train::follower::follow;
use crate::train::interrupt::Interrupt;
use crate::train::loader::LoaderSettings;
use crate::train::machine;
use crate::train::ranks::Ranks;
use crate::train::schedule::Schedule;
use crate::train::settings::Settings;
use crate::train::start::{self, Resumed};
use crate::train::trainer::{Ending, Trainer};

/// Train a network on images with labelled boxes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano train --overfit 16 --train VOC2007:trainval
      can it learn at all? 16 images by heart, in some minutes
  yolox-nano train --train VOC2007:train --val VOC2007:val --epochs 300 --batch 64
      from scratch, as the reference recipe does
  yolox-nano train --init baseline-coco --train VOC2007:train --val VOC2007:val --epochs 12
      from other weights, whatever their classes; --variant final takes over what fits
  yolox-nano train --train VOC2007:train --val VOC2007:val --time-budget 150m --size 320
      as well as 150 minutes allow
  yolox-nano train --train VOC2007:train --val VOC2007:val --batch 64 --device cuda
      on an NVIDIA GPU; yolox-nano gpu-check says whether it works, and how fast
  mpirun -n 2 --bind-to none yolox-nano train --train VOC2007:train --val VOC2007:val --batch 8 --threads 1
      two processes, on one machine or two, of a program with the feature `mpi`: docs/scale.md
  yolox-nano train --train VOC2007.tar:train --val VOC2007.tar:val
      from an archive of the folder, as it is
  yolox-nano train --resume runs/baseline
      go on after Ctrl-C or a crash; with --epochs 400, until there are 400 in all
  yolox-nano train --config runs/baseline/config.toml --seed 1 --out runs/second
      the same again, but for the seed

The folder of the run holds config.toml, metrics.jsonl, event files for TensorBoard, curves.svg, a report about the best
weights, checkpoint.safetensors, and in weights/ the last, the best, and the last with mosaic: the mean over some time,
which is what you want, and raw. A configuration file has the flags' names as keys (epochs = 12), and [augmentation].")]
pub struct Args {
    /// Settings from a TOML file; flags go before it.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    config: Option<PathBuf>,
    /// The folder of the run, which must be new [default: runs/VARIANT].
    #[arg(long, value_name = "FOLDER", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Go on with a run. Its settings stay; only --epochs, --time-budget, --eval-every, --checkpoint-every, --device,
    /// --engine, --precision, --threads and --cache can be given anew, and --train and --val where the data were moved. Of a
    /// run that is complete, it says so.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["config", "out"], help_heading = "Run")]
    resume: Option<PathBuf>,
    /// Train nothing: write the first batches as the network would see them, with their boxes, to this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "resume"], help_heading = "Run")]
    dry_run_augment: Option<PathBuf>,
    /// Stop, as after Ctrl-C, when standard input ends: so `yolox-nano campaign` starts trainings.
    #[arg(long, hide = true)]
    until_input_ends: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Batches that `--dry-run-augment` writes.
const DRY_RUN_BATCHES: usize = 3;
/// Settings that may change when a run goes on: the others would make it another run. The training set may have another
/// place, but not another content.
const RESUMABLE: [&str; 11] = [
    "train",
    "val",
    "epochs",
    "time-budget",
    "eval-every",
    "checkpoint-every",
    "device",
    "engine",
    "precision",
    "threads",
    "cache",
];

/// # Errors
/// Fails where settings, data or weights do not fit, the run's folder cannot be written, or training diverges.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let ranks = Ranks::join()?;
    if ranks.index() > 0 {
        // The first process is told to stop, and tells the others.
        Interrupt::listen()?;
        follow(&ranks, &engine, |settings| super::use_threads(settings.threads).map(drop))?;
        return Ok(Outcome::Complete);
    }
    let run = match &args.resume {
        Some(folder) => match resumed(folder, &args.flags)? {
            Resumed::Ready(run) => {
                ranks.check(&run.checkpoint.progress.settings)?;
                run
            }
            Resumed::Complete(what) => {
                writeln!(out, "{what}")?;
                return Ok(Outcome::Complete);
            }
        },
        None => {
            let settings = settings(args, &ranks)?;
            ranks.check(&settings)?;
            super::use_threads(settings.threads)?;
            if let Some(folder) = &args.dry_run_augment {
                return dry_run(settings, folder, out);
            }
            start::new_run(settings, args.out.as_deref(), &engine)?
        }
    };
    let interrupt = Interrupt::listen()?;
    if args.until_input_ends {
        interrupt.at_end_of_input();
    }
    for line in run.introduction() {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    let folder = run.parts.folder.clone();
    let mut trainer = Trainer::new(run.parts, run.checkpoint, ranks, interrupt)?;
    let ending = trainer.train()?;
    match trainer.best() {
        Some(best) => writeln!(
            out,
            "best: AP50 {:.2}, AP {:.2} in iteration {} ({})",
            best.ap50,
            best.ap,
            best.iteration,
            folder.best_weights().display()
        )?,
        None => writeln!(out, "the weights are {}", folder.best_weights().display())?,
    }
    let progress = trainer.progress();
    match ending {
        Ending::Interrupted => {
            writeln!(
                out,
                "stopped after iteration {} of {}; go on with\n  {}",
                progress.iteration,
                progress.schedule.iterations,
                folder.resume_command()
            )?;
            Ok(Outcome::Partial)
        }
        Ending::Learned => {
            writeln!(out, "the images are learned: data, loss and gradients work")?;
            Ok(Outcome::Complete)
        }
        Ending::Finished => {
            if let Some(images) = progress.settings.overfit {
                bail!(trainer.why_not_learned(images)?);
            }
            Ok(Outcome::Complete)
        }
    }
}

fn engine(graph: &Graph, settings: &Settings) -> Result<Box<dyn Engine>> {
    settings.engine_choice().engine(graph)
}

/// The settings of a new run.
fn settings(args: &Args, ranks: &Ranks) -> Result<Settings> {
    let flags = args.flags.given()?;
    let read = |given: &[toml::Table]| {
        // A batch for each process.
        let shared =
            (ranks.count() > 1).then(|| toml::Table::from_iter([("accumulate".into(), (ranks.count() as i64).into())]));
        let layers: Vec<_> = shared.into_iter().chain(given.iter().cloned()).collect();
        match machine::free_memory() {
            Some(free) => machine::settings(&layers, free),
            None => Settings::from_layers(&layers),
        }
    };
    let Some(path) = &args.config else { return read(&[flags]) };
    let name = || format!("the configuration file {}", path.display());
    let file: toml::Table = fs::read_to_string(path).with_context(name)?.parse().with_context(name)?;
    read(&[file, flags]).with_context(|| format!("{}, with the flags", name()))
}

fn resumed(folder: &Path, flags: &Flags) -> Result<Resumed> {
    let given = flags.given()?;
    if let Some(flag) = given.keys().find(|key| !RESUMABLE.contains(&key.as_str())) {
        bail!(
            "--{flag} cannot be changed when a run goes on: start a new one from its weights with --init {}",
            folder.join("weights/last-raw.safetensors").display()
        );
    }
    start::resumed_run(folder, given, &engine, |settings| super::use_threads(settings.threads).map(|_| ()))
}

fn dry_run(settings: Settings, folder: &Path, out: &mut dyn Write) -> Result<Outcome> {
    let set = start::training_set(&settings)?;
    let plan = settings.plan(set.items.len())?;
    let per_epoch = plan.iterations_per_epoch();
    let schedule = Schedule::new(per_epoch, settings.epochs * per_epoch, settings.stage_lengths());
    let loader = LoaderSettings { seed: settings.seed, threads: rayon::current_num_threads(), prefetch: 1 };
    let images = Arc::new(Images::new(Arc::new(set), 0));
    let batch = move |i| Some(plan.batch(i, &schedule));
    let files = crate::train::dry_run(images, settings.augmentation, loader, DRY_RUN_BATCHES, batch, folder)?;
    for file in files {
        writeln!(out, "{}", file.display())?;
    }
    Ok(Outcome::Complete)
}

//! `yolox-nano campaign`: many trainings from one plan.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::Outcome;
use crate::campaign::lanes::{self, LaneSettings};
use crate::campaign::{CampaignFolder, parcels, plan, report, slurm, test_score};
use crate::files::write_atomic;
use crate::table::table;
use crate::train::interrupt::Interrupt;
use crate::train::text::TimeSpan;

/// Train what a plan lists: variants, seeds and recipes, several at once, as long as there is time, and go on another day.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano campaign plan.toml --lanes 2
      all runs of the plan, two at a time; the same command goes on after Ctrl-C or a crash
  yolox-nano campaign plan.toml --lanes 4 --for 9m --pack out/ --max-mib 15
      on a machine that is lent for ten minutes: everything has stopped in time, and lies in out/ in small files
  yolox-nano campaign plan.toml --unpack out/
      the same runs on another machine, where the first command then goes on
  yolox-nano campaign plan.toml --list
      the runs, and how far each is
  yolox-nano campaign plan.toml --slurm plan.sbatch --for 55m
      a batch script for a cluster: sbatch --gpus=1 --cpus-per-task=8 plan.sbatch
  yolox-nano campaign plan.toml --report
      means over seeds with their confidence, differences and their significance, curves; where the plan
      names images for it (test = [\"VOC2007:test\"], above [defaults]), scores of each run's best weights on them

A plan is a TOML file. Keys are the flags of yolox-nano train:

  [defaults]
  train = [\"VOC2007:train\"]
  val = [\"VOC2007:val\"]
  epochs = 80
  batch = 64

  [[runs]]
  variants = [\"baseline\", \"final\"]
  seeds = [0, 1, 2]

  [[runs]]
  name = \"slow\"
  variants = [\"final\"]
  lr = 0.002

Runs are called baseline-s0, slow-final-s0 and so on; their folders are in runs/ of the campaign's
folder, each with a log beside it. A run that has come to its end leaves its weights, metrics, curves and
report, and no checkpoint. The exit code is 0 where nothing failed, whether or not something is left.")]
pub struct Args {
    /// A TOML file: settings for all runs, and tables of runs as above.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// The campaign's folder [default: the plan's name without .toml, beside it].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Trainings at once. On a GPU, start NVIDIA's MPS first (nvidia-cuda-mps-control -d).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// End in time (9m, 2h 30m): trainings that are not through write a checkpoint.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<TimeSpan>,
    /// Of the plan's runs, only this; may be given several times.
    #[arg(long, value_name = "RUN")]
    only: Vec<String>,
    /// Write a batch script for Slurm, with a task for each run that stops after --for and queues itself again; train nothing.
    #[arg(long, value_name = "FILE", requires = "time", conflicts_with_all = ["lanes", "list", "report", "pack", "unpack"])]
    slurm: Option<PathBuf>,
    /// List the runs and how far each is; train nothing.
    #[arg(long, conflicts_with_all = ["lanes", "time", "report"])]
    list: bool,
    /// Score finished runs on the plan's test images, write report.md, report.json and curves.svg; train nothing.
    #[arg(long, conflicts_with_all = ["lanes", "time"])]
    report: bool,
    /// At the end, put all runs into files of at most --max-mib each, in this folder, which must have none of them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "unpack")]
    pack: Option<PathBuf>,
    /// Size of these files in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 15, requires = "pack", value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_mib: u32,
    /// Bring back what --pack made; train nothing.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["lanes", "time", "list", "report"])]
    unpack: Option<PathBuf>,
}

/// # Errors
/// Fails where the plan is none, a file cannot be read or written, or a process cannot be started.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let plan::Plan { runs: planned, test } = plan::read(&args.plan)?;
    if let Some(unknown) = args.only.iter().find(|name| planned.iter().all(|run| run.name != **name)) {
        bail!("--only {unknown}: the plan has no such run; --list shows them");
    }
    let is_asked_for = |run: &&plan::PlannedRun| args.only.is_empty() || args.only.contains(&run.name);
    let runs: Vec<_> = planned.iter().filter(is_asked_for).cloned().collect();
    let folder = CampaignFolder::new(&args.out.clone().unwrap_or_else(|| args.plan.with_extension("")));
    if let Some(from) = &args.unpack {
        return unpack(&folder, from, out);
    }
    if args.list {
        let mut rows = table(&["run", "length", "state", "AP50 on val"], 3);
        rows.add_rows(report::list(&folder, &runs)?);
        writeln!(out, "{rows}")?;
        return Ok(Outcome::Complete);
    }
    if let (Some(script), Some(TimeSpan(time))) = (&args.slurm, args.time) {
        std::fs::create_dir_all(folder.runs())
            .with_context(|| format!("{} cannot be made", folder.runs().display()))?;
        write_atomic(script, slurm::script(&program()?, &args.plan, &folder, &runs, time)?.as_bytes())?;
        writeln!(
            out,
            "{} tasks are in {}: give it to sbatch, with the GPUs and cores of each",
            runs.len(),
            script.display()
        )?;
        return Ok(Outcome::Complete);
    }
    let mut outcome = Outcome::Complete;
    if args.report {
        test_score::score_all(&folder, &planned, &test, out)?;
        write!(out, "{}", report::write(&folder, &planned, &test)?)?;
        writeln!(out, "\nwritten to {}", folder.path().display())?;
    } else {
        outcome = train(args, &folder, &runs, || report::write(&folder, &planned, &test).map(drop), out)?;
    }
    if let Some(to) = &args.pack {
        let files = parcels::pack(&folder, to, args.max_mib as usize * (1 << 20))?;
        writeln!(out, "packed into {} files in {}", files.len(), to.display())?;
    }
    Ok(outcome)
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().context("this program does not know where it is")
}

fn train(
    args: &Args,
    folder: &CampaignFolder,
    runs: &[plan::PlannedRun],
    write_report: impl FnOnce() -> Result<()>,
    out: &mut dyn Write,
) -> Result<Outcome> {
    let lanes = usize::from(args.lanes);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = LaneSettings {
        program: program()?,
        lanes,
        threads: (cores / lanes).max(1),
        time: args.time.map(|TimeSpan(time)| time),
    };
    std::fs::create_dir_all(folder.runs()).with_context(|| format!("{} cannot be made", folder.runs().display()))?;
    let interrupt = Interrupt::listen()?;
    writeln!(
        out,
        "{} runs in {}, {lanes} at once, threads of each: {}",
        runs.len(),
        folder.path().display(),
        settings.threads
    )?;
    out.flush()?;
    let summary = lanes::run(folder, runs, &settings, &interrupt)?;
    write_report()?;
    let lanes::Summary { finished, left, failed } = &summary;
    writeln!(
        out,
        "{finished} of {} runs are finished; report: {}",
        runs.len(),
        folder.path().join("report.md").display()
    )?;
    if *left > 0 {
        writeln!(out, "{left} are left: the same command goes on")?;
    }
    for (name, why) in failed {
        writeln!(out, "{name} failed: {why}")?;
    }
    Ok(if failed.is_empty() { Outcome::Complete } else { Outcome::Partial })
}

fn unpack(folder: &CampaignFolder, from: &Path, out: &mut dyn Write) -> Result<Outcome> {
    let (count, incomplete) = parcels::unpack(folder, from)?;
    writeln!(out, "{count} files are in {}", folder.runs().display())?;
    for file in &incomplete {
        writeln!(out, "{file} is incomplete: a parcel is missing")?;
    }
    Ok(if incomplete.is_empty() { Outcome::Complete } else { Outcome::Partial })
}

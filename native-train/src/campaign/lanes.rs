//! Several trainings at once, each a process of its own: `yolox-nano train`, which goes on from its checkpoint and stops in good
//! order when its standard input ends. So nothing outlives the campaign, however that ends, and a training that fails takes no other
//! along.
//!
//! Processes and not threads, because they use a GPU better: four at once under NVIDIA's MPS trained 4,210 images/s on an H200,
//! four without it 3,380, one alone 2,120 to 2,400.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Seek, SeekFrom, stderr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plan::PlannedRun;
use super::{CampaignFolder, State};
use crate::files::write_atomic;
use crate::train::checkpoint::Checkpoint;
use crate::train::console::duration;
use crate::train::interrupt::Interrupt;

/// Time between two looks at the lanes.
const POLL: Duration = Duration::from_millis(200);
/// Time between two lines of a lane in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(60);
/// Time that trainings get for the iteration that they are in and their checkpoint, of the campaign's time or, at least, of this.
const GRACE: Duration = Duration::from_secs(30);
/// With less time left, no training is started.
const TOO_SHORT: Duration = Duration::from_secs(20);
/// What of a log's end is looked at.
const TAIL: u64 = 4096;

/// How a campaign is run.
#[derive(Clone, Debug)]
pub struct LaneSettings {
    /// The program that trains: this one.
    pub program: PathBuf,
    /// Trainings at once.
    pub lanes: usize,
    /// Threads of each, where its settings say nothing.
    pub threads: usize,
    /// Time until everything must have ended.
    pub time: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs that have come to their end, now or before.
    pub finished: usize,
    /// Runs that go on the next time.
    pub left: usize,
    /// Runs that failed, and why.
    pub failed: Vec<(String, String)>,
}

/// A training that is running.
struct Lane {
    run: PlannedRun,
    child: Child,
    /// Its end asks the training to stop.
    stdin: Option<ChildStdin>,
    log: PathBuf,
    bar: ProgressBar,
    last_line: Instant,
}

/// Runs what is left of `runs`, in their order, until all have ended, the time is over, or somebody interrupts.
///
/// # Errors
/// Fails where processes cannot be started, or files not written; a training that fails is in the summary.
pub fn run(
    folder: &CampaignFolder,
    runs: &[PlannedRun],
    settings: &LaneSettings,
    interrupt: &Interrupt,
) -> Result<Summary> {
    let start = Instant::now();
    let grace = settings.time.map(|time| GRACE.min(time / 4));
    let stop_at = settings.time.zip(grace).map(|(time, grace)| start + time.saturating_sub(grace));
    let mut summary = Summary::default();
    let mut waiting = VecDeque::new();
    for run in runs {
        match folder.state(&run.name)? {
            State::Finished(_) => {
                // A campaign may have been killed in the middle of that.
                folder.tidy(&run.name)?;
                summary.finished += 1;
            }
            State::Begun => waiting.push_front(run.clone()),
            State::Waiting => waiting.push_back(run.clone()),
        }
    }
    let screen = MultiProgress::new();
    let mut lanes: Vec<Lane> = Vec::new();
    loop {
        let is_over = interrupt.asked() || stop_at.is_some_and(|at| Instant::now() >= at);
        let is_short = stop_at
            .is_some_and(|at| at.saturating_duration_since(Instant::now()) < TOO_SHORT.min(grace.unwrap_or(TOO_SHORT)));
        if is_over {
            // Their standard input ends.
            lanes.iter_mut().for_each(|lane| lane.stdin = None);
        } else if !is_short {
            while lanes.len() < settings.lanes {
                let Some(run) = waiting.pop_front() else { break };
                lanes.push(Lane::start(folder, run, settings, &screen)?);
            }
        }
        if lanes.is_empty() && (waiting.is_empty() || is_over || is_short) {
            break;
        }
        std::thread::sleep(POLL);
        let is_late = settings.time.is_some_and(|time| start.elapsed() > time);
        let mut running = Vec::new();
        for mut lane in lanes {
            if is_late {
                // Its checkpoint is at most a minute old.
                lane.child.kill().context("a training cannot be ended")?;
            }
            let Some(status) = lane.child.try_wait().context("a training cannot be waited for")? else {
                lane.show(&screen);
                running.push(lane);
                continue;
            };
            lane.bar.finish_and_clear();
            let was_asked = lane.stdin.is_none() || is_late;
            match (status.success(), was_asked) {
                (true, _) => {
                    let finished = lane.finish(folder)?;
                    summary.finished += 1;
                    say(&screen, &format!("{}: {finished}", lane.run.name));
                }
                (false, true) => summary.left += 1,
                (false, false) => {
                    let why = lane.why();
                    say(&screen, &format!("{} FAILED: {why}", lane.run.name));
                    summary.failed.push((lane.run.name, why));
                }
            }
        }
        lanes = running;
    }
    summary.left += waiting.len();
    Ok(summary)
}

/// Says something that stays.
fn say(screen: &MultiProgress, text: &str) {
    if stderr().is_terminal() {
        // Nobody is left to tell where standard error is closed.
        drop(screen.println(text));
    } else {
        eprintln!("{text}");
    }
}

impl Lane {
    fn start(
        folder: &CampaignFolder,
        run: PlannedRun,
        settings: &LaneSettings,
        screen: &MultiProgress,
    ) -> Result<Self> {
        // A training of a campaign that was killed may be about to write its last checkpoint.
        let locked = folder.run(&run.name).locked();
        let path = locked.path();
        let mut command = Command::new(&settings.program);
        command.arg("train");
        if folder.state(&run.name)? == State::Begun {
            command.arg("--resume").arg(path);
        } else {
            // What was killed before its first checkpoint begins anew.
            if path.exists() {
                std::fs::remove_dir_all(path).with_context(|| format!("{} cannot be removed", path.display()))?;
            }
            let config = folder.config(&run.name);
            write_atomic(&config, toml::to_string_pretty(&run.settings)?.as_bytes())?;
            command.arg("--config").arg(config).arg("--out").arg(path);
        }
        if !run.settings.contains_key("threads") {
            command.args(["--threads", &settings.threads.to_string()]);
        }
        let log = folder.log(&run.name);
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let file = open().with_context(|| format!("{} cannot be written", log.display()))?;
        command.arg("--until-input-ends").stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        // Ctrl-C is for the campaign, which then tells its trainings: twice would end them at once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        drop(locked);
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", settings.program.display()))?;
        let stdin = child.stdin.take();
        let bar = screen.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{prefix:24} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(run.name.clone());
        bar.set_message("starting");
        Ok(Self { run, child, stdin, log, bar, last_line: Instant::now() })
    }

    /// Shows where the training is.
    fn show(&mut self, screen: &MultiProgress) {
        let lines = tail(&self.log).unwrap_or_default();
        let Some(line) = lines.lines().rev().find(|line| line.starts_with("epoch ")) else { return };
        self.bar.set_message(line.to_string());
        if !stderr().is_terminal() && self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            say(screen, &format!("{}: {line}", self.run.name));
        }
    }

    /// Closes the run; what it came to, in a few words.
    fn finish(&self, folder: &CampaignFolder) -> Result<String> {
        let checkpoint = folder.run(&self.run.name).checkpoint();
        ensure!(checkpoint.is_file(), "{} has ended without a checkpoint: see {}", self.run.name, self.log.display());
        let finished = folder.finish(&self.run.name, &Checkpoint::progress(&checkpoint)?)?;
        let score = finished.best.map_or(String::new(), |best| format!("AP50 {:.2}, AP {:.2}; ", best.ap50, best.ap));
        Ok(format!("{score}{} iterations in {}", finished.iterations, duration(finished.seconds)))
    }

    /// Why the training failed: the last thing that it said.
    fn why(&self) -> String {
        let text = tail(&self.log).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        format!("{} ({})", last.trim_start_matches("error: "), self.log.display())
    }
}

/// The end of a text file.
fn tail(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

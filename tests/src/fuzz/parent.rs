//! Has processes read inputs, and looks after them.

use std::io::{BufRead, BufReader, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Reader;
use super::child::{Failing, Origin, Said};

/// An input after which nothing is heard for so long hangs.
const SILENCE: Duration = Duration::from_secs(15);

/// Enough failures of one reader to work on.
const MOST_FAILURES: usize = 20;

/// No process takes more address space, in KiB, so that an input cannot take the machine down.
const MOST_ADDRESSES: u64 = 6 << 20;

/// Bytes of a process's last words that are kept.
const LAST_WORDS: usize = 400;

/// An input that something is wrong with.
#[derive(Clone, Debug)]
pub struct Failure {
    pub number: u64,
    /// What happened.
    pub what: Failing,
}

/// What became of a reader's inputs.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Inputs that were read.
    pub inputs: u64,
    /// How many of them were of any use.
    pub accepted: u64,
    /// How long that took.
    pub time: Duration,
    /// Longest time that an input took, of those that came to an end.
    pub slowest: Duration,
    /// Most memory that an input took, in bytes, of the same.
    pub largest: usize,
    /// The first of each kind.
    pub failures: Vec<Failure>,
    /// How many failed in all.
    pub failed: u64,
}

impl Outcome {
    fn add(&mut self, number: u64, what: Failing) {
        self.failed += 1;
        if !self.failures.iter().any(|known| known.what.is_like(&what)) {
            self.failures.push(Failure { number, what });
        }
    }
}

/// Reads the inputs of these numbers by processes of `program`, which [`super::child::work`]s. `progress` is told every
/// number; where it returns false, that is all.
///
/// # Errors
/// Fails where a process cannot be started, or says what it should not.
pub fn run(
    program: &Path,
    reader: &Reader,
    origin: &Origin,
    numbers: Range<u64>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut outcome = Outcome::default();
    let mut left = numbers;
    while !left.is_empty() && outcome.failures.len() < MOST_FAILURES {
        match Process::start(program, reader, origin, &left)?.follow(&mut outcome, progress)? {
            // Another process goes on behind the input that this one died of.
            Some(number) => left.start = number + 1,
            None => break,
        }
    }
    outcome.time = start.elapsed();
    Ok(outcome)
}

struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Standard error.
    words: std::fs::File,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(program: &Path, reader: &Reader, origin: &Origin, numbers: &Range<u64>) -> Result<Self> {
        let words = tempfile::tempfile()?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -v {MOST_ADDRESSES}; exec \"$@\"")).arg("sh").arg(program);
        command.args(["--work", reader.name]).arg(format!("{}..{}", numbers.start, numbers.end));
        match origin {
            Origin::Seed(seed) => command.args(["--seed", &seed.to_string()]),
            Origin::Files(files) => command.arg("--files").args(files),
        };
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words.try_clone()?);
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let out = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines, words })
    }

    /// Listens to the end. Returns the number of the input that the process died of.
    fn follow(mut self, outcome: &mut Outcome, progress: &mut dyn FnMut(u64) -> bool) -> Result<Option<u64>> {
        let mut reading = None;
        loop {
            let line = match self.lines.recv_timeout(SILENCE) {
                Ok(line) => line,
                Err(error) => {
                    let number = reading.with_context(|| format!("the process did nothing: {}", self.last_words()))?;
                    let hangs = error == RecvTimeoutError::Timeout;
                    outcome.add(number, if hangs { Failing::Hangs } else { Failing::Dies(self.last_words()) });
                    return Ok(Some(number));
                }
            };
            match serde_json::from_str(&line).with_context(|| format!("the process says {line:?}"))? {
                Said::Begins(number) => {
                    reading = Some(number);
                    outcome.inputs += 1;
                    if !progress(number) {
                        return Ok(None);
                    }
                }
                Said::Ends { accepted, seconds, bytes, failing } => {
                    outcome.accepted += u64::from(accepted);
                    outcome.slowest = outcome.slowest.max(Duration::from_secs_f64(seconds));
                    outcome.largest = outcome.largest.max(bytes);
                    if let Some((number, failing)) = reading.zip(failing) {
                        outcome.add(number, failing);
                    }
                }
                Said::Through => return Ok(None),
            }
        }
    }

    /// How the process ended, and the end of what it said on standard error.
    fn last_words(&mut self) -> String {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut text = Vec::new();
        let _ = self.words.rewind().and_then(|()| self.words.read_to_end(&mut text));
        let text = &text[text.len().saturating_sub(LAST_WORDS)..];
        format!("{status}: {}", String::from_utf8_lossy(text).trim())
    }
}

//! The process that reads damaged input: its parent sees it panic, hang, run out of memory or die, and goes on.

use std::cell::RefCell;
use std::fmt;
use std::io::{Write, stdout};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Reader;
use super::corpus::Corpus;

/// Longest that an input may take, of the processors' time: that of the clock depends on what else a machine does.
pub const MOST_TIME: Duration = Duration::from_secs(2);

/// Most memory that reading an input may take, in bytes.
pub const MOST_MEMORY: usize = 1 << 30;

/// The stack of threads, as in Rust's own: the main thread has four times as much.
const STACK: usize = 2 << 20;

/// How much memory Rust's code has asked for: the most since the last call. Only a program can count that, not a library.
pub type TakePeak = fn() -> usize;

/// Where inputs come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// They are made, by this seed.
    Seed(u64),
    /// These files.
    Files(Vec<PathBuf>),
}

impl Origin {
    /// The input of this number.
    ///
    /// # Errors
    /// Fails where its file cannot be read.
    pub fn input(&self, corpus: &Corpus, number: u64) -> Result<Vec<u8>> {
        match self {
            Self::Seed(seed) => Ok(corpus.input(*seed, number)),
            Self::Files(files) => {
                let file = &files[number as usize];
                std::fs::read(file).with_context(|| file.display().to_string())
            }
        }
    }
}

/// What the process tells its parent, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It begins to read the input of this number.
    Begins(u64),
    /// It has read that.
    Ends {
        /// Whether it was of any use.
        accepted: bool,
        /// Time that it took, in seconds.
        seconds: f64,
        /// Memory that it took, in bytes.
        bytes: usize,
        /// What was wrong.
        failing: Option<Failing>,
    },
    /// It has read all.
    Through,
}

/// What may not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failing {
    /// A panic: where, and what it says.
    Panic(String, String),
    /// More than [`MOST_TIME`], in milliseconds.
    Time(u64),
    /// More than [`MOST_MEMORY`], in bytes.
    Memory(usize),
    /// No answer at all for a long time.
    Hangs,
    /// The process died, and its last words.
    Dies(String),
}

thread_local! {
    /// Where the last panic was.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Reads inputs and says so on standard output.
///
/// # Errors
/// Fails where a file cannot be read or nobody listens.
pub fn work(reader: &'static Reader, origin: Origin, numbers: Range<u64>, peak: TakePeak) -> Result<()> {
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        PANIC.set(place);
    }));
    let thread =
        std::thread::Builder::new().stack_size(STACK).spawn(move || read_all(reader, &origin, numbers, peak))?;
    thread.join().map_err(|_| anyhow::anyhow!("the thread panicked outside of a reader"))?
}

fn read_all(reader: &'static Reader, origin: &Origin, numbers: Range<u64>, peak: TakePeak) -> Result<()> {
    let corpus = Corpus::new(reader);
    for number in numbers {
        let input = origin.input(&corpus, number)?;
        say(&Said::Begins(number))?;
        peak();
        let resident = reset_resident();
        let before = process_time();
        let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(&input)));
        let time = process_time().saturating_sub(before);
        let memory = peak().max(most_resident().saturating_sub(resident));
        let accepted = matches!(read, Ok(true));
        let failing = match read {
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                Some(Failing::Panic(PANIC.take().unwrap_or_default(), text.unwrap_or_default().into()))
            }
            Ok(_) if time > MOST_TIME => Some(Failing::Time(time.as_millis() as u64)),
            Ok(_) if memory > MOST_MEMORY => Some(Failing::Memory(memory)),
            Ok(_) => None,
        };
        say(&Said::Ends { accepted, seconds: time.as_secs_f64(), bytes: memory, failing })?;
    }
    say(&Said::Through)
}

fn say(said: &Said) -> Result<()> {
    let line = serde_json::to_string(said)? + "\n";
    stdout().lock().write_all(line.as_bytes()).context("nobody listens")
}

/// Time that processors have spent on this process, in hundredths of a second; 0 where the system does not tell.
fn process_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name in brackets: fields 14 and 15 of all, the first of which is the third.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(10 * ticks)
}

/// Lets the system count the most memory that is in use anew, that of C's libraries too; returns what is now.
fn reset_resident() -> usize {
    // Nothing but Linux can.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    most_resident()
}

/// The most memory that was in use at once since then, in bytes; 0 where the system does not tell.
fn most_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok()).map_or(0, |kib| kib << 10)
}

impl Failing {
    /// Whether both have the same cause, as far as that can be told.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic(place, _), Self::Panic(other, _)) => place == other,
            (Self::Time(_) | Self::Hangs, Self::Time(_) | Self::Hangs) | (Self::Memory(_), Self::Memory(_)) => true,
            (Self::Dies(words), Self::Dies(other)) => words == other,
            _ => false,
        }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(place, text) => write!(f, "it panics at {place}: {text}"),
            Self::Time(ms) => write!(f, "it takes {ms} ms"),
            Self::Memory(bytes) => write!(f, "it takes {} MiB", bytes >> 20),
            Self::Hangs => write!(f, "it does not come to an end"),
            Self::Dies(words) => write!(f, "its process dies: {words}"),
        }
    }
}

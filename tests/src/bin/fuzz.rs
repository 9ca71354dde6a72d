//! `cargo xtask fuzz` runs this.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use integration_tests::fuzz::child::{self, Origin};
use integration_tests::fuzz::parent::{self, Failure, Outcome};
use integration_tests::fuzz::{Corpus, READERS, Reader};
use integration_tests::repository;
use peak_alloc::PeakAlloc;

/// Counts what Rust's code takes.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Inputs of a reader between two looks at the clock.
const ROUND: u64 = 2000;

/// Feed every reader with damaged input: none may panic, take more than 2 s or more than 1 GiB.
///
/// An input that fails is written to a file, with the command that reads it again. Put it into tests/data/fuzz/READER once
/// the fault is mended: `cargo xtask test` reads all files there.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", bin_name = "cargo xtask fuzz", max_term_width = 100)]
struct Arguments {
    /// How long, for all readers together
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// So many inputs of each reader, however long that takes
    #[arg(long, value_name = "N")]
    inputs: Option<u64>,
    /// These readers alone; may be given several times
    #[arg(long = "reader", value_name = "NAME", value_parser = named)]
    readers: Vec<&'static Reader>,
    /// Decides all inputs
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Read this file with the one reader that is given
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Where inputs that fail are written
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz")]
    out: PathBuf,
    /// What this program calls itself with: a reader, and the numbers of inputs
    #[arg(long, hide = true, num_args = 2)]
    work: Option<Vec<String>>,
    /// Files in place of inputs that are made
    #[arg(long, hide = true, num_args = 1..)]
    files: Option<Vec<PathBuf>>,
}

fn named(name: &str) -> Result<&'static Reader, String> {
    Reader::named(name).ok_or_else(|| {
        let names: Vec<_> = READERS.iter().map(|reader| reader.name).collect();
        format!("there are the readers {}", names.join(", "))
    })
}

fn take_peak() -> usize {
    let peak = MEMORY.peak_usage().saturating_sub(MEMORY.current_usage());
    MEMORY.reset_peak_usage();
    peak
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(work) = &arguments.work {
        let (from, to) = work[1].split_once("..").context("numbers are FROM..TO")?;
        let origin = arguments.files.map_or(Origin::Seed(arguments.seed), Origin::Files);
        let reader = named(&work[0]).map_err(anyhow::Error::msg)?;
        return child::work(reader, origin, from.parse()?..to.parse()?, take_peak);
    }
    let all: Vec<_> = if arguments.readers.is_empty() { READERS.iter().collect() } else { arguments.readers.clone() };
    if let Some(file) = arguments.replay {
        let &[reader] = &all[..] else { bail!("--replay needs the one --reader of this file") };
        let outcome = run(reader, &Origin::Files(vec![file]), 0..1, &mut |_| true)?;
        ensure!(outcome.failures.is_empty(), "{}", outcome.failures[0].what);
        println!("read in {:.0} ms, with {} MiB", 1e3 * outcome.slowest.as_secs_f64(), outcome.largest >> 20);
        return Ok(());
    }
    let start = Instant::now();
    let mut failed = 0;
    println!(
        "{:14} {:>9} {:>9} {:>10} {:>9} {:>9}  failures",
        "reader", "inputs", "accepted", "inputs/s", "slowest", "memory"
    );
    for (i, reader) in all.iter().enumerate() {
        // What others have not used is shared out among those that are left.
        let left = arguments.time.saturating_sub(start.elapsed()) / (all.len() - i) as u32;
        let begun = Instant::now();
        let mut goes_on = |number: u64| {
            let second = number.is_multiple_of(ROUND);
            if second {
                eprint!("\r{}: {number} inputs, {:.0} s  ", reader.name, begun.elapsed().as_secs_f64());
            }
            arguments.inputs.is_some() || begun.elapsed() < left
        };
        let origin = Origin::Seed(arguments.seed);
        let outcome = run(reader, &origin, 0..arguments.inputs.unwrap_or(u64::MAX), &mut goes_on)?;
        eprint!("\r{:60}\r", "");
        let Outcome { inputs, accepted, time, slowest, largest, failures, failed: count } = &outcome;
        println!(
            "{:14} {inputs:9} {:7.1} % {:10.0} {:6.0} ms {:5} MiB  {count}",
            reader.name,
            100.0 * *accepted as f64 / *inputs as f64,
            *inputs as f64 / time.as_secs_f64(),
            1e3 * slowest.as_secs_f64(),
            largest >> 20
        );
        for failure in failures {
            report(reader, &origin, failure, &arguments.out)?;
        }
        failed += failures.len();
    }
    ensure!(failed == 0, "{failed} kinds of failures");
    Ok(())
}

fn run(
    reader: &'static Reader,
    origin: &Origin,
    numbers: Range<u64>,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Outcome> {
    parent::run(&std::env::current_exe()?, reader, origin, numbers, goes_on)
}

/// Writes the input of a failure, and tells how to read it again.
fn report(reader: &'static Reader, origin: &Origin, failure: &Failure, out: &std::path::Path) -> Result<()> {
    let input = origin.input(&Corpus::new(reader), failure.number)?;
    let folder = repository().join(out);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}-{}", reader.name, failure.number));
    std::fs::write(&file, &input)?;
    println!("  {}", failure.what);
    println!("  cargo xtask fuzz --reader {} --replay {}", reader.name, file.display());
    Ok(())
}

//! The command line `yolox-nano`: finds objects in images, trains networks, scores weights, converts data sets, measures
//! speed, imports and exports weights.
//!
//! Exit codes: 0, all is well; 1, something failed (said on standard error); 2, the command line itself was wrong.

pub mod augment;
pub mod campaign;
pub mod commands;
pub mod convert;
pub mod data;
#[cfg(test)]
mod documents;
pub mod draw;
pub mod engine;
pub mod eval;
pub mod files;
pub mod foreign;
pub mod models;
pub mod onnx;
pub mod photo;
pub mod progress;
pub mod prune;
pub mod table;
pub mod train;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Small object detectors of the YOLOX-nano family: detect, train, evaluate, measure, import, export.
#[derive(Debug, Parser)]
#[command(name = "yolox-nano", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  yolox-nano detect photo.jpg                 what is in the image, as a table
  yolox-nano detect photos/ --out boxes/      images with labelled boxes
  yolox-nano eval --data VOC2007 --split test
                                              the official Pascal VOC score
  yolox-nano check-data VOC2007:trainval      what is in a data set, and what is wrong with it
  yolox-nano convert VOC2007:test --to coco --out VOC2007-coco
                                              the same data set in COCO's or YOLO's format
  yolox-nano train --overfit 16 --train VOC2007:trainval
                                              learn 16 images by heart: does training work?
  yolox-nano prune final-voc --to 0.8 --by taylor --train VOC2007:train --out runs/pruned
                                              a smaller network of a trained one
  yolox-nano variants                         the networks and what they cost

`yolox-nano COMMAND --help` tells more about each command.";

#[derive(Debug, Subcommand)]
enum Command {
    Variants(commands::variants::Args),
    Cost(commands::cost::Args),
    Detect(commands::detect::Args),
    Eval(commands::eval::Args),
    CheckData(commands::check_data::Args),
    Convert(commands::convert::Args),
    Bench(commands::bench::Args),
    Train(Box<commands::train::Args>),
    Campaign(commands::campaign::Args),
    #[cfg(feature = "cuda")]
    GpuCheck(commands::gpu_check::Args),
    Prune(Box<commands::prune::Args>),
    Publish(commands::publish::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
}

/// Whether a command did all that it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Complete,
    /// Some files failed, as said on standard error, and the others are done; or somebody stopped it.
    Partial,
}

/// Runs the command line of this process.
///
/// Ctrl-C simply ends the process: files are written under another name first and then renamed, so none is ever half
/// written.
pub fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::FAILURE,
        // The reader (`| head`) has seen enough: no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<Outcome> {
    let mut out = io::stdout().lock();
    let outcome = match command {
        Command::Variants(args) => commands::variants::run(args, &mut out),
        Command::Cost(args) => commands::cost::run(args, &mut out),
        Command::Detect(args) => commands::detect::run(args, &mut out),
        Command::Eval(args) => commands::eval::run(args, &mut out),
        Command::CheckData(args) => commands::check_data::run(args, &mut out),
        Command::Convert(args) => commands::convert::run(args, &mut out),
        Command::Bench(args) => commands::bench::run(args, &mut out),
        Command::Prune(args) => commands::prune::run(args, &mut out),
        Command::Publish(args) => commands::publish::run(args, &mut out),
        Command::Train(args) => commands::train::run(args, &mut out),
        Command::Campaign(args) => commands::campaign::run(args, &mut out),
        #[cfg(feature = "cuda")]
        Command::GpuCheck(args) => commands::gpu_check::run(args, &mut out),
        Command::Import(args) => commands::import::run(args, &mut out),
        Command::Export(args) => commands::export::run(args, &mut out),
    }?;
    out.flush()?;
    Ok(outcome)
}

/// Prints an error and its causes on one line of standard error.
fn complain(error: &anyhow::Error) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "error: {error:#}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(broken)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

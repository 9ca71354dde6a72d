//! One file for each subcommand, and what their arguments have in common.

pub mod bench;
pub mod campaign;
pub mod check_data;
pub mod convert;
pub mod cost;
pub mod detect;
pub mod eval;
pub mod export;
#[cfg(feature = "cuda")]
pub mod gpu_check;
pub mod import;
pub mod prune;
pub mod publish;
pub mod train;
pub mod variants;

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;
use shared_model::graph::SIZE_MULTIPLE;

/// Greatest side in pixels of the network's input.
const MAX_SIZE: usize = 4096;

/// Reads the side of the network's input: a multiple of 32 pixels.
fn input_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size) if (1..=MAX_SIZE).contains(&size) && size.is_multiple_of(SIZE_MULTIPLE) => Ok(size),
        _ => Err(format!("the size must be a multiple of {SIZE_MULTIPLE} from {SIZE_MULTIPLE} to {MAX_SIZE}")),
    }
}

/// Reads a score or an overlap.
fn fraction(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1 is needed".into()),
    }
}

/// Reads the name of a variant.
fn variant(text: &str) -> Result<&'static shared_model::Variant, String> {
    shared_model::Variant::named(text).map_err(|error| error.to_string())
}

/// Sets the number of threads of this process; all cores where nobody asks.
fn use_threads(threads: Option<usize>) -> Result<usize> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = threads {
        pool = pool.num_threads(threads);
    }
    pool.build_global().context("the threads cannot be started")?;
    Ok(rayon::current_num_threads())
}

/// Prints indented JSON and a line break.
fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Reads a number of threads.
fn thread_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 1024 is needed".into()),
    }
}

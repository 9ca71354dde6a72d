//! `yolox-nano variants`: the networks and what they cost.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use shared_model::{VARIANTS, cost};

use crate::Outcome;
use crate::table::{grouped, table};

/// List the networks: parameters, multiply-adds, GFLOPs, and what each is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  yolox-nano variants\n\nCounted for 20 classes and a 416 x 416 input; \
                        `yolox-nano cost --variant NAME` counts others, layer by layer.")]
pub struct Args {
    /// Print JSON: a list of {name, parameters, macs, gflops, summary, classes, input_size}.
    #[arg(long)]
    json: bool,
}

const CLASSES: usize = 20;
const INPUT_SIZE: usize = 416;

#[derive(Serialize)]
struct VariantRow {
    name: &'static str,
    parameters: usize,
    macs: u64,
    gflops: f64,
    summary: &'static str,
    classes: usize,
    input_size: usize,
}

/// # Errors
/// Fails where the output cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let rows = VARIANTS.map(|variant| {
        let cost = cost(&variant.graph(CLASSES), INPUT_SIZE, INPUT_SIZE);
        VariantRow {
            name: variant.name,
            parameters: cost.parameters,
            macs: cost.macs,
            gflops: cost.gflops,
            summary: variant.summary,
            classes: CLASSES,
            input_size: INPUT_SIZE,
        }
    });
    if args.json {
        super::print_json(out, &rows)?;
        return Ok(Outcome::Complete);
    }
    let mut table = table(&["variant", "what it is", "parameters", "multiply-adds", "GFLOPs"], 2);
    for row in &rows {
        table.add_row([
            row.name.into(),
            row.summary.into(),
            grouped(row.parameters as u64),
            grouped(row.macs),
            format!("{:.4}", row.gflops),
        ]);
    }
    writeln!(out, "{table}")?;
    writeln!(out, "{CLASSES} classes, {INPUT_SIZE} x {INPUT_SIZE} pixels; GFLOPs as in the published figures")?;
    Ok(Outcome::Complete)
}

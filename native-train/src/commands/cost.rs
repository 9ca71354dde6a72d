//! `yolox-nano cost`: what a network costs, layer by layer.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use shared_model::{Variant, cost};

use crate::table::{grouped, table};
use crate::{Outcome, models};

/// Count a network's parameters, multiply-adds, FLOPs and memory, layer by layer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  yolox-nano cost --variant final\n  yolox-nano cost --variant baseline \
                        --classes 80 --size 640 --json\n  yolox-nano cost --weights final-voc")]
pub struct Args {
    /// The network; `yolox-nano variants` lists them.
    #[arg(long, value_parser = super::variant, required_unless_present = "weights")]
    variant: Option<&'static Variant>,
    /// That of a weight file, or of a name in models/manifest.json: pruned networks have fewer channels than their variant.
    #[arg(long, value_name = "FILE|NAME", conflicts_with_all = ["variant", "classes"])]
    weights: Option<String>,
    /// Number of classes.
    #[arg(long, default_value_t = 20, value_parser = class_count)]
    classes: usize,
    /// Side of the input in pixels, a multiple of 32.
    #[arg(long, default_value = "416", value_parser = super::input_size)]
    size: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// More classes than any data set has would only exhaust the memory.
const MAX_CLASSES: usize = 100_000;

fn class_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_CLASSES).contains(&count) => Ok(count),
        _ => Err(format!("a number from 1 to {MAX_CLASSES} is needed")),
    }
}

#[derive(Serialize)]
struct CostReport<'a> {
    variant: String,
    classes: usize,
    input_size: usize,
    parameters: usize,
    macs: u64,
    gflops: f64,
    activation_bytes: usize,
    layers: Vec<CostRow<'a>>,
}

#[derive(Serialize)]
struct CostRow<'a> {
    name: &'a str,
    op: String,
    channels: usize,
    height: usize,
    width: usize,
    parameters: usize,
    macs: u64,
    gflops: f64,
    activation_bytes: usize,
}

/// # Errors
/// Fails where weights cannot be read or the output cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let (variant, graph) = match args.variant {
        Some(variant) => (variant.name.into(), variant.graph(args.classes)),
        None => {
            let weights = models::load(args.weights.as_deref())?.weights;
            (weights.metadata.variant.clone(), weights.graph()?)
        }
    };
    let total = cost(&graph, args.size, args.size);
    let layers = graph.layers.iter().zip(&total.layers).map(|(layer, cost)| CostRow {
        name: &layer.name,
        op: layer.op.to_string(),
        channels: cost.shape[0],
        height: cost.shape[1],
        width: cost.shape[2],
        parameters: cost.parameters,
        macs: cost.macs,
        gflops: cost.flops as f64 / 1e9,
        activation_bytes: cost.activation_bytes,
    });
    let report = CostReport {
        variant,
        classes: graph.classes,
        input_size: args.size,
        parameters: total.parameters,
        macs: total.macs,
        gflops: total.gflops,
        activation_bytes: total.activation_bytes,
        layers: layers.collect(),
    };
    if args.json {
        super::print_json(out, &report)?;
        return Ok(Outcome::Complete);
    }
    let mut table = table(&["layer", "operation", "output", "parameters", "multiply-adds", "GFLOPs", "KiB"], 2);
    let mut add = |name: &str, op: &str, shape: String, parameters: usize, macs: u64, gflops: f64, bytes: usize| {
        table.add_row([
            name.to_string(),
            op.to_string(),
            shape,
            grouped(parameters as u64),
            grouped(macs),
            format!("{gflops:.4}"),
            grouped(bytes as u64 / 1024),
        ]);
    };
    for row in &report.layers {
        let shape = format!("{} x {} x {}", row.channels, row.height, row.width);
        add(row.name, &row.op, shape, row.parameters, row.macs, row.gflops, row.activation_bytes);
    }
    let CostReport { parameters, macs, gflops, activation_bytes, .. } = report;
    add("total", "", String::new(), parameters, macs, gflops, activation_bytes);
    writeln!(out, "{table}")?;
    Ok(Outcome::Complete)
}

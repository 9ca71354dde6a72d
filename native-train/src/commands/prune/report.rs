//! What pruning did, for people and as JSON.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use shared_model::graph::Op;
use shared_model::{Cost, Graph, cost};

use super::Args;
use crate::table::{grouped, table};

/// Per cent, 11-point.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Score {
    pub(super) ap: f64,
    pub(super) ap50: f64,
}

/// What one round left.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    round: u32,
    parameters: usize,
    gflops: f64,
    /// Before training.
    removed: Option<Score>,
    /// After it.
    pub(super) trained: Option<Score>,
}

impl Round {
    pub(super) fn new(round: u32, cost: &Cost, removed: Option<Score>) -> Self {
        Self { round, parameters: cost.parameters, gflops: cost.gflops, removed, trained: None }
    }

    pub(super) fn tell(&self, out: &mut dyn Write) -> Result<()> {
        let Self { round, parameters, gflops, removed, trained } = self;
        let parameters = grouped(*parameters as u64);
        let what = if trained.is_some() { "trained" } else { "channels removed" };
        let score = trained.or(*removed).map(|score| format!(", AP50 {:.2}, AP {:.2}", score.ap50, score.ap));
        writeln!(
            out,
            "round {round}, {what}: {parameters} parameters, {gflops:.4} GFLOPs{}",
            score.unwrap_or_default()
        )?;
        Ok(out.flush()?)
    }
}

/// A part of the network before and after; channels are those of all its convolutions.
#[derive(Debug, Serialize)]
struct Part {
    block: &'static str,
    channels: [usize; 2],
    parameters: [usize; 2],
    gflops: [f64; 2],
}

/// What pruning did.
#[derive(Debug, Serialize)]
pub(super) struct PruneReport {
    weights: String,
    to: f64,
    of: String,
    by: String,
    round_to: u32,
    before: Option<Score>,
    pub(super) rounds: Vec<Round>,
    parts: Vec<Part>,
}

impl PruneReport {
    pub(super) fn new(weights: String, args: &Args, before: Option<Score>) -> Self {
        let Args { to, of, by, round_to, .. } = args;
        let (of, by) = (name(of), name(by));
        Self { weights, to: *to, of, by, round_to: *round_to, before, rounds: Vec::new(), parts: Vec::new() }
    }

    /// Notes what became of each block of `full`, for an input of `size` x `size` pixels.
    pub(super) fn compare(&mut self, full: &Graph, narrow: &Graph, size: usize) {
        let costs = [cost(full, size, size), cost(narrow, size, size)];
        for (index, layer) in full.layers.iter().enumerate().filter(|(_, layer)| matches!(layer.op, Op::Conv(_))) {
            let block = layer.scope.block;
            let at = self.parts.iter().position(|part| part.block == block).unwrap_or_else(|| {
                self.parts.push(Part { block, channels: [0; 2], parameters: [0; 2], gflops: [0.0; 2] });
                self.parts.len() - 1
            });
            let part = &mut self.parts[at];
            for (side, cost) in costs.iter().enumerate() {
                part.channels[side] += cost.layers[index].shape[0];
                part.parameters[side] += cost.layers[index].parameters;
                part.gflops[side] += cost.layers[index].flops as f64 / 1e9;
            }
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut rows = table(&["part", "channels", "after", "parameters", "after", "GFLOPs", "after", "left"], 1);
        let whole = Part { block: "all", channels: [0; 2], parameters: [0; 2], gflops: [0.0; 2] };
        let whole = self.parts.iter().fold(whole, |mut whole, part| {
            for side in 0..2 {
                whole.channels[side] += part.channels[side];
                whole.parameters[side] += part.parameters[side];
                whole.gflops[side] += part.gflops[side];
            }
            whole
        });
        for part in self.parts.iter().chain([&whole]) {
            let Part { block, channels, parameters, gflops } = part;
            rows.add_row([
                (*block).to_string(),
                channels[0].to_string(),
                channels[1].to_string(),
                grouped(parameters[0] as u64),
                grouped(parameters[1] as u64),
                format!("{:.4}", gflops[0]),
                format!("{:.4}", gflops[1]),
                format!("{:.1} %", 100.0 * parameters[1] as f64 / parameters[0].max(1) as f64),
            ]);
        }
        writeln!(out, "{rows}")?;
        let last = self.rounds.last().and_then(|round| round.trained.or(round.removed));
        if let (Some(before), Some(after)) = (self.before, last) {
            let [a, b, c, d] = [before.ap50, after.ap50, before.ap, after.ap];
            writeln!(out, "on --val: AP50 {a:.2} before, {b:.2} after; AP {c:.2}, {d:.2}")?;
        }
        Ok(())
    }
}

/// What a value is called on the command line.
pub(super) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}

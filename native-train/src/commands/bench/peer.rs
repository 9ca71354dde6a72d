//! PyTorch on the same GPU, in the same minutes.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::throughput::Measured;
use crate::table::table;

const SCRIPT: &str = include_str!("torch_train.py");

/// What PyTorch takes.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct Peer {
    rows: Vec<PeerTimes>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PeerTimes {
    torch: String,
    variant: String,
    batch: usize,
    ms: f64,
    images_per_second: f64,
    memory_gib: f64,
}

impl Peer {
    /// Of the same network and size of batch.
    pub(in crate::commands) fn images_per_second(&self, measured: &Measured) -> Option<f64> {
        let same = |row: &&PeerTimes| row.variant == measured.variant && row.batch == measured.batch;
        self.rows.iter().find(same).map(|row| row.images_per_second)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = self.rows.first().map_or("", |row| &row.torch);
        let header = format!("PyTorch {release}, tf32");
        let mut rows = table(&[&header, "batch", "images/s", "step ms", "GiB"], 1);
        for row in &self.rows {
            let numbers = [row.images_per_second, row.ms, row.memory_gib];
            let [rate, ms, memory] = numbers.map(|number| format!("{number:.2}"));
            rows.add_row([row.variant.clone(), row.batch.to_string(), rate, ms, memory]);
        }
        write!(f, "{rows}")
    }
}

/// Times PyTorch with all these networks and batches; `None` where `python` is missing or has no PyTorch.
///
/// # Errors
/// Fails where PyTorch does.
pub(in crate::commands) fn measure(
    python: &Path,
    gpu: usize,
    variants: &[&str],
    batches: &[usize],
    size: usize,
    runs: u32,
) -> Result<Option<Peer>> {
    let has_torch = Command::new(python).args(["-c", "import torch"]).stderr(Stdio::null()).status();
    if !has_torch.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let batches: Vec<String> = batches.iter().map(ToString::to_string).collect();
    let mut command = Command::new(python);
    command.args(["-", &gpu.to_string(), &variants.join(","), &batches.join(",")]);
    command.args([size.to_string(), runs.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let name = || format!("{} with PyTorch", python.display());
    let mut child = command.spawn().with_context(name)?;
    child.stdin.take().context("python has a standard input")?.write_all(SCRIPT.as_bytes()).with_context(name)?;
    let output = child.wait_with_output().with_context(name)?;
    ensure!(output.status.success(), "{} ended with {}", name(), output.status);
    let lines = String::from_utf8(output.stdout).with_context(name)?;
    let rows = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().with_context(name)?;
    Ok(Some(Peer { rows }))
}

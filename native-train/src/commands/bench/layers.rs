//! How long each layer takes, and how much of the machine it uses.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use shared_model::graph::{Graph, NormState, Op};
use shared_model::{Detector, Image, cost};

use super::{IMAGE, WARM_UP, pixels, spread};

/// A computation of its own: a layer, with those before it that are computed as part of it.
#[derive(Debug, Serialize)]
pub(super) struct LayerTime {
    pub(super) name: String,
    pub(super) op: String,
    pub(super) ms: f64,
    pub(super) macs: u64,
    /// Two operations for each multiply-add.
    pub(super) gflops_per_s: f64,
    /// Bytes of inputs, output and parameters in single precision.
    pub(super) bytes: usize,
    pub(super) gb_per_s: f64,
}

/// All layers with one operation.
#[derive(Debug, Serialize)]
pub(super) struct OpTimes {
    pub(super) op: String,
    pub(super) layers: usize,
    pub(super) ms: f64,
    pub(super) macs: u64,
    pub(super) gflops_per_s: f64,
    pub(super) bytes: usize,
    pub(super) gb_per_s: f64,
}

/// Thousands of millions a second.
pub(super) fn rate(count: f64, ms: f64) -> f64 {
    if ms > 0.0 { count / (ms * 1e6) } else { 0.0 }
}

/// Time of every layer that is a computation of its own: the median of `runs`.
pub(super) fn layer_runs(detector: &Detector, runs: u32) -> Result<Vec<LayerTime>> {
    let pixels = pixels();
    let input = detector.preprocess(Image::rgb(&pixels, IMAGE.0, IMAGE.1)?)?;
    let network = detector.network();
    let count = network.graph().layers.len();
    let mut times = vec![Vec::new(); count];
    // Layers that are not observed are computed as part of a later one.
    let mut fused = vec![true; count];
    for run in 0..WARM_UP + runs {
        let mut before = Instant::now();
        network.forward_observed(input.tensor(), &mut |node, _| {
            let now = Instant::now();
            if run >= WARM_UP {
                times[node.0].push(1e3 * (now - before).as_secs_f64());
            }
            fused[node.0] = false;
            before = Instant::now();
        })?;
    }
    let medians = times.into_iter().map(|times| if times.is_empty() { 0.0 } else { spread(times).median });
    let medians: Vec<f64> = medians.collect();
    Ok(layer_times(network.graph(), detector.input_size(), &medians, &fused))
}

/// Joins layers that are computed as part of the next one to it.
fn layer_times(graph: &Graph, size: usize, medians: &[f64], fused: &[bool]) -> Vec<LayerTime> {
    let costs = cost(graph, size, size).layers;
    let mut rows: Vec<LayerTime> = Vec::new();
    let (mut ops, mut macs, mut bytes, mut ms) = (Vec::new(), 0, 0, 0.0);
    for (i, layer) in graph.layers.iter().enumerate() {
        if layer.op == Op::Input {
            continue;
        }
        ops.push(layer.op.to_string());
        macs += costs[i].macs;
        ms += medians[i];
        // What a fused layer would write never reaches memory; before the first layer there is only the image.
        let inputs = layer.inputs.iter().filter(|input| input.0 == 0 || !fused[input.0]);
        bytes += inputs.map(|input| costs[input.0].activation_bytes).sum::<usize>();
        let parameters = graph.layer_parameters(layer, NormState::Fused);
        bytes += 4 * parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum::<usize>();
        if !fused[i] {
            bytes += costs[i].activation_bytes;
            rows.push(LayerTime {
                name: layer.name.clone(),
                op: ops.join(" + "),
                ms,
                macs,
                gflops_per_s: rate(2.0 * macs as f64, ms),
                bytes,
                gb_per_s: rate(bytes as f64, ms),
            });
            (ops, macs, bytes, ms) = (Vec::new(), 0, 0, 0.0);
        }
    }
    rows
}

/// Sums over layers with the same operation, the longest first.
pub(super) fn groups(layers: &[LayerTime]) -> Vec<OpTimes> {
    let mut groups: Vec<OpTimes> = Vec::new();
    for layer in layers {
        let known = groups.iter().position(|group| group.op == layer.op);
        let at = known.unwrap_or_else(|| {
            let op = layer.op.clone();
            groups.push(OpTimes { op, layers: 0, ms: 0.0, macs: 0, gflops_per_s: 0.0, bytes: 0, gb_per_s: 0.0 });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.layers += 1;
        group.ms += layer.ms;
        group.macs += layer.macs;
        group.bytes += layer.bytes;
    }
    for group in &mut groups {
        group.gflops_per_s = rate(2.0 * group.macs as f64, group.ms);
        group.gb_per_s = rate(group.bytes as f64, group.ms);
    }
    groups.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::Variant;

    #[test]
    fn bytes_and_rates_of_known_layers() {
        let graph = Variant::named("baseline").unwrap().graph(20);
        let fused: Vec<bool> =
            graph.layers.iter().map(|layer| matches!(layer.op, Op::Input | Op::SpaceToDepth)).collect();
        let medians = vec![2.0; graph.layers.len()];
        let rows = layer_times(&graph, 64, &medians, &fused);
        // Image 3 x 64 x 64, kernels 16 x 12 x 3 x 3, biases 16, output 16 x 32 x 32.
        assert_eq!((rows[0].op.as_str(), rows[0].ms), ("space to depth + conv 3x3", 4.0));
        assert_eq!(rows[0].bytes, 4 * (3 * 64 * 64 + 16 * 12 * 9 + 16 + 16 * 32 * 32));
        assert!((rows[0].gflops_per_s - 2.0 * (16.0 * 108.0 * 32.0 * 32.0) / 4e6).abs() < 1e-9);
        assert!((rows[0].gb_per_s - rows[0].bytes as f64 / 4e6).abs() < 1e-9);

        let groups = groups(&rows);
        assert_eq!(groups.iter().map(|group| group.layers).sum::<usize>(), rows.len());
        assert_eq!(groups.iter().map(|group| group.macs).sum::<u64>(), cost(&graph, 64, 64).macs);
        assert_eq!(groups[0].op, "conv 1x1");
    }
}

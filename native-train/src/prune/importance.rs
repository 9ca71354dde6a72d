//! How much each output channel of a convolution matters.

use anyhow::{Result, ensure};
use shared_model::graph::{Affine, Layer, NormState, Op};
use shared_model::{ParameterLayout, Weights};

use crate::engine::Engine;
use crate::train::loader::LabelledBatch;
use crate::train::{LossSettings, loss};

/// What makes a channel important.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Criterion {
    /// The factor of its batch normalisation (<https://arxiv.org/abs/1708.06519>).
    Bn,
    /// The mean size of its kernel's numbers (<https://arxiv.org/abs/1608.08710>).
    L1,
    /// How much the loss would change without it, by the gradients of some training images
    /// (<https://arxiv.org/abs/1906.10771>).
    Taylor,
    /// How far its kernel is from those of the layer's other channels (<https://arxiv.org/abs/1811.00250>).
    Fpgm,
}

/// A number of each output channel of each layer, in the graph's order; none of layers without parameters.
pub type ChannelScores = Vec<Vec<f64>>;

/// What the weights alone say: all criteria but [`Criterion::Taylor`].
///
/// Kernels are those of inference, with batch normalisation multiplied in: in front of a normalisation a kernel's size means
/// nothing. Layers without normalisation (in squeeze-and-excitation) are scored by their kernels in any case.
///
/// # Errors
/// Fails where the weights do not fit their variant.
pub fn by_weights(weights: &Weights, criterion: Criterion) -> Result<ChannelScores> {
    let (graph, fused, separate) = (weights.graph()?, weights.fused()?, weights.unfused()?);
    let scores = |layer: &Layer| {
        let Op::Conv(conv) = &layer.op else { return Vec::new() };
        match criterion {
            Criterion::Bn if conv.affine == Affine::BatchNorm => {
                let factors = &separate.tensors[&format!("{}.bn.weight", layer.name)].values;
                factors.iter().map(|factor| f64::from(factor.abs())).collect()
            }
            Criterion::Fpgm => chunks(layer, &fused).iter().flat_map(|kernels| distances(kernels)).collect(),
            _ => chunks(layer, &fused).into_iter().flatten().map(mean_size).collect(),
        }
    };
    Ok(graph.layers.iter().map(scores).collect())
}

/// What the loss of these images says: for each channel the size of the first term of its Taylor series, were the channel 0,
/// in the mean over the batches.
///
/// A kernel in front of a normalisation by the batch's statistics says nothing here, as scaling it changes nothing: the sum of
/// its numbers times their gradients is 0. What scales the channel is the normalisation's factor and summand, and these are
/// summed up; where there is no normalisation, kernel and bias.
///
/// # Errors
/// Fails where the weights have lost their batch normalisation, an image cannot be read, or the device fails.
pub fn taylor(
    weights: &Weights,
    engine: &mut dyn Engine,
    batches: impl Iterator<Item = Result<LabelledBatch>>,
    settings: &LossSettings,
) -> Result<ChannelScores> {
    ensure!(
        weights.metadata.norm == NormState::Separate,
        "batch normalisation is folded into these weights: take another criterion, or train them first"
    );
    let graph = weights.graph()?;
    let layout = ParameterLayout::new(&graph);
    let parameters = layout.flatten(weights);
    engine.load(&parameters)?;
    let mut scores: ChannelScores = graph.layers.iter().map(|layer| channels(layer).map(|_| 0.0).collect()).collect();
    let mut count = 0;
    for batch in batches {
        let LabelledBatch { batch, objects } = batch?;
        let mut update = vec![0.0; layout.len];
        engine.step(&batch, &mut |output| Ok(loss(output, &objects, settings).1), &mut update)?;
        for (layer, scores) in graph.layers.iter().zip(&mut scores) {
            let mut sums = vec![0.0; scores.len()];
            for name in scaling(layer) {
                let range = layout.range(&name);
                let (values, gradients) = (&parameters[range.clone()], &update[range]);
                let products = values.iter().zip(gradients).map(|(value, gradient)| f64::from(value * gradient));
                let size = values.len() / sums.len();
                products.enumerate().for_each(|(i, product)| sums[i / size] += product);
            }
            scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum.abs());
        }
        count += 1;
    }
    ensure!(count > 0, "there are no images to take gradients of");
    scores.iter_mut().flatten().for_each(|score| *score /= f64::from(count));
    Ok(scores)
}

/// The output channels of a layer with parameters.
fn channels(layer: &Layer) -> std::ops::Range<usize> {
    0..if matches!(layer.op, Op::Conv(_)) { layer.channels } else { 0 }
}

/// Names of the tensors that scale a layer's output channels.
fn scaling(layer: &Layer) -> Vec<String> {
    match &layer.op {
        Op::Conv(conv) if conv.affine == Affine::BatchNorm => {
            ["weight", "bias"].map(|field| format!("{}.bn.{field}", layer.name)).to_vec()
        }
        Op::Conv(_) => {
            let (mut names, bias) = layer.parameter_names();
            names.push(bias);
            names
        }
        _ => Vec::new(),
    }
}

/// The kernels of a layer's output channels; those of the same size together.
fn chunks<'a>(layer: &Layer, weights: &'a Weights) -> Vec<Vec<&'a [f32]>> {
    let names = layer.parameter_names().0;
    let of = |name: &String| {
        let tensor = &weights.tensors[name];
        tensor.values.chunks_exact(tensor.shape[1..].iter().product()).collect()
    };
    names.iter().map(of).collect()
}

fn mean_size(kernel: &[f32]) -> f64 {
    kernel.iter().map(|value| f64::from(value.abs())).sum::<f64>() / kernel.len() as f64
}

/// Of each kernel the sum of distances to all others.
fn distances(kernels: &[&[f32]]) -> Vec<f64> {
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    kernels.iter().map(|a| kernels.iter().map(|b| distance(a, b)).sum()).collect()
}

#[cfg(test)]
mod tests {
    use shared_model::{Graph, VARIANTS, Variant};

    use super::*;
    use crate::data::Object;
    use crate::engine::{Batch, CpuEngine, HeadOutput};

    fn scores_of<'a>(graph: &Graph, scores: &'a ChannelScores, name: &str) -> &'a [f64] {
        &scores[graph.layers.iter().position(|layer| layer.name == name).unwrap()]
    }

    #[test]
    fn every_channel_has_a_score() {
        for variant in &VARIANTS {
            let weights = Weights::random(variant, 3, 0);
            let graph = weights.graph().unwrap();
            for criterion in [Criterion::Bn, Criterion::L1, Criterion::Fpgm] {
                for weights in [&weights, &weights.fused().unwrap()] {
                    let scores = by_weights(weights, criterion).unwrap();
                    for (layer, scores) in graph.layers.iter().zip(&scores) {
                        assert_eq!(scores.len(), channels(layer).len(), "{}: {}", variant.name, layer.name);
                        assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_small_or_alike_matters_least() {
        let mut weights = Weights::random(Variant::named("mdconv").unwrap(), 3, 0);
        let graph = weights.graph().unwrap();
        const STEM: &str = "head.stems.0";
        weights.tensors.get_mut("head.stems.0.bn.weight").unwrap().values[5] = -0.01;
        let size = 64;
        let kernels = &mut weights.tensors.get_mut("head.stems.0.conv.weight").unwrap().values;
        // Channel 3 is the mean of all: nothing that the others could not say together.
        let mean: Vec<f32> = (0..size).map(|i| (0..64).map(|o| kernels[o * size + i]).sum::<f32>() / 64.0).collect();
        kernels[3 * size..][..size].copy_from_slice(&mean);
        let least = |criterion: Criterion| {
            let scores = by_weights(&weights, criterion).unwrap();
            let scores = scores_of(&graph, &scores, STEM).to_vec();
            (0..scores.len()).min_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
        };
        assert_eq!((least(Criterion::Bn), least(Criterion::L1)), (5, 5));
        let fpgm = by_weights(&weights, Criterion::Fpgm).unwrap();
        let fpgm = scores_of(&graph, &fpgm, STEM);
        assert!(fpgm[3] < fpgm[4] && fpgm[3] < fpgm[7]);
    }

    /// Against finite differences of the loss, by what scales a channel.
    #[test]
    fn gradients_say_what_scaling_a_channel_does_to_the_loss() {
        let mut weights = Weights::random(Variant::named("baseline").unwrap(), 3, 1);
        const NORM: &str = "head.stems.1.bn";
        weights.tensors.get_mut(&format!("{NORM}.bias")).unwrap().values.fill(0.5);
        for field in ["weight", "bias"] {
            weights.tensors.get_mut(&format!("{NORM}.{field}")).unwrap().values[7] = 0.0;
        }
        let graph = weights.graph().unwrap();
        let pixels = (0..2 * 3 * 64 * 64).map(|i: usize| (i * 7919 % 251) as u8).collect();
        let batch = LabelledBatch {
            batch: Batch { pixels, images: 2, height: 64, width: 64 },
            objects: vec![vec![Object { class: 1, cx: 30.0, cy: 30.0, w: 40.0, h: 30.0, ignored: false }], Vec::new()],
        };
        let mut engine = CpuEngine::new(&graph).unwrap();
        let layout = ParameterLayout::new(&graph);
        let mut loss_of = |channel: usize, factor: f32| {
            let mut scaled = weights.clone();
            for field in ["weight", "bias"] {
                scaled.tensors.get_mut(&format!("{NORM}.{field}")).unwrap().values[channel] *= factor;
            }
            engine.load(&layout.flatten(&scaled)).unwrap();
            let mut total = 0.0;
            let mut read = |output: &HeadOutput| {
                let (losses, gradient) = loss(output, &batch.objects, &LossSettings::default());
                total = f64::from(losses.total);
                Ok(gradient)
            };
            engine.step(&batch.batch, &mut read, &mut vec![0.0; layout.len]).unwrap();
            total
        };
        let slopes = [0, 1, 2, 7].map(|channel| ((loss_of(channel, 1.25) - loss_of(channel, 0.75)) / 0.5).abs());
        let batch = LabelledBatch { batch: batch.batch.clone(), objects: batch.objects.clone() };
        let scores = taylor(&weights, &mut engine, [Ok(batch)].into_iter(), &LossSettings::default()).unwrap();
        let scores = scores_of(&graph, &scores, "head.stems.1");
        for (channel, slope) in [0, 1, 2, 7].into_iter().zip(slopes) {
            let score = scores[channel];
            assert!((score - slope).abs() <= 0.1 * slope + 2e-5, "channel {channel}: {score}, not {slope}");
        }
        assert!(scores[0] > 1e-4 && scores[7] == 0.0, "{scores:?}");
    }
}

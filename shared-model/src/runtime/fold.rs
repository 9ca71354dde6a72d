//! Batch normalisation multiplied into the convolution in front of it.

use crate::graph::{Affine, BN_EPS, Layer, NormState};
use crate::weights::Weights;

/// Kernels of a convolution (one array for each kernel width) and one bias an output channel.
pub(crate) struct Folded {
    pub(crate) kernels: Vec<Vec<f32>>,
    pub(crate) bias: Vec<f32>,
}

/// What inference computes `layer`, a convolution, with: `bn(conv(x)) = (gain * kernel)(x) + bias`, where
/// `gain = weight / sqrt(running_var + eps)`. `weights` must have passed [`Weights::check`].
pub(crate) fn fold(layer: &Layer, affine: Affine, weights: &Weights) -> Folded {
    let (names, bias_name) = layer.parameter_names();
    let tensor = |name: &str| weights.tensors[name].values.clone();
    let mut kernels: Vec<Vec<f32>> = names.iter().map(|name| tensor(name)).collect();
    if affine == Affine::Bias || weights.metadata.norm == NormState::Folded {
        return Folded { kernels, bias: tensor(&bias_name) };
    }
    let statistic = |field: &str| tensor(&format!("{}.bn.{field}", layer.name));
    let (mean, variance) = (statistic("running_mean"), statistic("running_var"));
    let (weight, mut bias) = (statistic("weight"), statistic("bias"));
    let gains: Vec<f32> = weight.iter().zip(variance).map(|(w, variance)| w / (variance + BN_EPS).sqrt()).collect();
    for ((bias, mean), gain) in bias.iter_mut().zip(mean).zip(&gains) {
        *bias -= mean * gain;
    }
    multiply(&mut kernels, &gains);
    Folded { kernels, bias }
}

/// Multiplies each output channel's kernel by its gain. Mixed kernels are chunks of channels, in order.
pub(crate) fn multiply(kernels: &mut [Vec<f32>], gains: &[f32]) {
    let channels_each = gains.len() / kernels.len();
    for (kernels, gains) in kernels.iter_mut().zip(gains.chunks_exact(channels_each)) {
        let size = kernels.len() / channels_each;
        for (kernel, gain) in kernels.chunks_exact_mut(size).zip(gains) {
            kernel.iter_mut().for_each(|value| *value *= gain);
        }
    }
}

//! Batch normalisation and the convolution in front of it as one convolution, and apart again.

use std::collections::BTreeMap;

use crate::model::graph::{Affine, BN_EPS, Layer, NormState, Op};
use crate::model::weights::{Metadata, WeightTensor, Weights, WeightsError};

/// Norm of every output channel's kernel at the initialisation of PyTorch, which learning rates are made for: the root of
/// its number of values times their variance, `1 / (3 * values)`.
const KERNEL_NORM: f64 = 0.577_350_269_189_625_8;

/// Kernels of a convolution (one array for each kernel width) and one bias an output channel.
pub(crate) struct Fused {
    pub(crate) kernels: Vec<Vec<f32>>,
    pub(crate) bias: Vec<f32>,
}

/// What inference computes `layer`, a convolution, with: `bn(conv(x)) = (gain * kernel)(x) + bias`, where
/// `gain = weight / sqrt(running_var + eps)`. `weights` must have passed [`Weights::check`].
pub(crate) fn fuse_conv_bn(layer: &Layer, affine: Affine, weights: &Weights) -> Fused {
    let (names, bias_name) = layer.parameter_names();
    let tensor = |name: &str| weights.tensors[name].values.clone();
    let mut kernels: Vec<Vec<f32>> = names.iter().map(|name| tensor(name)).collect();
    if affine == Affine::Bias || weights.metadata.norm == NormState::Fused {
        return Fused { kernels, bias: tensor(&bias_name) };
    }
    let statistic = |field: &str| tensor(&format!("{}.bn.{field}", layer.name));
    let (mean, variance) = (statistic("running_mean"), statistic("running_var"));
    let (weight, mut bias) = (statistic("weight"), statistic("bias"));
    let gains: Vec<f32> = weight.iter().zip(variance).map(|(w, variance)| w / (variance + BN_EPS).sqrt()).collect();
    for ((bias, mean), gain) in bias.iter_mut().zip(mean).zip(&gains) {
        *bias -= mean * gain;
    }
    multiply(&mut kernels, &gains);
    Fused { kernels, bias }
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

impl Weights {
    /// The same network with batch normalisation multiplied into the convolutions: the numbers that inference uses.
    ///
    /// # Errors
    /// Fails where the tensors are not those of the variant.
    pub fn fused(&self) -> Result<Self, WeightsError> {
        let graph = self.graph()?;
        self.check(&graph)?;
        let mut tensors = BTreeMap::new();
        for layer in &graph.layers {
            let Op::Conv(conv) = &layer.op else { continue };
            let fused = fuse_conv_bn(layer, conv.affine, self);
            let values = fused.kernels.into_iter().chain([fused.bias]);
            for (parameter, values) in graph.layer_parameters(layer, NormState::Fused).into_iter().zip(values) {
                tensors.insert(parameter.name, WeightTensor { shape: parameter.shape, values });
            }
        }
        let metadata = Metadata { norm: NormState::Fused, ..self.metadata.clone() };
        Ok(Self { metadata, tensors })
    }

    /// The same network with batch normalisation that does nothing but scale back and add the bias: mean 0, variance
    /// `1 - eps`. As it is, training would start from another function, as it normalises by the batch's statistics: give it
    /// the data's first. Weights that have batch normalisation stay as they are.
    ///
    /// Kernels get the norm that they have when training starts from random numbers. In front of a normalisation their scale
    /// changes nothing but how fast they learn, by the square: fused ones of the first layer, which reads numbers up to 255,
    /// are so small that any usual learning rate would destroy them.
    ///
    /// # Errors
    /// Fails where the tensors are not those of the variant.
    pub fn unfused(&self) -> Result<Self, WeightsError> {
        let graph = self.graph()?;
        self.check(&graph)?;
        if self.metadata.norm == NormState::Separate {
            return Ok(self.clone());
        }
        let mut tensors = self.tensors.clone();
        for layer in &graph.layers {
            let parameters = graph.layer_parameters(layer, NormState::Separate);
            let has_norm = parameters.iter().any(|parameter| !parameter.trainable);
            let gains = if has_norm { normalise_kernels(&layer.parameter_names().0, &mut tensors) } else { Vec::new() };
            for parameter in parameters.into_iter().filter(|parameter| !self.tensors.contains_key(&parameter.name)) {
                let field = parameter.name.rsplit('.').next().unwrap_or_default();
                let values = match field {
                    "bias" => tensors.remove(&layer.parameter_names().1).map(|bias| bias.values).unwrap_or_default(),
                    "weight" => gains.clone(),
                    "running_var" => vec![1.0 - BN_EPS; layer.channels],
                    _ => vec![0.0; layer.channels],
                };
                tensors.insert(parameter.name, WeightTensor { shape: parameter.shape, values });
            }
        }
        let metadata = Metadata { norm: NormState::Separate, ..self.metadata.clone() };
        Ok(Self { metadata, tensors })
    }
}

/// Gives every output channel's kernel [`KERNEL_NORM`]; returns what its sums must be multiplied with to be as before.
/// Channels without a kernel stay so.
fn normalise_kernels(names: &[String], tensors: &mut BTreeMap<String, WeightTensor>) -> Vec<f32> {
    let mut gains = Vec::new();
    for name in names {
        let Some(tensor) = tensors.get_mut(name) else { continue };
        let size = tensor.shape[1..].iter().product::<usize>().max(1);
        for kernel in tensor.values.chunks_exact_mut(size) {
            let norm = kernel.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            let gain = if norm > 0.0 { (norm / KERNEL_NORM) as f32 } else { 1.0 };
            kernel.iter_mut().for_each(|value| *value /= gain);
            gains.push(gain);
        }
    }
    gains
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::model::variant::Variant;

    #[test]
    fn unfused_weights_fuse_to_themselves() {
        let mut weights = Weights::random(Variant::named("mdconv").unwrap(), 3, 1);
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        for (_, tensor) in weights.tensors.iter_mut().filter(|(name, _)| name.contains(".bn.")) {
            tensor.values.iter_mut().for_each(|value| *value += rng.random_range(-0.5..0.5));
        }
        assert_eq!(weights.unfused().unwrap(), weights);

        let fused = weights.fused().unwrap();
        let unfused = fused.unfused().unwrap();
        assert_eq!(unfused.metadata.norm, NormState::Separate);
        unfused.check(&fused.graph().unwrap()).unwrap();
        for (name, tensor) in unfused.tensors.iter().filter(|(name, _)| name.ends_with("conv.weight")) {
            for kernel in tensor.values.chunks_exact(tensor.shape[1..].iter().product()) {
                let norm = kernel.iter().map(|value| value * value).sum::<f32>().sqrt();
                assert!((norm - KERNEL_NORM as f32).abs() < 1e-4, "{name}: {norm}");
            }
        }

        let again = unfused.fused().unwrap();
        assert_eq!(again.metadata, fused.metadata);
        assert!(again.tensors.keys().eq(fused.tensors.keys()));
        for (name, tensor) in &again.tensors {
            for (a, b) in tensor.values.iter().zip(&fused.tensors[name].values) {
                assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{name}: {a} instead of {b}");
            }
        }
    }
}

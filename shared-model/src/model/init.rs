//! Random weights: where training starts, and what speed is measured with.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::graph::{Graph, NormState};
use crate::model::variant::Variant;
use crate::model::weights::{ColourOrder, Metadata, WeightTensor, Weights};
use crate::model::widths::{Channels, ChannelsError};

/// How likely an object and a class are thought to be at first: `log((1 - p) / p)` is log 99.
pub(crate) const PRIOR: f32 = 0.01;

/// Side in pixels of the input.
const INPUT_SIZE: usize = 416;

impl Weights {
    /// Weights of `variant` as PyTorch and YOLOX initialise them: kernels and biases by `kaiming_uniform(a = sqrt 5)`,
    /// which is uniform within `1 / sqrt(inputs of a value)`; batch normalisation changes nothing; the biases of
    /// objectness and classes make both as likely as 1 %. The classes are called "0", "1" ...
    ///
    /// The same seed gives the same weights on every machine.
    pub fn random(variant: &Variant, classes: usize, seed: u64) -> Self {
        Self::of_graph(variant, &variant.graph(classes), seed)
    }

    /// As [`Weights::random`], of the network that is left of `variant` with these `channels`.
    ///
    /// # Errors
    /// Fails where there is no such network.
    pub fn random_pruned(
        variant: &Variant,
        channels: &Channels,
        classes: usize,
        seed: u64,
    ) -> Result<Self, ChannelsError> {
        Ok(Self::of_graph(variant, &variant.graph(classes).with_channels(channels)?, seed))
    }

    /// Of `graph`, which is `variant`'s but for the number of channels.
    fn of_graph(variant: &Variant, graph: &Graph, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let prior_biases = prior_biases(graph);
        let mut tensors = std::collections::BTreeMap::new();
        for layer in &graph.layers {
            let mut bound = 0.0;
            for parameter in graph.layer_parameters(layer, NormState::Separate) {
                let count = parameter.shape.iter().product();
                let name = parameter.name;
                let values = if parameter.shape.len() == 4 {
                    bound = 1.0 / (parameter.shape[1..].iter().product::<usize>() as f32).sqrt();
                    uniform(&mut rng, bound, count)
                } else if prior_biases.contains(&name) {
                    vec![-((1.0 - PRIOR) / PRIOR).ln(); count]
                } else if name.ends_with(".bn.weight") || name.ends_with(".bn.running_var") {
                    vec![1.0; count]
                } else if name.contains(".bn.") {
                    vec![0.0; count]
                } else {
                    uniform(&mut rng, bound, count)
                };
                tensors.insert(name, WeightTensor { shape: parameter.shape, values });
            }
        }
        let channels = Channels::of(graph, &variant.graph(graph.classes));
        let metadata = Metadata {
            format_version: channels.format_version(),
            variant: variant.name.into(),
            channels,
            class_names: (0..graph.classes).map(|class| class.to_string()).collect(),
            colour_order: ColourOrder::Bgr,
            input_size: INPUT_SIZE,
            norm: NormState::Separate,
            source: format!("random, seed {seed}"),
            training: None,
        };
        Self { metadata, tensors }
    }
}

fn uniform(rng: &mut Pcg64Mcg, bound: f32, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

fn prior_biases(graph: &Graph) -> Vec<String> {
    let nodes = graph.head.iter().flat_map(|level| [level.obj, level.cls]);
    nodes.map(|node| graph.layer(node).parameter_names().1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::VARIANTS;

    #[test]
    fn random_weights_are_complete_and_repeatable() {
        for variant in &VARIANTS {
            let weights = Weights::random(variant, 3, 7);
            weights.check(&variant.graph(3)).unwrap();
            assert_eq!(weights, Weights::random(variant, 3, 7), "{}", variant.name);
            assert_ne!(weights.tensors, Weights::random(variant, 3, 8).tensors, "{}", variant.name);
        }
    }

    #[test]
    fn kernels_lie_within_their_bound_and_priors_are_one_per_cent() {
        let weights = Weights::random(&VARIANTS[0], 20, 0);
        let kernel = &weights.tensors["backbone.backbone.stem.conv.conv.weight"].values;
        let bound = 1.0 / 108f32.sqrt();
        let greatest = kernel.iter().fold(0.0, |greatest: f32, value| greatest.max(value.abs()));
        assert!(greatest <= bound && greatest > 0.95 * bound, "{greatest} of {bound}");
        for bias in ["head.obj_preds.0.bias", "head.cls_preds.2.bias"] {
            let bias = weights.tensors[bias].values[0];
            assert!((1.0 / (1.0 + (-bias).exp()) - 0.01).abs() < 1e-6, "{bias}");
        }
        assert!(weights.tensors["head.reg_preds.0.bias"].values.iter().all(|value| value.abs() <= 1.0 / 8.0));
    }
}

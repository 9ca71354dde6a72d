//! All parameters and statistics of a network in one flat array, as training keeps them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::graph::{Affine, Graph, Layer, NormState, Parameter};
use crate::model::weights::{Metadata, WeightTensor, Weights};

/// Where each of a network's tensors lies in the flat array: in the order of [`Graph::parameters`] with
/// [`NormState::Separate`], without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    /// Each tensor and its place.
    pub entries: Vec<(Parameter, Range<usize>)>,
    /// Numbers in the whole array.
    pub len: usize,
}

impl ParameterLayout {
    /// The layout of `graph`'s tensors.
    pub fn new(graph: &Graph) -> Self {
        let mut len = 0;
        let range = |parameter: Parameter| {
            let start = len;
            len += parameter.shape.iter().product::<usize>();
            (parameter, start..len)
        };
        let entries = graph.parameters(NormState::Separate).into_iter().map(range).collect();
        Self { entries, len }
    }

    /// Where the tensor of this name lies.
    ///
    /// # Panics
    /// Panics where the network has none of this name.
    pub fn range(&self, name: &str) -> Range<usize> {
        let entry = self.entries.iter().find(|(parameter, _)| parameter.name == name);
        entry.map(|(_, range)| range.clone()).expect("the layout is the graph's")
    }

    /// The array of `weights`, which must be those of this network, with batch normalisation.
    ///
    /// # Panics
    /// Panics where a tensor is missing: check the weights first ([`Weights::check`]).
    pub fn flatten(&self, weights: &Weights) -> Vec<f32> {
        self.entries.iter().flat_map(|(parameter, _)| &weights.tensors[&parameter.name].values).copied().collect()
    }

    /// The weights that `values` are.
    pub fn weights(&self, values: &[f32], metadata: Metadata) -> Weights {
        let tensor = |(parameter, range): &(Parameter, Range<usize>)| {
            let tensor = WeightTensor { shape: parameter.shape.clone(), values: values[range.clone()].to_vec() };
            (parameter.name.clone(), tensor)
        };
        let tensors: BTreeMap<_, _> = self.entries.iter().map(tensor).collect();
        Weights { metadata: Metadata { norm: NormState::Separate, ..metadata }, tensors }
    }
}

/// Where what follows a convolution's sums lies in an array of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NormRanges {
    /// A bias.
    Bias(Range<usize>),
    /// Batch normalisation, with its statistics.
    BatchNorm {
        /// Factors behind the normalisation.
        weight: Range<usize>,
        /// Summands behind it.
        bias: Range<usize>,
        /// Means that inference normalises by.
        running_mean: Range<usize>,
        /// Variances that inference normalises by.
        running_var: Range<usize>,
    },
}

impl NormRanges {
    /// Of `layer`, whose bias, if it has one, is called `bias`; `range` says where a tensor lies.
    pub fn new(layer: &Layer, affine: Affine, bias: &str, range: impl Fn(&str) -> Range<usize>) -> Self {
        let field = |field: &str| range(&format!("{}.bn.{field}", layer.name));
        match affine {
            Affine::Bias => Self::Bias(range(bias)),
            Affine::BatchNorm => Self::BatchNorm {
                weight: field("weight"),
                bias: field("bias"),
                running_mean: field("running_mean"),
                running_var: field("running_var"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::Variant;

    #[test]
    fn an_array_s_weights_have_their_normalisation_whatever_the_metadata_said() {
        let variant = Variant::named("baseline").unwrap();
        let layout = ParameterLayout::new(&variant.graph(3));
        let weights = Weights::random(variant, 3, 0);
        let metadata = Metadata { norm: NormState::Fused, ..weights.metadata.clone() };
        let again = layout.weights(&layout.flatten(&weights), metadata);
        assert!(again.metadata.norm == NormState::Separate);
    }
}

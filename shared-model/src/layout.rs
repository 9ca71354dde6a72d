//! All parameters and statistics of a network in one flat array, as training keeps them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::graph::{Graph, NormState, Parameter};
use crate::weights::{Metadata, WeightTensor, Weights};

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
        let place = |parameter: Parameter| {
            let start = len;
            len += parameter.shape.iter().product::<usize>();
            (parameter, start..len)
        };
        let entries = graph.parameters(NormState::Separate).into_iter().map(place).collect();
        Self { entries, len }
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
        let tensor = |(parameter, place): &(Parameter, Range<usize>)| {
            let tensor = WeightTensor { shape: parameter.shape.clone(), values: values[place.clone()].to_vec() };
            (parameter.name.clone(), tensor)
        };
        let tensors: BTreeMap<_, _> = self.entries.iter().map(tensor).collect();
        Weights { metadata: Metadata { norm: NormState::Separate, ..metadata }, tensors }
    }
}

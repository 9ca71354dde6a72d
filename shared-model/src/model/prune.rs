//! Pruning: which channels of a network can only leave together, and the network without them.
//!
//! Channels are coupled by what computes with them (as in DepGraph, <https://arxiv.org/abs/2301.12900>): terms of a sum,
//! a depthwise convolution's input and output, a factor and what it scales. Everything here follows from the graph's
//! operations; names of layers count for nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::graph::{Conv, Graph, Kernel, Node, Op};
use crate::model::weights::{Metadata, WeightTensor, Weights, WeightsError};
use crate::model::widths::Channels;

/// A channel of a convolution's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// The convolution.
    pub layer: Node,
    /// Which of its channels.
    pub index: usize,
}

/// Channels that leave the network all together or not at all: once the kernels, biases and normalisations that yield them
/// are 0, nothing that reads them hears anything.
pub type CoupledChannels = Vec<Channel>;

/// Coupled channels of the same layers, which compete with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As many must leave from each of these, which are of equal length: mixed depthwise convolutions divide their channels
    /// equally among their kernel widths. Everywhere else there is one.
    pub strata: Vec<Vec<CoupledChannels>>,
}

impl Group {
    /// Number of sets of coupled channels.
    pub fn len(&self) -> usize {
        self.strata.iter().map(Vec::len).sum()
    }

    /// Whether there are none; groups that [`dependency_groups`] finds have some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All groups of `graph`: each output channel of each convolution is in exactly one, but for those of the predictions, which
/// stay.
pub fn dependency_groups(graph: &Graph) -> Vec<Group> {
    let mut coupling = Coupling::new(graph);
    for index in 0..graph.layers.len() {
        coupling.couple(graph, Node(index));
    }
    let mut sets: BTreeMap<usize, CoupledChannels> = BTreeMap::new();
    let mut fixed = BTreeSet::new();
    for (index, layer) in graph.layers.iter().enumerate() {
        let node = Node(index);
        for channel in 0..layer.channels {
            let root = coupling.root(node, channel);
            if matches!(layer.op, Op::Conv(_)) {
                sets.entry(root).or_default().push(Channel { layer: node, index: channel });
            }
            if matches!(layer.op, Op::Input | Op::SpaceToDepth) || graph.is_prediction(node) {
                fixed.insert(root);
            }
        }
    }
    sets.retain(|root, _| !fixed.contains(root));
    grouped(graph, sets.into_values().collect()).into_iter().map(|sets| stratified(graph, sets)).collect()
}

/// Which output channels of all layers are coupled: disjoint sets, as trees.
struct Coupling {
    /// Of each layer, where its channels begin.
    starts: Vec<usize>,
    parents: Vec<usize>,
}

impl Coupling {
    fn new(graph: &Graph) -> Self {
        let mut all = 0;
        let mut start = |channels: usize| {
            all += channels;
            all - channels
        };
        let starts = graph.layers.iter().map(|layer| start(layer.channels)).collect();
        Self { starts, parents: (0..all).collect() }
    }

    fn root(&mut self, node: Node, channel: usize) -> usize {
        let mut at = self.starts[node.0] + channel;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: (Node, usize), b: (Node, usize)) {
        let (a, b) = (self.root(a.0, a.1), self.root(b.0, b.1));
        self.parents[a.max(b)] = a.min(b);
    }

    /// Couples a layer's output channels with those that they are computed from, one by one.
    fn couple(&mut self, graph: &Graph, node: Node) {
        let layer = graph.layer(node);
        match &layer.op {
            // Every output is computed from all inputs, and any of these can be missing.
            Op::Input | Op::SpaceToDepth | Op::Conv(Conv { kernel: Kernel::Dense(_), .. }) => {}
            Op::Conv(Conv { kernel: Kernel::Depthwise(_), .. }) => {
                let multiple = layer.channels / graph.channels(layer.inputs[0]);
                for channel in 0..layer.channels {
                    self.join((node, channel), (layer.inputs[0], channel / multiple));
                }
            }
            Op::Concat => {
                let mut first = 0;
                for &input in &layer.inputs {
                    for channel in 0..graph.channels(input) {
                        self.join((node, first + channel), (input, channel));
                    }
                    first += graph.channels(input);
                }
            }
            Op::MaxPool { .. } | Op::GlobalAvgPool | Op::Upsample | Op::Add | Op::Scale => {
                for &input in &layer.inputs {
                    for channel in 0..layer.channels {
                        self.join((node, channel), (input, channel));
                    }
                }
            }
        }
    }
}

/// The chunk of a mixed depthwise convolution that a channel lies in; `None` for other layers.
fn chunk(graph: &Graph, channel: Channel) -> Option<(Node, usize)> {
    let layer = graph.layer(channel.layer);
    match &layer.op {
        Op::Conv(Conv { kernel: Kernel::Depthwise(widths), .. }) if widths.len() > 1 => {
            Some((channel.layer, channel.index / (layer.channels / widths.len())))
        }
        _ => None,
    }
}

/// Sets that lie in the same layers, or share a mixed depthwise convolution.
fn grouped(graph: &Graph, sets: Vec<CoupledChannels>) -> Vec<Vec<CoupledChannels>> {
    let mut groups: Vec<(BTreeSet<Node>, Vec<Node>, Vec<CoupledChannels>)> = Vec::new();
    for set in sets {
        let layers: Vec<Node> = set.iter().map(|channel| channel.layer).collect();
        let mixed: BTreeSet<Node> =
            set.iter().filter_map(|&channel| chunk(graph, channel)).map(|(node, _)| node).collect();
        match groups.iter_mut().find(|(others, of, _)| *of == layers || !others.is_disjoint(&mixed)) {
            Some((others, _, sets)) => {
                others.extend(mixed);
                sets.push(set);
            }
            None => groups.push((mixed, layers, vec![set])),
        }
    }
    groups.into_iter().map(|(_, _, sets)| sets).collect()
}

/// The group of these sets, divided so that what leaves each stratum equally leaves each chunk equally. Where there is no such
/// division, they are all one, which is to say that none can leave.
fn stratified(graph: &Graph, sets: Vec<CoupledChannels>) -> Group {
    let mut strata: BTreeMap<Vec<(Node, usize)>, Vec<CoupledChannels>> = BTreeMap::new();
    for set in &sets {
        let chunks = set.iter().filter_map(|&channel| chunk(graph, channel)).collect();
        strata.entry(chunks).or_default().push(set.clone());
    }
    let mut left: BTreeMap<Node, BTreeMap<usize, usize>> = BTreeMap::new();
    for &(node, chunk) in strata.keys().flatten() {
        *left.entry(node).or_default().entry(chunk).or_default() += 1;
    }
    let parts = |node: &Node| match &graph.layer(*node).op {
        Op::Conv(Conv { kernel: Kernel::Depthwise(widths), .. }) => widths.len(),
        _ => 1,
    };
    let equal = |counts: Vec<usize>| counts.windows(2).all(|pair| pair[0] == pair[1]);
    let is_even = equal(strata.values().map(Vec::len).collect())
        && left.iter().all(|(node, chunks)| chunks.len() == parts(node) && equal(chunks.values().copied().collect()));
    if is_even {
        Group { strata: strata.into_values().collect() }
    } else {
        Group { strata: vec![vec![sets.into_iter().flatten().collect()]] }
    }
}

/// For each layer the output channels that stay.
fn kept_channels(graph: &Graph, removed: &BTreeSet<Channel>) -> Vec<Vec<usize>> {
    let mut kept: Vec<Vec<usize>> = Vec::with_capacity(graph.layers.len());
    for (index, layer) in graph.layers.iter().enumerate() {
        let stays = |channel: &usize| !removed.contains(&Channel { layer: Node(index), index: *channel });
        let channels = match &layer.op {
            Op::Input | Op::SpaceToDepth | Op::Conv(_) => (0..layer.channels).filter(stays).collect(),
            Op::Concat => {
                let mut first = 0;
                let mut joined = Vec::new();
                for &input in &layer.inputs {
                    joined.extend(kept[input.0].iter().map(|channel| first + channel));
                    first += graph.channels(input);
                }
                joined
            }
            _ => kept[layer.inputs[0].0].clone(),
        };
        kept.push(channels);
    }
    kept
}

impl Graph {
    /// How many channels each layer has without those in `removed`, which holds whole sets of coupled channels.
    pub fn channels_without(&self, removed: &BTreeSet<Channel>) -> Vec<usize> {
        kept_channels(self, removed).iter().map(Vec::len).collect()
    }
}

impl Weights {
    /// The network without the channels in `removed`, which must hold whole sets of coupled channels, the same number of each
    /// stratum ([`dependency_groups`]). It says the same as this one with the parameters that yield those channels set to 0.
    ///
    /// # Errors
    /// Fails where these weights do not fit their variant, or what is left makes no network.
    pub fn without(&self, removed: &BTreeSet<Channel>) -> Result<Self, WeightsError> {
        let graph = self.graph()?;
        self.check(&graph)?;
        let kept = kept_channels(&graph, removed);
        let mut narrow = graph.clone();
        narrow.layers.iter_mut().zip(&kept).for_each(|(layer, kept)| layer.channels = kept.len());

        let mut tensors = BTreeMap::new();
        for (layer, outputs) in graph.layers.iter().zip(&kept) {
            let Op::Conv(conv) = &layer.op else { continue };
            let inputs: &[usize] = match conv.kernel {
                Kernel::Dense(_) => &kept[layer.inputs[0].0],
                Kernel::Depthwise(_) => &[0],
            };
            let kernels = layer.parameter_names().0;
            for parameter in graph.layer_parameters(layer, self.metadata.norm) {
                let (rows, is_kernel) = (parameter.shape[0], parameter.shape.len() == 4);
                let chunk = kernels.iter().position(|name| *name == parameter.name).unwrap_or(0);
                let all = chunk * rows..(chunk + 1) * rows;
                let outputs: Vec<usize> =
                    outputs.iter().filter(|output| all.contains(output)).map(|output| output - all.start).collect();
                let tensor = &self.tensors[&parameter.name];
                let kept = if is_kernel { tensor.part(&outputs, inputs) } else { tensor.part(&outputs, &[0]) };
                tensors.insert(parameter.name, kept);
            }
        }
        let channels = Channels::of(&narrow, &self.metadata.variant_graph()?);
        let format_version = channels.format_version();
        let metadata = Metadata { channels, format_version, ..self.metadata.clone() };
        let weights = Self { metadata, tensors };
        weights.check(&weights.graph()?)?;
        Ok(weights)
    }
}

impl WeightTensor {
    /// These rows, and of them these columns: the first two axes.
    fn part(&self, rows: &[usize], columns: &[usize]) -> Self {
        let size = self.shape.iter().skip(2).product::<usize>();
        let width = self.shape.get(1).copied().unwrap_or(1);
        let numbers = |row: usize, column: usize| &self.values[(row * width + column) * size..][..size];
        let values = rows.iter().flat_map(|&row| columns.iter().flat_map(move |&column| numbers(row, column)));
        let values = values.copied().collect();
        let mut shape = self.shape.clone();
        for (axis, count) in shape.iter_mut().zip([rows.len(), columns.len()]) {
            *axis = count;
        }
        Self { shape, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::blocks::{Spatial, add, concat, pointwise, spatial};
    use crate::model::variant::VARIANTS;

    #[test]
    fn every_channel_but_the_predictions_is_in_one_group() {
        for variant in &VARIANTS {
            let graph = variant.graph(20);
            let mut seen = BTreeSet::new();
            let groups = dependency_groups(&graph);
            for group in &groups {
                assert!(!group.is_empty() && group.strata.iter().all(|stratum| stratum.len() == group.strata[0].len()));
                for &channel in group.strata.iter().flatten().flatten() {
                    assert!(seen.insert(channel), "{}: {channel:?} is in two groups", variant.name);
                }
            }
            let convolutions = (0..graph.layers.len())
                .map(Node)
                .filter(|&node| matches!(graph.layer(node).op, Op::Conv(_)) && !graph.is_prediction(node));
            let all =
                convolutions.flat_map(|layer| (0..graph.channels(layer)).map(move |index| Channel { layer, index }));
            assert!(seen.iter().copied().eq(all), "{}", variant.name);
            // No group is stuck: each could lose half of its channels.
            assert!(groups.iter().all(|group| group.strata[0].len() >= 2), "{}", variant.name);
        }
    }

    /// One of each kind of coupling, by hand.
    #[test]
    fn channels_are_coupled_as_the_operations_demand() {
        let mut g = Graph::new(1);
        let input = g.input();
        let x = g.push("x".into(), Op::SpaceToDepth, &[input], 0);
        let a = pointwise(&mut g, "a", x, 4);
        let b = spatial(&mut g, "b", a, 8, Spatial::Depthwise(3), 1);
        let c = pointwise(&mut g, "c", b, 8);
        let sum = add(&mut g, "sum", b, c);
        let d = pointwise(&mut g, "d", sum, 4);
        let joined = concat(&mut g, "joined", &[sum, d]);
        let e = spatial(&mut g, "e", joined, 12, Spatial::Depthwise(3), 1);
        let groups = dependency_groups(&g);
        let channel = |layer, index| Channel { layer, index };
        let set = |i: usize| {
            let doubled = [b, c, e].into_iter().flat_map(|layer| [channel(layer, 2 * i), channel(layer, 2 * i + 1)]);
            [channel(a, i)].into_iter().chain(doubled).collect::<Vec<_>>()
        };
        let of_d = |i: usize| vec![channel(d, i), channel(e, 8 + i)];
        let expected = [(0..4).map(set).collect::<Vec<_>>(), (0..4).map(of_d).collect()];
        let expected: Vec<Group> = expected.into_iter().map(|sets| Group { strata: vec![sets] }).collect();
        assert_eq!(groups, expected);
    }

    #[test]
    fn mixed_kernels_are_strata() {
        let graph = crate::Variant::named("mdconv").unwrap().graph(20);
        let strata: BTreeSet<usize> = dependency_groups(&graph).iter().map(|group| group.strata.len()).collect();
        assert_eq!(strata, [1, 2, 4].into());

        // Nothing can leave where chunks would not lose evenly.
        let mut g = Graph::new(1);
        let input = g.input();
        let x = g.push("x".into(), Op::SpaceToDepth, &[input], 0);
        let a = pointwise(&mut g, "a", x, 4);
        let b = pointwise(&mut g, "b", x, 2);
        let joined = concat(&mut g, "joined", &[a, b, b]);
        spatial(&mut g, "mixed", joined, 8, Spatial::Mixed(&[3, 5]), 1);
        let groups = dependency_groups(&g);
        assert_eq!((groups.len(), groups[0].len()), (1, 1), "4 channels in a chunk, twice the same 2 in the other");
    }
}

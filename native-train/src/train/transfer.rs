//! Beginning with the weights of another network: what has a counterpart there is taken over, the rest stays random.
//!
//! Layers are counterparts by name. Channel by channel, a kernel comes to lie at the centre of a wider one (so that
//! it computes the same), mixed kernels take their share of an ordinary layer's channels and the other way round, and
//! predictions of classes go by the classes' names.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use shared_model::Weights;
use shared_model::evaluation::ClassMap;
use shared_model::graph::{Affine, Graph, Layer, Node, NormState, Op, Parameter};

use crate::table::grouped;

/// What became of a layer of the new network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Its parameters are those of its counterpart.
    Copied,
    /// So they are, at the centre of wider kernels: the same function.
    Centred,
    /// It predicts classes: those of the same name are taken over, the others random.
    ByClass,
    /// It has its counterpart's kernels but not its function: a pointwise half is gone, or channels have multiplied.
    Approximate,
    /// New and random, but multiplied by 0 (in its batch normalisation), as it is added to something taken over: at
    /// first it changes nothing (<https://arxiv.org/abs/1706.02677>, section 5.1).
    Silent,
    /// It stays random.
    Random,
}

impl Fate {
    fn explain(self) -> &'static str {
        match self {
            Self::Copied => "as they are",
            Self::Centred => "at the centre of wider kernels",
            Self::ByClass => "by the names of classes",
            Self::Approximate => "depthwise kernels without the pointwise half behind them: another function",
            Self::Silent => "new, silent at first",
            Self::Random => "left random",
        }
    }
}

/// What was taken over. Its `Display` is for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransferReport {
    /// The layers with parameters, in order of execution, and how many values each has.
    pub layers: BTreeMap<Fate, Vec<(String, usize)>>,
    /// The classes that the other network did not know.
    pub new_classes: Vec<String>,
    /// Number of classes of the new network.
    pub classes: usize,
}

impl TransferReport {
    /// Whether boxes, objectness and the classes that both know come out the same as in the other network.
    pub fn same_function(&self) -> bool {
        !self.layers.contains_key(&Fate::Approximate) && !self.layers.contains_key(&Fate::Random)
    }
}

/// Names of layers that the report shows of a group.
const NAMES_SHOWN: usize = 3;

impl fmt::Display for TransferReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "taken over:")?;
        for (fate, layers) in &self.layers {
            let values: usize = layers.iter().map(|(_, values)| values).sum();
            write!(f, "\n  {} layers ({} values) {}", layers.len(), grouped(values as u64), fate.explain())?;
            if *fate != Fate::Copied {
                let names: Vec<_> = layers.iter().take(NAMES_SHOWN).map(|(name, _)| name.as_str()).collect();
                let more = layers.len() - names.len();
                write!(f, ": {}", names.join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
            }
        }
        write!(f, "\n  {} of {} classes", self.classes - self.new_classes.len(), self.classes)?;
        if !self.new_classes.is_empty() {
            write!(f, "; random: {}", self.new_classes.join(", "))?;
        }
        Ok(())
    }
}

/// `target` (which is random) with what fits of `from`, both with batch normalisation (see [`Weights::unfused`]).
///
/// # Errors
/// Fails where either does not fit its variant or has no batch normalisation.
pub fn transfer(target: &Weights, from: &Weights) -> Result<(Weights, TransferReport)> {
    let checked = |weights: &Weights| -> Result<Graph> {
        ensure!(weights.metadata.norm == NormState::Separate, "batch normalisation is folded into the weights");
        let graph = weights.graph()?;
        weights.check(&graph)?;
        Ok(graph)
    };
    let target_graph = checked(target).context("the weights to begin with")?;
    let from_graph = checked(from).context("the weights to take over from")?;
    let classes = ClassMap::new(&from.metadata.class_names, &target.metadata.class_names);
    let name = |&class: &usize| target.metadata.class_names[class].clone();
    let mut report = TransferReport {
        new_classes: classes.unknown().iter().map(name).collect(),
        classes: target_graph.classes,
        ..TransferReport::default()
    };
    let pair = |index: usize| LayerPair::new(&target_graph, index, &from_graph, &classes);
    let pairs: Vec<Option<LayerPair>> = (0..target_graph.layers.len()).map(pair).collect();
    let silent = silent_layers(&target_graph, &from_graph, &pairs);

    let mut weights = target.clone();
    for ((layer, pair), silence) in target_graph.layers.iter().zip(&pairs).zip(silent) {
        let parameters = target_graph.layer_parameters(layer, NormState::Separate);
        if parameters.is_empty() {
            continue;
        }
        let fate = match (pair, silence) {
            (Some(pair), _) => {
                pair.copy(from, &mut weights);
                pair.fate
            }
            (None, Silence::Not) => Fate::Random,
            (None, Silence::Unheard) => Fate::Silent,
            (None, Silence::Muted) => {
                if let Some(gain) = weights.tensors.get_mut(&format!("{}.bn.weight", layer.name)) {
                    gain.values.fill(0.0);
                }
                Fate::Silent
            }
        };
        let values = parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        report.layers.entry(fate).or_default().push((layer.name.clone(), values));
    }
    Ok((weights, report))
}

/// A layer and its counterpart in the other network.
struct LayerPair {
    /// Kernels (one or several) and vectors of a number a channel, in the same order on both sides.
    into: Tensors,
    from: Tensors,
    /// For each channel the other's that it takes over.
    channels: Vec<Option<usize>>,
    fate: Fate,
}

/// Tensors of a convolution.
struct Tensors {
    /// Of equally many channels each.
    kernels: Vec<Parameter>,
    /// Batch normalisation or bias.
    vectors: Vec<Parameter>,
}

impl Tensors {
    fn of(layer: &Layer, graph: &Graph) -> Self {
        let parameters = graph.layer_parameters(layer, NormState::Separate);
        let (kernels, vectors) = parameters.into_iter().partition(|parameter| parameter.shape.len() == 4);
        Self { kernels, vectors }
    }

    fn channels(&self) -> usize {
        self.kernels.iter().map(|kernel| kernel.shape[0]).sum()
    }

    /// The kernel tensor that `channel` lies in, and where in it.
    fn locate(&self, channel: usize) -> (&Parameter, usize) {
        let each = self.kernels[0].shape[0];
        (&self.kernels[channel / each], channel % each)
    }
}

impl LayerPair {
    /// The layer at `index` of `target` with its counterpart; `None` where there is none, or none that fits.
    fn new(target: &Graph, index: usize, from_graph: &Graph, classes: &ClassMap) -> Option<Self> {
        let layer = &target.layers[index];
        let Op::Conv(_) = layer.op else { return None };
        let counterpart = counterpart(layer, from_graph)?;
        let (into, from) = (Tensors::of(layer, target), Tensors::of(counterpart, from_graph));
        let (count, from_count) = (into.channels(), from.channels());
        let depthwise = from.kernels[0].shape[1] == 1;
        let by_class = target.head.iter().any(|level| level.cls == Node(index));
        let channels: Vec<Option<usize>> = if by_class {
            (0..count).map(|class| (0..from_count).find(|&from| classes.to_data(from) == Some(class))).collect()
        } else if count == from_count || (depthwise && count.is_multiple_of(from_count)) {
            (0..count).map(|channel| Some(channel / (count / from_count))).collect()
        } else {
            return None;
        };
        // Whether the kernel of each channel is wider than its counterpart's; `None` where it is narrower.
        let wider = |(channel, other): (usize, &Option<usize>)| {
            let (into, from) = (&into.locate(channel).0.shape, &from.locate((*other)?).0.shape);
            (into[1] == from[1] && into[2] >= from[2]).then(|| into[2] > from[2])
        };
        let taken = || channels.iter().enumerate().filter(|(_, other)| other.is_some());
        let wider: Vec<bool> = taken().map(wider).collect::<Option<_>>()?;
        if into.vectors.len() != from.vectors.len() {
            return None;
        }

        let has = |graph: &Graph, name: &str| graph.layers.iter().any(|layer| layer.name == name);
        let pointwise = counterpart.name.strip_suffix(".dconv").map(|base| format!("{base}.pconv"));
        let lost = pointwise.is_some_and(|name| has(from_graph, &name) && !has(target, &name));
        let same_channels = channels.iter().enumerate().all(|(channel, &other)| other == Some(channel));
        let fate = if by_class && !(same_channels && count == from_count) {
            Fate::ByClass
        } else if lost || !same_channels {
            Fate::Approximate
        } else if wider.contains(&true) {
            Fate::Centred
        } else {
            Fate::Copied
        };
        Some(Self { into, from, channels, fate })
    }

    fn copy(&self, from: &Weights, weights: &mut Weights) {
        for (channel, other) in self.channels.iter().enumerate() {
            let Some(other) = *other else { continue };
            let ((into_kernel, into_at), (from_kernel, from_at)) = (self.into.locate(channel), self.from.locate(other));
            let of_channel = |parameter: &Parameter, at: usize| {
                let size = parameter.shape[1..].iter().product::<usize>();
                at * size..(at + 1) * size
            };
            let (wide, narrow) = (into_kernel.shape[2], from_kernel.shape[2]);
            let source = &from.tensors[&from_kernel.name].values[of_channel(from_kernel, from_at)];
            if let Some(tensor) = weights.tensors.get_mut(&into_kernel.name) {
                centre(source, narrow, &mut tensor.values[of_channel(into_kernel, into_at)], wide);
            }
            for (into_vector, from_vector) in self.into.vectors.iter().zip(&self.from.vectors) {
                if let Some(tensor) = weights.tensors.get_mut(&into_vector.name) {
                    tensor.values[channel] = from.tensors[&from_vector.name].values[other];
                }
            }
        }
    }
}

/// Lays squares of side `narrow` at the centres of squares of side `wide`, which are 0 elsewhere.
fn centre(from: &[f32], narrow: usize, into: &mut [f32], wide: usize) {
    let margin = (wide - narrow) / 2;
    into.fill(0.0);
    for (from, into) in from.chunks_exact(narrow * narrow).zip(into.chunks_exact_mut(wide * wide)) {
        for (from, into) in from.chunks_exact(narrow).zip(into.chunks_exact_mut(wide).skip(margin)) {
            into[margin..margin + narrow].copy_from_slice(from);
        }
    }
}

/// The convolution of the same name in `graph`. Mixed kernels are called what the whole separable convolution is.
fn counterpart<'a>(layer: &Layer, graph: &'a Graph) -> Option<&'a Layer> {
    let name = layer.name.as_str();
    let names = [name.to_string(), format!("{name}.dconv"), name.trim_end_matches(".dconv").to_string()];
    let convolutions = || graph.layers.iter().filter(|layer| matches!(layer.op, Op::Conv(_)));
    names.iter().find_map(|name| convolutions().find(|layer| layer.name == *name))
}

/// Whether a new layer changes what comes out.
#[derive(Clone, Copy, PartialEq)]
enum Silence {
    Not,
    /// It would, by a sum with something taken over, unless its gain is 0.
    Muted,
    /// It does not, as all that it feeds is silent.
    Unheard,
}

/// For each layer of `target`.
fn silent_layers(target: &Graph, from: &Graph, pairs: &[Option<LayerPair>]) -> Vec<Silence> {
    let known = |index: usize| {
        pairs[index].is_some() || from.layers.iter().any(|layer| layer.name == target.layers[index].name)
    };
    let mut silence = vec![Silence::Not; target.layers.len()];
    for index in (0..target.layers.len()).rev().filter(|&index| !known(index)) {
        let consumers = || (index + 1..target.layers.len()).filter(|&c| target.layers[c].inputs.contains(&Node(index)));
        let joins_known = |consumer: usize| {
            let layer = &target.layers[consumer];
            let others = || layer.inputs.iter().filter(|input| input.0 != index);
            layer.op == Op::Add && !known(consumer) && others().all(|input| known(input.0))
        };
        let is_normalised = matches!(&target.layers[index].op, Op::Conv(conv) if conv.affine == Affine::BatchNorm);
        silence[index] = if consumers().next().is_none() {
            Silence::Not
        } else if consumers().all(|consumer| silence[consumer] != Silence::Not) {
            Silence::Unheard
        } else if is_normalised && consumers().all(joins_known) {
            Silence::Muted
        } else {
            Silence::Not
        };
    }
    silence
}

#[cfg(test)]
mod tests;

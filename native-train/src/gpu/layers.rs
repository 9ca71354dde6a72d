//! A network's convolutions as the GPU's kernels see them.

use std::ops::Range;

use anyhow::{Result, ensure};
use shared_model::ParameterLayout;
use shared_model::graph::{Activation, Affine, Conv, Graph, Node, Op};
use shared_model::lowering::{self, Convolution, shortcuts};

/// A convolution; places of parameters are those of [`ParameterLayout`].
pub(super) struct ConvLayer {
    pub(super) input: Node,
    pub(super) channels: usize,
    pub(super) inputs: usize,
    pub(super) stride: usize,
    /// As the kernels count (`kernels/common.cu`).
    pub(super) activation: i32,
    pub(super) kind: Kind,
    pub(super) norm: Norm,
    /// The position of its first channel among those of all convolutions.
    pub(super) first_channel: usize,
    /// This layer's output is added to its own.
    pub(super) shortcut: Option<Node>,
}

pub(super) enum Kind {
    /// Space-to-depth and 3 x 3; where the weights are.
    Stem(usize),
    /// Where the weights are.
    Pointwise(usize),
    /// Kernels of one width after those of another.
    Depthwise { multiplier: usize, groups: Vec<Group> },
}

/// The channels of a depthwise convolution that have kernels of one width.
pub(super) struct Group {
    pub(super) kernel: usize,
    /// Output channels.
    pub(super) channels: Range<usize>,
    /// Where the weights are.
    pub(super) weights: usize,
}

/// Where a layer's normalisation or bias is among the parameters.
#[derive(Clone, Copy)]
pub(super) enum Norm {
    Bias { bias: usize },
    Batch { weight: usize, bias: usize, mean: usize, variance: usize },
}

/// The network's convolutions, in the order of its layers.
pub(super) fn convolutions(graph: &Graph, layout: &ParameterLayout) -> Result<Vec<Option<ConvLayer>>> {
    let shortcuts = shortcuts(graph);
    let mut first_channel = 0;
    let mut layers = Vec::new();
    for (i, layer) in graph.layers.iter().enumerate() {
        let Op::Conv(conv) = &layer.op else {
            layers.push(None);
            continue;
        };
        layers.push(Some(convolution(graph, layout, i, conv, shortcuts[i], first_channel)?));
        first_channel += layer.channels;
    }
    Ok(layers)
}

fn convolution(
    graph: &Graph,
    layout: &ParameterLayout,
    i: usize,
    conv: &Conv,
    shortcut: Option<Node>,
    first_channel: usize,
) -> Result<ConvLayer> {
    let layer = &graph.layers[i];
    let place = |name: &str| {
        let entry = layout.entries.iter().find(|(parameter, _)| parameter.name == name);
        entry.map(|(_, place)| place.start).expect("the layout is the graph's")
    };
    let (names, bias) = layer.parameter_names();
    let of = |field: &str| place(&format!("{}.bn.{field}", layer.name));
    let norm = match conv.affine {
        Affine::Bias => Norm::Bias { bias: place(&bias) },
        Affine::BatchNorm => Norm::Batch {
            weight: of("weight"),
            bias: of("bias"),
            mean: of("running_mean"),
            variance: of("running_var"),
        },
    };
    let Some(Convolution { kind, channels, inputs, stride, widths }) = Convolution::of(graph, Node(i))? else {
        unreachable!("it is a convolution")
    };
    let kind = match kind {
        lowering::Kind::Stem => Kind::Stem(place(&names[0])),
        lowering::Kind::Pointwise => Kind::Pointwise(place(&names[0])),
        lowering::Kind::Depthwise => {
            let (multiplier, chunk) = (channels / inputs, channels / widths.len());
            ensure!(chunk.is_multiple_of(multiplier), "{}: kernels of several widths read one channel", layer.name);
            let group = |(n, &kernel): (usize, &usize)| {
                let channels = n * chunk..(n + 1) * chunk;
                Group { kernel, channels, weights: place(&names[n]) }
            };
            Kind::Depthwise { multiplier, groups: widths.iter().enumerate().map(group).collect() }
        }
    };
    let activation = match conv.activation {
        Activation::Identity => 0,
        Activation::Silu => 1,
        Activation::Relu => 2,
        Activation::HardSigmoid => 3,
    };
    let input = layer.inputs[0];
    Ok(ConvLayer { input, channels, inputs, stride, activation, kind, norm, first_channel, shortcut })
}

impl ConvLayer {
    /// Of each channel where weight, bias, running mean and running variance are; -1 for what there is not.
    pub(super) fn channel_places(&self) -> impl Iterator<Item = [i32; 4]> {
        let norm = self.norm;
        (0..self.channels).map(move |channel| match norm {
            Norm::Bias { bias } => [-1, (bias + channel) as i32, -1, -1],
            Norm::Batch { weight, bias, mean, variance } => {
                [weight, bias, mean, variance].map(|place| (place + channel) as i32)
            }
        })
    }

    /// Whether nothing but a bias follows the sums: then the gradient of the output is that of the sums.
    pub(super) fn is_linear(&self) -> bool {
        matches!(self.norm, Norm::Bias { .. }) && self.activation == 0
    }
}

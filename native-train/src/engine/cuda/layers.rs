//! A network's convolutions as the GPU's kernels see them.

use std::ops::Range;

use anyhow::{Result, ensure};
use shared_model::graph::{Activation, Graph, Layer, Node, Op};
use shared_model::lowering::{ConvKind, Convolution, Lowered};
use shared_model::{NormRanges, ParameterLayout};

/// A convolution; offsets of parameters are those of [`ParameterLayout`].
pub(super) struct CudaConv {
    pub(super) input: Node,
    pub(super) channels: usize,
    pub(super) inputs: usize,
    pub(super) stride: usize,
    /// As the kernels count (`kernels/common.cu`).
    pub(super) activation: i32,
    pub(super) kind: CudaKernel,
    pub(super) norm: NormRanges,
    /// The position of its first channel among those of all convolutions.
    pub(super) first_channel: usize,
    /// This layer's output is added to its own.
    pub(super) shortcut: Option<Node>,
}

pub(super) enum CudaKernel {
    /// Space-to-depth and 3 x 3; where the weights are.
    Stem(usize),
    /// Where the weights are.
    Pointwise(usize),
    /// Kernels of one width after those of another.
    Depthwise { multiplier: usize, groups: Vec<DepthwiseGroup> },
}

/// The channels of a depthwise convolution that have kernels of one width.
pub(super) struct DepthwiseGroup {
    pub(super) kernel: usize,
    /// Output channels.
    pub(super) channels: Range<usize>,
    pub(super) weights: usize,
}

/// The network's convolutions, in the order of its layers.
///
/// # Errors
/// Fails for a convolution that the GPU has no kernel for.
pub(super) fn convolutions(
    graph: &Graph,
    layout: &ParameterLayout,
    lowered: &[Lowered],
) -> Result<Vec<Option<CudaConv>>> {
    let mut first_channel = 0;
    let mut layers = Vec::new();
    for (layer, lowered) in graph.layers.iter().zip(lowered) {
        let Lowered::Conv { convolution, shortcut } = lowered else {
            layers.push(None);
            continue;
        };
        layers.push(Some(self::convolution(layer, layout, convolution, *shortcut, first_channel)?));
        first_channel += layer.channels;
    }
    Ok(layers)
}

fn convolution(
    layer: &Layer,
    layout: &ParameterLayout,
    convolution: &Convolution,
    shortcut: Option<Node>,
    first_channel: usize,
) -> Result<CudaConv> {
    let Op::Conv(conv) = &layer.op else { unreachable!("it is a convolution") };
    let offset = |name: &str| layout.range(name).start;
    let (names, bias) = layer.parameter_names();
    let norm = NormRanges::new(layer, conv.affine, &bias, |name| layout.range(name));
    let &Convolution { kind, channels, inputs, stride, ref widths } = convolution;
    let kind = match kind {
        ConvKind::Stem => CudaKernel::Stem(offset(&names[0])),
        ConvKind::Pointwise => CudaKernel::Pointwise(offset(&names[0])),
        ConvKind::Depthwise => {
            let (multiplier, chunk) = (channels / inputs, channels / widths.len());
            ensure!(chunk.is_multiple_of(multiplier), "{}: kernels of several widths read one channel", layer.name);
            let group = |(n, &kernel): (usize, &usize)| {
                let channels = n * chunk..(n + 1) * chunk;
                DepthwiseGroup { kernel, channels, weights: offset(&names[n]) }
            };
            CudaKernel::Depthwise { multiplier, groups: widths.iter().enumerate().map(group).collect() }
        }
    };
    let activation = match conv.activation {
        Activation::Identity => 0,
        Activation::Silu => 1,
        Activation::Relu => 2,
        Activation::HardSigmoid => 3,
    };
    let input = layer.inputs[0];
    Ok(CudaConv { input, channels, inputs, stride, activation, kind, norm, first_channel, shortcut })
}

impl CudaConv {
    /// Of each channel where weight, bias, running mean and running variance are; -1 for what there is not.
    pub(super) fn channel_offsets(&self) -> impl Iterator<Item = [i32; 4]> {
        (0..self.channels).map(move |channel| match &self.norm {
            NormRanges::Bias(bias) => [-1, (bias.start + channel) as i32, -1, -1],
            NormRanges::BatchNorm { weight, bias, running_mean, running_var } => {
                [weight, bias, running_mean, running_var].map(|range| (range.start + channel) as i32)
            }
        })
    }

    /// Whether nothing but a bias follows the sums: then the gradient of the output is that of the sums.
    pub(super) fn is_linear(&self) -> bool {
        matches!(self.norm, NormRanges::Bias(_)) && self.activation == 0
    }
}

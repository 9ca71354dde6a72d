//! A layer made ready to run, and its run on slices of the planned array.

use std::ops::Range;

use candle_core::{Result, bail};

use super::fold::fold;
use super::plan::Plan;
use crate::graph::{Conv, Graph, Kernel, Layer, Node, Op};
use crate::kernels::depthwise::{DepthwiseWeights, depthwise};
use crate::kernels::gemm::PackedWeights;
use crate::kernels::pointwise::pointwise;
use crate::kernels::simd::Instructions;
use crate::kernels::stem::stem;
use crate::kernels::{elementwise, pool};
use crate::weights::Weights;

/// A layer's kernel with its weights.
pub(super) enum Step {
    /// The picture: nothing to do.
    Input,
    /// Computed by the next layer.
    Fused,
    Stem(PackedWeights),
    Pointwise(PackedWeights),
    Depthwise(DepthwiseWeights),
    MaxPoolSame(usize),
    MaxPoolHalving,
    GlobalMean,
    Upsample,
    Concat,
    Add,
    Scale,
}

impl Step {
    /// # Errors
    /// Fails for an operation that has no kernel.
    pub(super) fn new(graph: &Graph, layer: &Layer, weights: &Weights) -> Result<Self> {
        Ok(match &layer.op {
            Op::Input => Self::Input,
            Op::SpaceToDepth => Self::Fused,
            Op::Conv(conv) => Self::conv(graph, layer, conv, weights)?,
            Op::MaxPool { kernel, stride: 1 } if kernel % 2 == 1 => Self::MaxPoolSame(*kernel),
            Op::MaxPool { kernel: 2, stride: 2 } => Self::MaxPoolHalving,
            Op::GlobalAvgPool => Self::GlobalMean,
            Op::Upsample => Self::Upsample,
            Op::Concat => Self::Concat,
            Op::Add => Self::Add,
            Op::Scale => Self::Scale,
            op => bail!("{}: there is no kernel for {op}", layer.name),
        })
    }

    fn conv(graph: &Graph, layer: &Layer, conv: &Conv, weights: &Weights) -> Result<Self> {
        let folded = fold(layer, conv.affine, weights);
        let after_space_to_depth = graph.layer(layer.inputs[0]).op == Op::SpaceToDepth;
        Ok(match &conv.kernel {
            Kernel::Depthwise(widths) => Self::Depthwise(DepthwiseWeights::new(
                widths.iter().copied().zip(folded.kernels).collect(),
                folded.bias,
                conv.activation,
                conv.stride,
                Instructions::best(),
            )),
            Kernel::Dense(width @ (1 | 3)) if conv.stride == 1 && after_space_to_depth == (*width == 3) => {
                let packed =
                    PackedWeights::new(&folded.kernels[0], &folded.bias, conv.activation, Instructions::best());
                if *width == 1 { Self::Pointwise(packed) } else { Self::Stem(packed) }
            }
            _ => bail!("{}: there is no kernel for {}", layer.name, layer.op),
        })
    }

    /// Computes layer `i` of `graph` inside `values`.
    pub(super) fn run(&self, graph: &Graph, i: usize, image: &[f32], plan: &Plan, values: &mut [f32]) {
        let layer = &graph.layers[i];
        let place = |node: Node| plan.places[node.0].clone();
        let size = |node: Node| graph.layer(node).extent.size(plan.height, plan.width);
        let to = plan.places[i].clone();
        match self {
            Self::Input | Self::Fused => {}
            Self::Stem(weights) => stem(weights, image, plan.height, plan.width, &mut values[to]),
            Self::Concat => {
                let mut at = to.start;
                for &input in &layer.inputs {
                    let from = place(input);
                    // Most inputs were written here in the first place.
                    if from.start != at {
                        values.copy_within(from.clone(), at);
                    }
                    at += from.len();
                }
            }
            Self::Add => {
                let [a, b, out] = parts(values, [place(layer.inputs[0]), place(layer.inputs[1]), to]);
                elementwise::add(a, b, out);
            }
            Self::Scale => {
                let [x, factors, out] = parts(values, [place(layer.inputs[0]), place(layer.inputs[1]), to]);
                elementwise::scale(x, factors, out);
            }
            _ => {
                let input = layer.inputs[0];
                let (height, width) = size(input);
                let [x, out] = parts(values, [place(input), to]);
                match self {
                    Self::Pointwise(weights) => pointwise(weights, x, out),
                    Self::Depthwise(weights) => depthwise(weights, x, height, width, out),
                    Self::MaxPoolSame(kernel) => pool::max_pool_same(x, height, width, *kernel, out),
                    Self::MaxPoolHalving => pool::max_pool_halving(x, width, out),
                    Self::GlobalMean => elementwise::global_mean(x, out),
                    Self::Upsample => elementwise::upsample(x, width, out),
                    _ => unreachable!("handled above"),
                }
            }
        }
    }
}

/// Disjoint parts of the array. The plan keeps a layer's inputs and output apart; its test plays every variant through.
fn parts<const N: usize>(values: &mut [f32], places: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(places).expect("the plan keeps a layer's inputs and output apart")
}

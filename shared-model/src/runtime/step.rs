//! A layer made ready to run, and its run on slices of the planned array.

use std::ops::Range;

use candle_core::Result;

use super::plan::InferencePlan;
use crate::kernels::block::Residual;
use crate::kernels::parallel::Team;
use crate::kernels::predict::{PredictionWeights, predict};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};
use crate::lowering::{ConvKind, Convolution, ForwardWeights, Lowered, lower, out_of_place};
use crate::model::fuse::fuse_conv_bn;
use crate::model::graph::{Conv, Graph, Layer, Node, Op};
use crate::model::weights::Weights;

/// What is done for one layer of the graph.
pub(super) struct Step {
    work: Work,
    /// What the work reads: the layer's inputs, or those of the layers that it does the work of.
    pub(super) inputs: Vec<Node>,
}

enum Work {
    /// Nothing: the image is there, or a later layer does this one's work.
    None,
    /// With a second input: adds it to the output.
    Conv(ForwardWeights),
    /// Writes to the network's result.
    Predict(PredictionWeights),
    /// What has no weights.
    Simple(Lowered),
}

/// What an image's steps have in common.
pub(super) struct RunContext<'a> {
    pub(super) team: &'a Team,
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a InferencePlan,
    /// 3 x height x width.
    pub(super) image: &'a [f32],
}

impl Step {
    /// The steps of `graph`, one a layer. `weights` must have passed [`Weights::check`].
    ///
    /// # Errors
    /// Fails for an operation that has no kernel.
    pub(super) fn all(graph: &Graph, weights: &Weights) -> Result<Vec<Self>> {
        let mut steps: Vec<Self> = Vec::with_capacity(graph.layers.len());
        for (i, lowered) in lower(graph)?.into_iter().enumerate() {
            let node = Node(i);
            let mut inputs = graph.layer(node).inputs.clone();
            let work = match lowered {
                Lowered::Image => Work::None,
                Lowered::Conv { convolution, shortcut } => {
                    if convolution.kind == ConvKind::Stem {
                        inputs = vec![graph.input()];
                    }
                    inputs.extend(shortcut);
                    Self::conv(graph, node, &convolution, weights)
                }
                // Here the sum has a place, and the convolution before it none.
                Lowered::Added => {
                    inputs.clone_from(&steps[i - 1].inputs);
                    std::mem::replace(&mut steps[i - 1].work, Work::None)
                }
                Lowered::MaxPoolSame(kernel) => {
                    let (of, kernel) = smaller_pool(graph, node, kernel);
                    inputs = vec![of];
                    Work::Simple(Lowered::MaxPoolSame(kernel))
                }
                other => Work::Simple(other),
            };
            steps.push(Self { work, inputs });
        }
        Ok(steps)
    }

    fn conv(graph: &Graph, node: Node, convolution: &Convolution, weights: &Weights) -> Work {
        let layer = graph.layer(node);
        let Op::Conv(Conv { affine, activation, .. }) = layer.op else { unreachable!("it is a convolution") };
        let fused = fuse_conv_bn(layer, affine, weights);
        let predictions = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]);
        if predictions.into_iter().any(|prediction| prediction == node) {
            let instructions = Instructions::best();
            return Work::Predict(PredictionWeights::new(&fused.kernels[0], &fused.bias, activation, instructions));
        }
        let kernels: Vec<&[f32]> = fused.kernels.iter().map(Vec::as_slice).collect();
        Work::Conv(convolution.forward_weights(&kernels, &fused.bias, activation))
    }

    /// Whether this step computes anything.
    pub(super) fn works(&self) -> bool {
        !matches!(self.work, Work::None)
    }

    /// Whether its output lies in the planned array.
    pub(super) fn is_stored(&self) -> bool {
        !matches!(self.work, Work::None | Work::Predict(_))
    }

    /// Computes layer `i` inside `values`; predictions go to `raw` (anchors x (5 + classes)).
    pub(super) fn run(&self, on: &RunContext, i: usize, values: &mut [f32], raw: &mut [f32]) {
        let &RunContext { team, graph, plan, image } = on;
        let layer = &graph.layers[i];
        let range = |node: Node| plan.ranges[node.0].clone();
        let to = plan.ranges[i].clone();
        if let Work::Simple(Lowered::Concat) = self.work {
            // Most inputs were written here in the first place.
            for (from, at) in out_of_place(self.inputs.iter().map(|&input| range(input)), to.start) {
                values.copy_within(from, at);
            }
            return;
        }
        let Some(&input) = self.inputs.first() else { return };
        let (height, width) = graph.layer(input).resolution.size(plan.height, plan.width);
        let instructions = Instructions::best();
        match &self.work {
            Work::None => {}
            Work::Conv(weights @ ForwardWeights::Stem(_)) => {
                weights.run(team, image, height, width, Residual::None, &mut values[to]);
            }
            Work::Predict(weights) => {
                let columns = graph.head_columns(plan.height, plan.width);
                let columns = columns.iter().find(|columns| columns.node == Node(i)).expect("it predicts");
                let row = 5 + graph.classes;
                let rows = &mut raw[columns.anchor * row..][..columns.anchors * row];
                predict(team, weights, &values[range(input)], columns.first, rows);
            }
            work if self.inputs.len() == 2 => {
                let [x, second, out] = parts(values, [range(input), range(self.inputs[1]), to]);
                match work {
                    Work::Conv(weights) => weights.run(team, x, height, width, Residual::Add(second), out),
                    Work::Simple(Lowered::Add) => elementwise::add(team, x, second, out),
                    Work::Simple(Lowered::Scale) => elementwise::scale(x, second, out),
                    _ => unreachable!("{} has one input", layer.name),
                }
            }
            work => {
                let [x, out] = parts(values, [range(input), to]);
                match work {
                    Work::Conv(weights) => weights.run(team, x, height, width, Residual::None, out),
                    Work::Simple(Lowered::MaxPoolSame(kernel)) => {
                        pool::max_pool_same(team, instructions, x, height, width, *kernel, out);
                    }
                    Work::Simple(Lowered::MaxPoolHalving) => {
                        pool::max_pool_halving(team, instructions, x, width, out);
                    }
                    Work::Simple(Lowered::GlobalMean) => elementwise::global_mean(x, out),
                    Work::Simple(Lowered::Upsample) => elementwise::upsample(team, x, width, out),
                    _ => unreachable!("{} has two inputs", layer.name),
                }
            }
        }
    }
}

/// A pool under squares of `kernel` equals a smaller pool of a pool that is there already: 13 of x = 5 of (9 of x).
fn smaller_pool(graph: &Graph, node: Node, kernel: usize) -> (Node, usize) {
    let input = graph.layer(node).inputs[0];
    let of_same = |layer: &Layer| match layer.op {
        Op::MaxPool { kernel: other, stride: 1 } if layer.inputs == [input] && other < kernel => Some(other),
        _ => None,
    };
    let others = graph.layers[..node.0].iter().enumerate().filter_map(|(i, layer)| Some((of_same(layer)?, Node(i))));
    others.max().map_or((input, kernel), |(other, node)| (node, kernel - other + 1))
}

/// Disjoint parts of the array. The plan keeps a layer's inputs and output apart; its test plays every variant through.
fn parts<const N: usize>(values: &mut [f32], ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(ranges).expect("the plan keeps a layer's inputs and output apart")
}

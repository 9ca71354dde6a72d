//! A layer made ready to run, and its run on slices of the planned array.

use std::ops::Range;

use candle_core::{Result, bail};

use super::fold::fold;
use super::plan::Plan;
use crate::graph::{Conv, Graph, Layer, Node, Op};
use crate::kernels::block::Plus;
use crate::kernels::parallel::Team;
use crate::kernels::predict::{PredictionWeights, predict};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};
use crate::lowering::{Convolution, ForwardWeights, shortcuts};
use crate::weights::Weights;

/// What is done for one layer of the graph.
pub(super) struct Step {
    work: Work,
    /// What the work reads: the layer's inputs, or those of the layers that it does the work of.
    pub(super) inputs: Vec<Node>,
}

enum Work {
    /// Nothing: the picture is there, or a later layer does this one's work.
    None,
    /// With a second input: adds it to the output.
    Conv(ForwardWeights),
    /// Writes to the network's result.
    Predict(PredictionWeights),
    MaxPoolSame(usize),
    MaxPoolHalving,
    GlobalMean,
    Upsample,
    Concat,
    Add,
    Scale,
}

/// What a picture's steps have in common.
pub(super) struct On<'a> {
    pub(super) team: &'a Team,
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a Plan,
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
        let shortcuts = shortcuts(graph);
        for i in 0..graph.layers.len() {
            let mut step = Self::new(graph, Node(i), weights)?;
            // A sum with the convolution before it is that layer's last operation.
            if let Some(shortcut) = i.checked_sub(1).and_then(|before| shortcuts[before]) {
                step.work = std::mem::replace(&mut steps[i - 1].work, Work::None);
                step.inputs = steps[i - 1].inputs.iter().copied().chain([shortcut]).collect();
            }
            steps.push(step);
        }
        Ok(steps)
    }

    fn new(graph: &Graph, node: Node, weights: &Weights) -> Result<Self> {
        let layer = graph.layer(node);
        let mut inputs = layer.inputs.clone();
        let work = match &layer.op {
            Op::Input | Op::SpaceToDepth => Work::None,
            Op::Conv(conv) => Self::conv(graph, node, conv, weights)?,
            Op::MaxPool { kernel, stride: 1 } if kernel % 2 == 1 => {
                let (of, kernel) = smaller_pool(graph, node, *kernel);
                inputs = vec![of];
                Work::MaxPoolSame(kernel)
            }
            Op::MaxPool { kernel: 2, stride: 2 } => Work::MaxPoolHalving,
            Op::GlobalAvgPool => Work::GlobalMean,
            Op::Upsample => Work::Upsample,
            Op::Concat => Work::Concat,
            Op::Add => Work::Add,
            Op::Scale => Work::Scale,
            op => bail!("{}: there is no kernel for {op}", layer.name),
        };
        if matches!(work, Work::Conv(ForwardWeights::Stem(_))) {
            inputs = vec![graph.input()];
        }
        Ok(Self { work, inputs })
    }

    fn conv(graph: &Graph, node: Node, conv: &Conv, weights: &Weights) -> Result<Work> {
        let Some(convolution) = Convolution::of(graph, node)? else { unreachable!("it is a convolution") };
        let folded = fold(graph.layer(node), conv.affine, weights);
        let (bias, activation) = (&folded.bias, conv.activation);
        let predictions = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]);
        if predictions.into_iter().any(|prediction| prediction == node) {
            let weights = PredictionWeights::new(&folded.kernels[0], bias, activation, Instructions::best());
            return Ok(Work::Predict(weights));
        }
        let kernels: Vec<&[f32]> = folded.kernels.iter().map(Vec::as_slice).collect();
        Ok(Work::Conv(convolution.forward_weights(&kernels, bias, activation)))
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
    pub(super) fn run(&self, on: &On, i: usize, values: &mut [f32], raw: &mut [f32]) {
        let &On { team, graph, plan, image } = on;
        let layer = &graph.layers[i];
        let place = |node: Node| plan.places[node.0].clone();
        let to = plan.places[i].clone();
        if let Work::Concat = self.work {
            let mut at = to.start;
            for &input in &self.inputs {
                let from = place(input);
                // Most inputs were written here in the first place.
                if from.start != at {
                    values.copy_within(from.clone(), at);
                }
                at += from.len();
            }
            return;
        }
        let Some(&input) = self.inputs.first() else { return };
        let (height, width) = graph.layer(input).extent.size(plan.height, plan.width);
        let instructions = Instructions::best();
        match &self.work {
            Work::None | Work::Concat => {}
            Work::Conv(weights @ ForwardWeights::Stem(_)) => {
                weights.run(team, image, height, width, Plus::Nothing, &mut values[to]);
            }
            Work::Predict(weights) => {
                let columns = graph.head_columns(plan.height, plan.width);
                let columns = columns.iter().find(|columns| columns.node == Node(i)).expect("it predicts");
                let row = 5 + graph.classes;
                let rows = &mut raw[columns.anchor * row..][..columns.anchors * row];
                predict(team, weights, &values[place(input)], columns.first, rows);
            }
            work if self.inputs.len() == 2 => {
                let [x, second, out] = parts(values, [place(input), place(self.inputs[1]), to]);
                match work {
                    Work::Add => elementwise::add(team, x, second, out),
                    Work::Scale => elementwise::scale(x, second, out),
                    Work::Conv(weights) => weights.run(team, x, height, width, Plus::Other(second), out),
                    _ => unreachable!("{} has one input", layer.name),
                }
            }
            work => {
                let [x, out] = parts(values, [place(input), to]);
                match work {
                    Work::Conv(weights) => weights.run(team, x, height, width, Plus::Nothing, out),
                    Work::MaxPoolSame(kernel) => {
                        pool::max_pool_same(team, instructions, x, height, width, *kernel, out);
                    }
                    Work::MaxPoolHalving => pool::max_pool_halving(team, instructions, x, width, out),
                    Work::GlobalMean => elementwise::global_mean(x, out),
                    Work::Upsample => elementwise::upsample(team, x, width, out),
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
fn parts<const N: usize>(values: &mut [f32], places: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(places).expect("the plan keeps a layer's inputs and output apart")
}

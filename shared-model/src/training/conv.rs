//! A convolution with normalisation and activation, forward and backward over a batch.

use std::ops::Range;

use candle_core::Result;

use super::plan::TrainingPlan;
use super::statistics::{Moments, Norm};
use crate::graph::{Activation, Graph, Node, Op};
use crate::kernels::block::Plus;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::parallel::Team;
use crate::kernels::simd::Instructions;
use crate::layout::ParameterLayout;
use crate::lowering::{Convolution, ForwardWeights, InputGradient, Kind, PicturePlanes, TASK_ROWS};

/// A convolution with its weights ready for the kernels.
pub(super) struct ConvLayer {
    node: usize,
    input: Node,
    convolution: Convolution,
    activation: Activation,
    /// Once parameters are loaded.
    weights: Option<(ForwardWeights, InputGradient)>,
    /// Each kernel tensor's place among the parameters.
    kernels: Vec<Range<usize>>,
    pub(super) norm: Norm,
    /// The output is added to this layer's.
    shortcut: Option<Node>,
}

/// What the layers of a pass have in common.
pub(super) struct On<'a> {
    pub(super) team: &'a Team,
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a TrainingPlan,
    /// pictures x 3 x height x width.
    pub(super) pixels: &'a [f32],
}

impl On<'_> {
    /// Height and width of a layer's output.
    pub(super) fn size(&self, node: Node) -> (usize, usize) {
        self.graph.layer(node).extent.size(self.plan.height, self.plan.width)
    }

    fn picture(&self, i: usize) -> &[f32] {
        let len = 3 * self.plan.height * self.plan.width;
        &self.pixels[i * len..][..len]
    }
}

/// What a forward pass normalises by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The batch's statistics.
    Batch,
    /// The running statistics.
    Running,
    /// As `Running`, but the batch's statistics are taken, too.
    Observe,
}

impl ConvLayer {
    /// # Errors
    /// Fails for a convolution that has no kernel.
    pub(super) fn new(
        graph: &Graph,
        layout: &ParameterLayout,
        node: Node,
        shortcut: Option<Node>,
    ) -> Result<Option<Self>> {
        let layer = graph.layer(node);
        let (Op::Conv(conv), Some(convolution)) = (&layer.op, Convolution::of(graph, node)?) else { return Ok(None) };
        let place = |name: &str| {
            let entry = layout.entries.iter().find(|(parameter, _)| parameter.name == name);
            entry.map(|(_, place)| place.clone()).expect("the layout is the graph's")
        };
        let (names, bias) = layer.parameter_names();
        Ok(Some(Self {
            node: node.0,
            input: layer.inputs[0],
            convolution,
            activation: conv.activation,
            weights: None,
            kernels: names.iter().map(|name| place(name)).collect(),
            norm: Norm::new(layer, conv.affine, &bias, place),
            shortcut,
        }))
    }

    /// Takes over the parameters.
    pub(super) fn load(&mut self, parameters: &[f32]) {
        let kernels: Vec<&[f32]> = self.kernels.iter().map(|place| &parameters[place.clone()]).collect();
        let no_bias = vec![0.0; self.convolution.channels];
        let forward = self.convolution.forward_weights(&kernels, &no_bias, Activation::Identity);
        self.weights = Some((forward, self.convolution.input_gradient(&kernels)));
        self.norm.load(parameters);
    }

    fn weights(&self) -> &(ForwardWeights, InputGradient) {
        self.weights.as_ref().expect("parameters are loaded before the first pass")
    }

    /// What is computed from: the input's place in `values`, or the picture itself.
    fn input<'a>(&self, on: &'a On, picture: usize, values: &'a [f32]) -> (&'a [f32], usize, usize) {
        if self.convolution.kind == Kind::Stem {
            return (on.picture(picture), on.plan.height, on.plan.width);
        }
        let (height, width) = on.size(self.input);
        (values, height, width)
    }

    /// Computes the outputs of all pictures in `arena`.
    pub(super) fn forward(&mut self, on: &On, arena: &mut [f32], mode: Mode) {
        let instructions = Instructions::best();
        let plan = on.plan;
        let places = &plan.places[self.node];
        let from = plan.places[self.input.0].out.clone();
        let channels = self.convolution.channels;
        let plane = places.sums.len() / channels;
        let pictures = arena.len() / plan.len;
        let observes = mode != Mode::Running && self.norm.is_batch();
        if mode != Mode::Batch {
            // A batch may have been normalised by its own statistics since they were loaded.
            self.norm.normalise_by_running();
        }
        let mut parts = vec![Moments::default(); if observes { pictures * channels } else { 0 }];

        let (alone, weights) = (&Team::alone(), &self.weights().0);
        on.team.for_each_chunk(arena, plan.len, &mut parts, |picture, values, parts| {
            let [x, sums] = disjoint(values, [from.clone(), places.sums.clone()]);
            let (x, height, width) = self.input(on, picture, x);
            weights.run(alone, x, height, width, Plus::Nothing, sums);
            for (sums, part) in sums.chunks_exact(plane).zip(parts) {
                let (mean, squares) = moments(instructions, sums);
                *part = Moments { count: plane as f64, mean, squares };
            }
        });
        if observes {
            self.norm.observe(&parts, mode == Mode::Batch);
        }

        let affine = &self.norm.affine;
        let nothing: &mut [u8] = &mut [];
        let shortcut = self.shortcut.map_or(0..0, |Node(shortcut)| plan.places[shortcut].out.clone());
        on.team.for_each_chunk(arena, plan.len, nothing, |_, values, _| {
            let [sums, out, shortcut] = disjoint(values, [places.sums.clone(), places.out.clone(), shortcut.clone()]);
            let planes = sums.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).enumerate();
            for (channel, (sums, out)) in planes {
                let residual = shortcut.get(channel * plane..(channel + 1) * plane).filter(|part| !part.is_empty());
                normalise(instructions, self.activation, affine[channel], sums, residual, out);
            }
        });
    }

    /// Computes from the gradient with respect to the output that of the parameters, in `update`, and that with respect to
    /// the input, added to what lies there if that `accumulates`.
    pub(super) fn backward(&self, on: &On, arena: &mut [f32], accumulates: bool, update: &mut [f32]) {
        let instructions = Instructions::best();
        let plan = on.plan;
        let places = &plan.places[self.node];
        let channels = self.convolution.channels;
        let plane = places.sums.len() / channels;
        let pictures = arena.len() / plan.len;
        let (sums, gradient) = (places.sums.clone(), places.gradient.clone());

        let mut parts = vec![(0.0, 0.0); pictures * channels];
        on.team.for_each_chunk(arena, plan.len, &mut parts, |_, values, parts| {
            let [sums, gradient] = disjoint(values, [sums.clone(), gradient.clone()]);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane)).zip(parts).enumerate();
            for (channel, ((sums, gradient), part)) in planes {
                let (affine, mean) = (self.norm.affine[channel], self.norm.mean[channel]);
                *part = activation_gradient(instructions, self.activation, affine, mean, sums, gradient);
            }
        });
        let factors = self.norm.backward(&parts, pictures * plane, update);

        let per_picture = self.convolution.sums_up_per_picture(plane);
        let weights: usize = self.kernels.iter().map(Range::len).sum();
        let mut weight_parts = vec![0.0; if per_picture { pictures * weights } else { 0 }];
        let (from, to) = (plan.places[self.input.0].out.clone(), plan.places[self.input.0].gradient.clone());
        let (alone, weights_back) = (&Team::alone(), &self.weights().1);
        on.team.for_each_chunk(arena, plan.len, &mut weight_parts, |picture, values, weight_part| {
            let parts = [sums.clone(), gradient.clone(), from.clone(), to.clone()];
            let [sums, gradient, x, of_input] = disjoint(values, parts);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane));
            for ((sums, gradient), &factors) in planes.zip(&factors) {
                affine_gradient(instructions, factors, sums, gradient);
            }
            let plus = if accumulates { Plus::Itself } else { Plus::Nothing };
            let (height, width) = on.size(self.input);
            weights_back.run(alone, gradient, height, width, plus, of_input);
            if per_picture {
                let (x, height, width) = self.input(on, picture, x);
                self.convolution.kernel_gradient(x, gradient, height, width, weight_part);
            }
        });

        if per_picture {
            let mut at = 0;
            for place in &self.kernels {
                let update = &mut update[place.clone()];
                let parts = |i: usize| weight_parts[at + i..].iter().step_by(weights).take(pictures);
                update.iter_mut().enumerate().for_each(|(i, sum)| *sum = parts(i).sum());
                at += place.len();
            }
        } else {
            let rows = &mut update[self.kernels[0].clone()];
            self.pointwise_over_pictures(on, arena, rows);
        }
    }

    /// The gradient of the weights, `out` (channels x inputs), from all pictures at once.
    fn pointwise_over_pictures(&self, on: &On, arena: &[f32], out: &mut [f32]) {
        let plan = on.plan;
        let (gradient, x) = (plan.places[self.node].gradient.clone(), &plan.places[self.input.0].out);
        let Convolution { channels, inputs, .. } = self.convolution;
        let (pictures, plane) = (arena.len() / plan.len, gradient.len() / channels);
        let planes = |start: usize| PicturePlanes { numbers: arena, start, step: plan.len };
        let task = |first: usize, out: &mut [f32]| {
            let (gradient, x) = (planes(gradient.start), planes(x.start));
            self.convolution.pointwise_rows_gradient(pictures, plane, first, gradient, x, out);
        };
        // The last task may have fewer rows.
        let whole = channels / TASK_ROWS * TASK_ROWS;
        let (most, rest) = out.split_at_mut(whole * inputs);
        let nothing: &mut [u8] = &mut [];
        on.team.for_each_chunk(most, TASK_ROWS * inputs, nothing, |i, out, _| task(i * TASK_ROWS, out));
        task(whole, rest);
    }
}

/// Disjoint parts of a picture's numbers: the plan keeps apart what is needed at the same time.
pub(super) fn disjoint<const N: usize>(values: &mut [f32], places: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(places).expect("the plan keeps apart what is needed at the same time")
}

//! A convolution with normalisation and activation, forward and backward over a batch.

use std::ops::Range;

use super::plan::TrainingPlan;
use super::statistics::{Moments, NormMode, NormOrBias};
use crate::kernels::block::Residual;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::parallel::Team;
use crate::kernels::simd::Instructions;
use crate::lowering::{ConvKind, Convolution, ForwardWeights, ImagePlanes, InputGradient, Lowered, TASK_ROWS};
use crate::model::graph::{Activation, Graph, Node, Op};
use crate::model::layout::ParameterLayout;

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
    pub(super) norm: NormOrBias,
    /// The output is added to this layer's.
    shortcut: Option<Node>,
}

/// What the layers of a pass have in common.
pub(super) struct BatchContext<'a> {
    pub(super) team: &'a Team,
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a TrainingPlan,
    /// images x 3 x height x width.
    pub(super) pixels: &'a [f32],
}

impl BatchContext<'_> {
    /// Height and width of a layer's output.
    pub(super) fn size(&self, node: Node) -> (usize, usize) {
        self.graph.layer(node).resolution.size(self.plan.height, self.plan.width)
    }

    fn image(&self, i: usize) -> &[f32] {
        let len = 3 * self.plan.height * self.plan.width;
        &self.pixels[i * len..][..len]
    }
}

impl ConvLayer {
    /// That of layer `node`; `None` where it is no convolution.
    pub(super) fn new(graph: &Graph, layout: &ParameterLayout, node: Node, lowered: &Lowered) -> Option<Self> {
        let layer = graph.layer(node);
        let (Op::Conv(conv), Lowered::Conv { convolution, shortcut }) = (&layer.op, lowered) else { return None };
        let (names, bias) = layer.parameter_names();
        Some(Self {
            node: node.0,
            input: layer.inputs[0],
            convolution: convolution.clone(),
            activation: conv.activation,
            weights: None,
            kernels: names.iter().map(|name| layout.range(name)).collect(),
            norm: NormOrBias::new(layer, conv.affine, &bias, |name| layout.range(name)),
            shortcut: *shortcut,
        })
    }

    /// Takes over the parameters.
    pub(super) fn load(&mut self, parameters: &[f32]) {
        let kernels: Vec<&[f32]> = self.kernels.iter().map(|range| &parameters[range.clone()]).collect();
        let no_bias = vec![0.0; self.convolution.channels];
        let forward = self.convolution.forward_weights(&kernels, &no_bias, Activation::Identity);
        self.weights = Some((forward, self.convolution.input_gradient(&kernels)));
        self.norm.load(parameters);
    }

    fn weights(&self) -> &(ForwardWeights, InputGradient) {
        self.weights.as_ref().expect("parameters are loaded before the first pass")
    }

    /// What is computed from: the input's place in `values`, or the image itself.
    fn input<'a>(&self, on: &'a BatchContext, image: usize, values: &'a [f32]) -> (&'a [f32], usize, usize) {
        if self.convolution.kind == ConvKind::Stem {
            return (on.image(image), on.plan.height, on.plan.width);
        }
        let (height, width) = on.size(self.input);
        (values, height, width)
    }

    /// Computes the outputs of all images in `arena`.
    pub(super) fn forward(&mut self, on: &BatchContext, arena: &mut [f32], mode: NormMode) {
        let instructions = Instructions::best();
        let plan = on.plan;
        let ranges = &plan.ranges[self.node];
        let from = plan.ranges[self.input.0].out.clone();
        let channels = self.convolution.channels;
        let plane = ranges.sums.len() / channels;
        let images = arena.len() / plan.len;
        let observes = mode != NormMode::Running && self.norm.is_batch();
        if mode != NormMode::Batch {
            // A batch may have been normalised by its own statistics since they were loaded.
            self.norm.normalise_by_running();
        }
        let mut parts = vec![Moments::default(); if observes { images * channels } else { 0 }];

        let (alone, weights) = (&Team::alone(), &self.weights().0);
        on.team.parallel_for_chunk_pairs(arena, plan.len, &mut parts, |image, values, parts| {
            let [x, sums] = disjoint(values, [from.clone(), ranges.sums.clone()]);
            let (x, height, width) = self.input(on, image, x);
            weights.run(alone, x, height, width, Residual::None, sums);
            for (sums, part) in sums.chunks_exact(plane).zip(parts) {
                let (mean, m2) = moments(instructions, sums);
                *part = Moments { count: plane as f64, mean, m2 };
            }
        });
        if observes {
            self.norm.observe(&parts, mode == NormMode::Batch);
        }

        let affine = &self.norm.affine;
        let nothing: &mut [u8] = &mut [];
        let shortcut = self.shortcut.map_or(0..0, |Node(shortcut)| plan.ranges[shortcut].out.clone());
        on.team.parallel_for_chunk_pairs(arena, plan.len, nothing, |_, values, _| {
            let [sums, out, shortcut] = disjoint(values, [ranges.sums.clone(), ranges.out.clone(), shortcut.clone()]);
            let planes = sums.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).enumerate();
            for (channel, (sums, out)) in planes {
                let residual = shortcut.get(channel * plane..(channel + 1) * plane).filter(|part| !part.is_empty());
                normalise(instructions, self.activation, affine[channel], sums, residual, out);
            }
        });
    }

    /// Computes from the gradient with respect to the output that of the parameters, in `update`, and that with respect to
    /// the input, added to what lies there if that `accumulates`.
    pub(super) fn backward(&self, on: &BatchContext, arena: &mut [f32], accumulates: bool, update: &mut [f32]) {
        let instructions = Instructions::best();
        let plan = on.plan;
        let ranges = &plan.ranges[self.node];
        let channels = self.convolution.channels;
        let plane = ranges.sums.len() / channels;
        let images = arena.len() / plan.len;
        let (sums, gradient) = (ranges.sums.clone(), ranges.gradient.clone());

        let mut parts = vec![(0.0, 0.0); images * channels];
        on.team.parallel_for_chunk_pairs(arena, plan.len, &mut parts, |_, values, parts| {
            let [sums, gradient] = disjoint(values, [sums.clone(), gradient.clone()]);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane)).zip(parts).enumerate();
            for (channel, ((sums, gradient), part)) in planes {
                let (affine, mean) = (self.norm.affine[channel], self.norm.mean[channel]);
                *part = activation_gradient(instructions, self.activation, affine, mean, sums, gradient);
            }
        });
        let factors = self.norm.backward(&parts, images * plane, update);

        let per_image = self.convolution.sums_up_per_image(plane);
        let weights: usize = self.kernels.iter().map(Range::len).sum();
        let mut weight_parts = vec![0.0; if per_image { images * weights } else { 0 }];
        let (from, to) = (plan.ranges[self.input.0].out.clone(), plan.ranges[self.input.0].gradient.clone());
        let (alone, weights_back) = (&Team::alone(), &self.weights().1);
        on.team.parallel_for_chunk_pairs(arena, plan.len, &mut weight_parts, |image, values, weight_part| {
            let parts = [sums.clone(), gradient.clone(), from.clone(), to.clone()];
            let [sums, gradient, x, of_input] = disjoint(values, parts);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane));
            for ((sums, gradient), &factors) in planes.zip(&factors) {
                affine_gradient(instructions, factors, sums, gradient);
            }
            let residual = if accumulates { Residual::Accumulate } else { Residual::None };
            let (height, width) = on.size(self.input);
            weights_back.run(alone, gradient, height, width, residual, of_input);
            if per_image {
                let (x, height, width) = self.input(on, image, x);
                self.convolution.kernel_gradient(x, gradient, height, width, weight_part);
            }
        });

        if per_image {
            let mut at = 0;
            for range in &self.kernels {
                let update = &mut update[range.clone()];
                let parts = |i: usize| weight_parts[at + i..].iter().step_by(weights).take(images);
                update.iter_mut().enumerate().for_each(|(i, sum)| *sum = parts(i).sum());
                at += range.len();
            }
        } else {
            let rows = &mut update[self.kernels[0].clone()];
            self.pointwise_over_images(on, arena, rows);
        }
    }

    /// The gradient of the weights, `out` (channels x inputs), from all images at once.
    fn pointwise_over_images(&self, on: &BatchContext, arena: &[f32], out: &mut [f32]) {
        let plan = on.plan;
        let (gradient, x) = (plan.ranges[self.node].gradient.clone(), &plan.ranges[self.input.0].out);
        let Convolution { channels, inputs, .. } = self.convolution;
        let (images, plane) = (arena.len() / plan.len, gradient.len() / channels);
        let planes = |start: usize| ImagePlanes { numbers: arena, start, step: plan.len };
        let task = |first: usize, out: &mut [f32]| {
            let (gradient, x) = (planes(gradient.start), planes(x.start));
            self.convolution.pointwise_rows_gradient(images, plane, first, gradient, x, out);
        };
        // The last task may have fewer rows.
        let whole = channels / TASK_ROWS * TASK_ROWS;
        let (most, rest) = out.split_at_mut(whole * inputs);
        let nothing: &mut [u8] = &mut [];
        on.team.parallel_for_chunk_pairs(most, TASK_ROWS * inputs, nothing, |i, out, _| task(i * TASK_ROWS, out));
        task(whole, rest);
    }
}

/// Disjoint parts of an image's numbers: the plan keeps apart what is needed at the same time.
pub(super) fn disjoint<const N: usize>(values: &mut [f32], ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(ranges).expect("the plan keeps apart what is needed at the same time")
}

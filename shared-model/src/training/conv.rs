//! A convolution with normalisation and activation, forward and backward over a batch.

use std::ops::Range;

use candle_core::{Result, bail};

use super::plan::TrainingPlan;
use super::statistics::{Moments, Norm};
use crate::graph::{Activation, Graph, Kernel, Node, Op};
use crate::kernels::block::Plus;
use crate::kernels::depthwise::{DepthwiseWeights, depthwise};
use crate::kernels::depthwise_gradient::{Shape, kernel_gradient};
use crate::kernels::gemm::PackedWeights;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::parallel::Team;
use crate::kernels::pointwise::pointwise;
use crate::kernels::products::{Planes, Stretches, add_products};
use crate::kernels::simd::{Instructions, MOST_LANES};
use crate::kernels::stem::{StemWeights, stem};
use crate::kernels::stem_gradient::stem_gradient;
use crate::layout::ParameterLayout;

/// A convolution with its weights ready for the kernels.
pub(super) struct ConvLayer {
    node: usize,
    input: Node,
    channels: usize,
    inputs: usize,
    stride: usize,
    activation: Activation,
    kind: Kind,
    /// Each kernel width and its kernels' place among the parameters.
    kernels: Vec<(usize, Range<usize>)>,
    pub(super) norm: Norm,
    /// The output is added to this layer's.
    shortcut: Option<Node>,
}

enum Kind {
    Stem(Option<StemWeights>),
    /// Forward, and with respect to the input.
    Pointwise(Option<(PackedWeights, PackedWeights)>),
    Depthwise(Option<(DepthwiseWeights, Vec<DepthwiseWeights>)>),
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

/// Planes of fewer pixels are summed up over all pictures at once: each alone is too short for a tile of products.
const SMALL: usize = 1024;

/// Numbers of all channels of input and output whose products are summed up at once: they stay in a core's own cache.
const STRETCH: usize = 1 << 17;

/// Rows of a weight matrix that are one task.
const TASK_ROWS: usize = 8;

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
        let Op::Conv(conv) = &layer.op else { return Ok(None) };
        let place = |name: &str| {
            let entry = layout.entries.iter().find(|(parameter, _)| parameter.name == name);
            entry.map(|(_, place)| place.clone()).expect("the layout is the graph's")
        };
        let (names, bias) = layer.parameter_names();
        let after_space_to_depth = graph.layer(layer.inputs[0]).op == Op::SpaceToDepth;
        let (kind, widths) = match &conv.kernel {
            Kernel::Depthwise(widths) => (Kind::Depthwise(None), widths.clone()),
            Kernel::Dense(3) if conv.stride == 1 && after_space_to_depth => (Kind::Stem(None), vec![3]),
            Kernel::Dense(1) if conv.stride == 1 && !after_space_to_depth => (Kind::Pointwise(None), vec![1]),
            _ => bail!("{}: training has no kernel for {}", layer.name, layer.op),
        };
        Ok(Some(Self {
            node: node.0,
            input: layer.inputs[0],
            channels: layer.channels,
            inputs: graph.channels_in(layer),
            stride: conv.stride,
            activation: conv.activation,
            kind,
            kernels: widths.into_iter().zip(names.iter().map(|name| place(name))).collect(),
            norm: Norm::new(layer, conv.affine, &bias, place),
            shortcut,
        }))
    }

    /// Takes over the parameters.
    pub(super) fn load(&mut self, parameters: &[f32]) {
        let instructions = Instructions::best();
        let kernel = &parameters[self.kernels[0].1.clone()];
        let bias = vec![0.0; self.channels];
        let linear = Activation::Identity;
        match &mut self.kind {
            Kind::Stem(weights) => *weights = Some(StemWeights::new(kernel, &bias, linear, instructions)),
            Kind::Pointwise(weights) => {
                let mut transposed = vec![0.0; kernel.len()];
                for (o, row) in kernel.chunks_exact(self.inputs).enumerate() {
                    for (c, &value) in row.iter().enumerate() {
                        transposed[c * self.channels + o] = value;
                    }
                }
                let no_bias = vec![0.0; self.inputs];
                *weights = Some((
                    PackedWeights::new(kernel, &bias, linear, instructions),
                    PackedWeights::new(&transposed, &no_bias, linear, instructions),
                ));
            }
            Kind::Depthwise(weights) => {
                let kernels: Vec<(usize, &[f32])> =
                    self.kernels.iter().map(|(k, place)| (*k, &parameters[place.clone()])).collect();
                let backward = DepthwiseWeights::of_input_gradient(&kernels, self.inputs, self.stride, instructions);
                let kernels = kernels.into_iter().map(|(k, values)| (k, values.to_vec())).collect();
                let forward = DepthwiseWeights::new(kernels, bias, linear, self.stride, instructions);
                *weights = Some((forward, backward));
            }
        }
        self.norm.load(parameters);
    }

    /// Computes the outputs of all pictures in `arena`.
    pub(super) fn forward(&mut self, on: &On, arena: &mut [f32], mode: Mode) {
        let instructions = Instructions::best();
        let plan = on.plan;
        let (height, width) = on.size(self.input);
        let places = &plan.places[self.node];
        let from = plan.places[self.input.0].out.clone();
        let plane = places.sums.len() / self.channels;
        let pictures = arena.len() / plan.len;
        let observes = mode != Mode::Running && self.norm.is_batch();
        if mode != Mode::Batch {
            // A batch may have been normalised by its own statistics since they were loaded.
            self.norm.normalise_by_running();
        }
        let mut parts = vec![Moments::default(); if observes { pictures * self.channels } else { 0 }];

        let alone = &Team::alone();
        on.team.for_each_chunk(arena, plan.len, &mut parts, |picture, values, parts| {
            let [x, sums] = disjoint(values, [from.clone(), places.sums.clone()]);
            match &self.kind {
                Kind::Stem(weights) => {
                    stem(alone, loaded(weights), on.picture(picture), plan.height, plan.width, sums);
                }
                Kind::Pointwise(weights) => pointwise(alone, &loaded(weights).0, x, Plus::Nothing, sums),
                Kind::Depthwise(weights) => {
                    depthwise(alone, &loaded(weights).0, x, height, width, Plus::Nothing, sums);
                }
            }
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
        let plane = places.sums.len() / self.channels;
        let pictures = arena.len() / plan.len;
        let (sums, gradient) = (places.sums.clone(), places.gradient.clone());

        let mut parts = vec![(0.0, 0.0); pictures * self.channels];
        on.team.for_each_chunk(arena, plan.len, &mut parts, |_, values, parts| {
            let [sums, gradient] = disjoint(values, [sums.clone(), gradient.clone()]);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane)).zip(parts).enumerate();
            for (channel, ((sums, gradient), part)) in planes {
                let (affine, mean) = (self.norm.affine[channel], self.norm.mean[channel]);
                *part = activation_gradient(instructions, self.activation, affine, mean, sums, gradient);
            }
        });
        let factors = self.norm.backward(&parts, pictures * plane, update);

        let per_picture = self.sums_up_per_picture(plane);
        let weights: usize = self.kernels.iter().map(|(_, place)| place.len()).sum();
        let mut weight_parts = vec![0.0; if per_picture { pictures * weights } else { 0 }];
        let (from, to) = (plan.places[self.input.0].out.clone(), plan.places[self.input.0].gradient.clone());
        let (height, width) = on.size(self.input);
        let alone = &Team::alone();
        on.team.for_each_chunk(arena, plan.len, &mut weight_parts, |picture, values, weight_part| {
            let parts = [sums.clone(), gradient.clone(), from.clone(), to.clone()];
            let [sums, gradient, x, of_input] = disjoint(values, parts);
            let planes = sums.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane));
            for ((sums, gradient), &factors) in planes.zip(&factors) {
                affine_gradient(instructions, factors, sums, gradient);
            }
            let plus = if accumulates { Plus::Itself } else { Plus::Nothing };
            match &self.kind {
                Kind::Stem(_) => {
                    let picture = on.picture(picture);
                    stem_gradient(instructions, picture, plan.height, plan.width, gradient, weight_part);
                }
                Kind::Pointwise(weights) => {
                    pointwise(alone, &loaded(weights).1, gradient, plus, of_input);
                    if per_picture {
                        self.add_pointwise(gradient, x, plane, weight_part);
                    }
                }
                Kind::Depthwise(weights) => {
                    for (i, weights) in loaded(weights).1.iter().enumerate() {
                        let plus = if i > 0 { Plus::Itself } else { plus };
                        depthwise(alone, weights, gradient, height, width, plus, of_input);
                    }
                    let widths: Vec<usize> = self.kernels.iter().map(|(k, _)| *k).collect();
                    let (widths, stride, inputs, outputs) = (&widths[..], self.stride, self.inputs, self.channels);
                    let shape = Shape { widths, stride, inputs, outputs, height, width };
                    kernel_gradient(instructions, shape, x, gradient, weight_part);
                }
            }
        });

        if per_picture {
            let mut at = 0;
            for (_, place) in &self.kernels {
                let update = &mut update[place.clone()];
                let parts = |i: usize| weight_parts[at + i..].iter().step_by(weights).take(pictures);
                update.iter_mut().enumerate().for_each(|(i, sum)| *sum = parts(i).sum());
                at += place.len();
            }
        } else {
            let rows = &mut update[self.kernels[0].1.clone()];
            self.pointwise_over_pictures(on, arena, rows);
        }
    }

    /// Whether each picture's share of the weights' gradient is computed with the picture.
    fn sums_up_per_picture(&self, plane: usize) -> bool {
        !matches!(self.kind, Kind::Pointwise(_)) || plane >= SMALL
    }

    /// Adds one picture's share to the gradient `out` (channels x inputs).
    fn add_pointwise(&self, gradient: &[f32], x: &[f32], plane: usize, out: &mut [f32]) {
        let starts = |channels: usize, at: usize| (0..channels).map(|c| c * plane + at).collect::<Vec<_>>();
        let parts = (plane * (self.channels + self.inputs)).div_ceil(STRETCH);
        // In whole vectors, so that those of the next part begin where cache lines do.
        let len = plane.div_ceil(parts).next_multiple_of(MOST_LANES);
        for at in (0..plane).step_by(len) {
            let (rows, columns) = (starts(self.channels, at), starts(self.inputs, at));
            let stretches = Stretches { count: 1, len: len.min(plane - at), steps: (0, 0) };
            let rows = Planes { numbers: gradient, starts: &rows };
            let columns = Planes { numbers: x, starts: &columns };
            add_products(Instructions::best(), rows, columns, stretches, out);
        }
    }

    /// The gradient of the weights, `out` (channels x inputs), from all pictures at once.
    fn pointwise_over_pictures(&self, on: &On, arena: &[f32], out: &mut [f32]) {
        let plan = on.plan;
        let gradient = plan.places[self.node].gradient.clone();
        let from = plan.places[self.input.0].out.clone();
        let plane = gradient.len() / self.channels;
        let stretches = Stretches { count: arena.len() / plan.len, len: plane, steps: (plan.len, plan.len) };
        let columns: Vec<usize> = (0..self.inputs).map(|c| from.start + c * plane).collect();
        // The last task may have fewer rows.
        let whole = self.channels / TASK_ROWS * TASK_ROWS;
        let (most, rest) = out.split_at_mut(whole * self.inputs);
        let nothing: &mut [u8] = &mut [];
        let task = |first: usize, out: &mut [f32]| {
            let rows = (first..first + out.len() / self.inputs).map(|o| gradient.start + o * plane);
            let rows: Vec<usize> = rows.collect();
            out.fill(0.0);
            let rows = Planes { numbers: arena, starts: &rows };
            add_products(Instructions::best(), rows, Planes { numbers: arena, starts: &columns }, stretches, out);
        };
        on.team.for_each_chunk(most, TASK_ROWS * self.inputs, nothing, |i, out, _| task(i * TASK_ROWS, out));
        task(whole, rest);
    }
}

/// Disjoint parts of a picture's numbers: the plan keeps apart what is needed at the same time.
pub(super) fn disjoint<const N: usize>(values: &mut [f32], places: [Range<usize>; N]) -> [&mut [f32]; N] {
    values.get_disjoint_mut(places).expect("the plan keeps apart what is needed at the same time")
}

fn loaded<T>(weights: &Option<T>) -> &T {
    weights.as_ref().expect("parameters are loaded before the first pass")
}

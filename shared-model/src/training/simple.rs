//! Layers without parameters, forward and backward over a batch, and the way from predictions to the raw head output.

use super::conv::{BatchContext, disjoint};
use super::plan::GradientMove;
use crate::kernels::parallel::Team;
use crate::kernels::pool_gradient::{max_pool_halving_gradient, max_pool_same_gradient, upsample_gradient};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};
use crate::lowering::{Lowered, out_of_place};
use crate::model::graph::{HeadColumns, Node};

/// Computes the output of layer `node` in every image.
pub(super) fn forward(on: &BatchContext, node: Node, lowered: &Lowered, arena: &mut [f32]) {
    if let Lowered::Image | Lowered::Added | Lowered::Conv { .. } = lowered {
        return;
    }
    let layer = on.graph.layer(node);
    let range = |node: Node| on.plan.ranges[node.0].out.clone();
    let to = range(node);
    let instructions = Instructions::best();
    let (height, width) = on.size(layer.inputs[0]);
    let alone = &Team::alone();
    on.team.parallel_for_chunk_pairs(arena, on.plan.len, &mut [0_u8; 0], |_, values, _| {
        if *lowered == Lowered::Concat {
            // Most inputs were written here in the first place.
            for (from, at) in out_of_place(layer.inputs.iter().map(|&input| range(input)), to.start) {
                values.copy_within(from, at);
            }
            return;
        }
        let second = layer.inputs.get(1).map_or(0..0, |&input| range(input));
        let [x, second, out] = disjoint(values, [range(layer.inputs[0]), second, to.clone()]);
        match lowered {
            Lowered::MaxPoolSame(kernel) => {
                pool::max_pool_same(alone, instructions, x, height, width, *kernel, out);
            }
            Lowered::MaxPoolHalving => pool::max_pool_halving(alone, instructions, x, width, out),
            Lowered::GlobalMean => elementwise::global_mean(x, out),
            Lowered::Upsample => elementwise::upsample(alone, x, width, out),
            Lowered::Add => elementwise::add(alone, x, second, out),
            Lowered::Scale => elementwise::scale(x, second, out),
            Lowered::Image | Lowered::Added | Lowered::Conv { .. } | Lowered::Concat => {
                unreachable!("dealt with above")
            }
        }
    });
}

/// Adds the shares of layer `node`'s inputs in its gradient to theirs; `begun` says whose gradients have been begun.
pub(super) fn backward(on: &BatchContext, node: Node, lowered: &Lowered, arena: &mut [f32], begun: &mut [bool]) {
    let layer = on.graph.layer(node);
    let ranges = |node: Node| on.plan.ranges[node.0].clone();
    let (height, width) = on.size(layer.inputs[0]);
    let gradient = ranges(node).gradient;
    let is_begun: Vec<bool> = layer.inputs.iter().map(|input| begun[input.0]).collect();
    on.team.parallel_for_chunk_pairs(arena, on.plan.len, &mut [0_u8; 0], |_, values, _| {
        if let Lowered::Concat | Lowered::Add | Lowered::Added = lowered {
            for GradientMove { input, from, to } in on.plan.gradient_moves(layer, node) {
                if is_begun[input] {
                    let [from, to] = disjoint(values, [from, to]);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
                } else {
                    values.copy_within(from, to.start);
                }
            }
            return;
        }
        for (&input, _) in layer.inputs.iter().zip(&is_begun).filter(|(_, begun)| !**begun) {
            values[ranges(input).gradient].fill(0.0);
        }
        let input = ranges(layer.inputs[0]);
        match lowered {
            Lowered::MaxPoolSame(kernel) => {
                let [x, gradient, to] = disjoint(values, [input.out, gradient.clone(), input.gradient]);
                max_pool_same_gradient(x, height, width, *kernel, gradient, to);
            }
            Lowered::MaxPoolHalving => {
                let [x, gradient, to] = disjoint(values, [input.out, gradient.clone(), input.gradient]);
                max_pool_halving_gradient(x, width, gradient, to);
            }
            Lowered::GlobalMean => {
                let [gradient, to] = disjoint(values, [gradient.clone(), input.gradient]);
                let pixels = to.len() / gradient.len();
                for (to, gradient) in to.chunks_exact_mut(pixels).zip(gradient) {
                    to.iter_mut().for_each(|to| *to += *gradient / pixels as f32);
                }
            }
            Lowered::Upsample => {
                let [gradient, to] = disjoint(values, [gradient.clone(), input.gradient]);
                upsample_gradient(width, gradient, to);
            }
            Lowered::Scale => {
                let factors = ranges(layer.inputs[1]);
                let parts = [input.out, factors.out, gradient.clone(), input.gradient, factors.gradient];
                let [x, factors, gradient, of_x, of_factors] = disjoint(values, parts);
                let pixels = x.len() / factors.len();
                for (channel, (&factor, of_factor)) in factors.iter().zip(of_factors).enumerate() {
                    let plane = channel * pixels..(channel + 1) * pixels;
                    let planes = x[plane.clone()].iter().zip(&gradient[plane.clone()]).zip(&mut of_x[plane]);
                    for ((x, gradient), of_x) in planes {
                        *of_factor += x * gradient;
                        *of_x += factor * gradient;
                    }
                }
            }
            Lowered::Image | Lowered::Conv { .. } | Lowered::Concat | Lowered::Add | Lowered::Added => {
                unreachable!("dealt with elsewhere")
            }
        }
    });
    for input in &layer.inputs {
        begun[input.0] = true;
    }
}

/// Writes all predictions to `raw` (images x anchors x (5 + classes)).
pub(super) fn gather_predictions(on: &BatchContext, arena: &mut [f32], raw: &mut [f32]) {
    let columns = on.graph.head_columns(on.plan.height, on.plan.width);
    let row = 5 + on.graph.classes;
    on.team.parallel_for_chunk_pairs(arena, on.plan.len, raw, |_, values, raw| {
        for &HeadColumns { node, anchor, anchors, first } in &columns {
            let planes = values[on.plan.ranges[node.0].out.clone()].chunks_exact(anchors);
            for (channel, plane) in planes.enumerate() {
                let to = raw[anchor * row + first + channel..].iter_mut().step_by(row);
                to.zip(plane).for_each(|(to, value)| *to = *value);
            }
        }
    });
}

/// If `node` is a prediction, takes its gradient from that of the raw head output, `gradient`.
pub(super) fn scatter_prediction(on: &BatchContext, node: Node, gradient: &[f32], arena: &mut [f32]) {
    let row = 5 + on.graph.classes;
    let columns = on.graph.head_columns(on.plan.height, on.plan.width);
    let Some(&HeadColumns { anchor, anchors, first, .. }) = columns.iter().find(|columns| columns.node == node) else {
        return;
    };
    let len = gradient.len() / (arena.len() / on.plan.len);
    on.team.parallel_for_chunk_pairs(arena, on.plan.len, &mut [0_u8; 0], |image, values, _| {
        let gradient = &gradient[image * len..][..len];
        let planes = values[on.plan.ranges[node.0].gradient.clone()].chunks_exact_mut(anchors);
        for (channel, plane) in planes.enumerate() {
            let from = gradient[anchor * row + first + channel..].iter().step_by(row);
            plane.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    });
}

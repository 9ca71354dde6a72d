//! Layers without parameters, forward and backward over a batch, and the way from predictions to the raw head output.

use super::conv::{On, disjoint};
use crate::graph::{HeadColumns, Node, Op};
use crate::kernels::parallel::Team;
use crate::kernels::pool_gradient::{max_pool_halving_gradient, max_pool_same_gradient, upsample_gradient};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};

/// Computes the output of layer `node` in every picture.
pub(super) fn forward(on: &On, node: Node, arena: &mut [f32]) {
    let layer = on.graph.layer(node);
    let place = |node: Node| on.plan.places[node.0].out.clone();
    let to = place(node);
    // Nothing is left to do for a sum that was computed with a convolution.
    let done = layer.op == Op::Add && layer.inputs.iter().any(|&input| place(input) == to);
    if done || matches!(layer.op, Op::Input | Op::SpaceToDepth) {
        return;
    }
    let instructions = Instructions::best();
    let (height, width) = on.size(layer.inputs[0]);
    let alone = &Team::alone();
    on.team.for_each_chunk(arena, on.plan.len, &mut [0_u8; 0], |_, values, _| {
        if layer.op == Op::Concat {
            let mut at = to.start;
            for &input in &layer.inputs {
                let from = place(input);
                // Most inputs were written here in the first place.
                if from.start != at {
                    values.copy_within(from.clone(), at);
                }
                at += from.len();
            }
            return;
        }
        let second = layer.inputs.get(1).map_or(0..0, |&input| place(input));
        let [x, second, out] = disjoint(values, [place(layer.inputs[0]), second, to.clone()]);
        match &layer.op {
            Op::MaxPool { kernel, stride: 1 } => {
                pool::max_pool_same(alone, instructions, x, height, width, *kernel, out);
            }
            Op::MaxPool { .. } => pool::max_pool_halving(alone, instructions, x, width, out),
            Op::GlobalAvgPool => elementwise::global_mean(x, out),
            Op::Upsample => elementwise::upsample(alone, x, width, out),
            Op::Add => elementwise::add(alone, x, second, out),
            Op::Scale => elementwise::scale(x, second, out),
            Op::Input | Op::SpaceToDepth | Op::Concat | Op::Conv(_) => unreachable!("dealt with elsewhere"),
        }
    });
}

/// Adds the shares of layer `node`'s inputs in its gradient to theirs; `begun` says whose gradients have been begun.
pub(super) fn backward(on: &On, node: Node, arena: &mut [f32], begun: &mut [bool]) {
    let layer = on.graph.layer(node);
    let places = |node: Node| on.plan.places[node.0].clone();
    let (height, width) = on.size(layer.inputs[0]);
    let gradient = places(node).gradient;
    let is_begun: Vec<bool> = layer.inputs.iter().map(|input| begun[input.0]).collect();
    let whole = gradient.start;
    on.team.for_each_chunk(arena, on.plan.len, &mut [0_u8; 0], |_, values, _| {
        match layer.op {
            Op::Concat | Op::Add => {
                let mut at = whole;
                for (&input, &begun) in layer.inputs.iter().zip(&is_begun) {
                    let to = places(input).gradient;
                    let from = at..at + to.len();
                    if layer.op == Op::Concat {
                        at = from.end;
                    }
                    // Where the input's gradient lies in this one's place, it is there.
                    if to == from {
                        continue;
                    }
                    if begun {
                        let [from, to] = disjoint(values, [from, to]);
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
                    } else {
                        values.copy_within(from, to.start);
                    }
                }
                return;
            }
            Op::Input | Op::SpaceToDepth | Op::Conv(_) => unreachable!("dealt with elsewhere"),
            _ => {}
        }
        for (&input, _) in layer.inputs.iter().zip(&is_begun).filter(|(_, begun)| !**begun) {
            values[places(input).gradient].fill(0.0);
        }
        let input = places(layer.inputs[0]);
        match layer.op {
            Op::MaxPool { kernel, stride } => {
                let [x, gradient, to] = disjoint(values, [input.out, gradient.clone(), input.gradient]);
                if stride == 1 {
                    max_pool_same_gradient(x, height, width, kernel, gradient, to);
                } else {
                    max_pool_halving_gradient(x, width, gradient, to);
                }
            }
            Op::GlobalAvgPool => {
                let [gradient, to] = disjoint(values, [gradient.clone(), input.gradient]);
                let pixels = to.len() / gradient.len();
                for (to, gradient) in to.chunks_exact_mut(pixels).zip(gradient) {
                    to.iter_mut().for_each(|to| *to += *gradient / pixels as f32);
                }
            }
            Op::Upsample => {
                let [gradient, to] = disjoint(values, [gradient.clone(), input.gradient]);
                upsample_gradient(width, gradient, to);
            }
            Op::Scale => {
                let factors = places(layer.inputs[1]);
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
            _ => unreachable!("dealt with above"),
        }
    });
    for input in &layer.inputs {
        begun[input.0] = true;
    }
}

/// Writes all predictions to `raw` (pictures x anchors x (5 + classes)).
pub(super) fn gather_predictions(on: &On, arena: &mut [f32], raw: &mut [f32]) {
    let columns = on.graph.head_columns(on.plan.height, on.plan.width);
    let row = 5 + on.graph.classes;
    on.team.for_each_chunk(arena, on.plan.len, raw, |_, values, raw| {
        for &HeadColumns { node, anchor, anchors, first } in &columns {
            let planes = values[on.plan.places[node.0].out.clone()].chunks_exact(anchors);
            for (channel, plane) in planes.enumerate() {
                let to = raw[anchor * row + first + channel..].iter_mut().step_by(row);
                to.zip(plane).for_each(|(to, value)| *to = *value);
            }
        }
    });
}

/// If `node` is a prediction, takes its gradient from that of the raw head output, `gradient`.
pub(super) fn scatter_prediction(on: &On, node: Node, gradient: &[f32], arena: &mut [f32]) {
    let row = 5 + on.graph.classes;
    let columns = on.graph.head_columns(on.plan.height, on.plan.width);
    let Some(&HeadColumns { anchor, anchors, first, .. }) = columns.iter().find(|columns| columns.node == node) else {
        return;
    };
    let len = gradient.len() / (arena.len() / on.plan.len);
    on.team.for_each_chunk(arena, on.plan.len, &mut [0_u8; 0], |picture, values, _| {
        let gradient = &gradient[picture * len..][..len];
        let planes = values[on.plan.places[node.0].gradient.clone()].chunks_exact_mut(anchors);
        for (channel, plane) in planes.enumerate() {
            let from = gradient[anchor * row + first + channel..].iter().step_by(row);
            plane.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    });
}

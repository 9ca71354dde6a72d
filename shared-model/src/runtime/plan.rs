//! Where every layer's output lies in memory: one array for all of them, in which layers that are not needed at the same
//! time share room, and what is concatenated is written side by side at once.

use std::ops::Range;

use super::step::Step;
use crate::memory::Values;
use crate::model::graph::{Graph, Node, Op};

/// The layout for images of one size.
#[derive(Debug)]
pub(super) struct InferencePlan {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Numbers in the array.
    pub(super) len: usize,
    /// Each layer's part of it; empty for layers that never have a place of their own.
    pub(super) ranges: Vec<Range<usize>>,
}

impl InferencePlan {
    /// Plans `graph`'s `steps` for images of `height` x `width` pixels.
    pub(super) fn new(graph: &Graph, height: usize, width: usize, steps: &[Step]) -> Self {
        let layers = &graph.layers;
        let sizes: Vec<usize> = layers
            .iter()
            .zip(steps)
            .map(|(layer, step)| {
                let (h, w) = layer.resolution.size(height, width);
                if step.is_stored() { layer.channels * h * w } else { 0 }
            })
            .collect();
        let mut values = Values::new(sizes.clone());

        // A layer is written straight into the first concatenation that reads it; a second one copies.
        for (whole, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.op == Op::Concat) {
            let mut offset = 0;
            for &Node(input) in &layer.inputs {
                if steps[input].is_stored() && !values.is_inside(input) {
                    values.put_inside(input, whole, offset);
                }
                offset += sizes[input];
            }
        }
        for (i, step) in steps.iter().enumerate() {
            for value in step.inputs.iter().map(|input| input.0).chain([i]) {
                if steps[value].is_stored() {
                    values.touch(value, i);
                }
            }
        }
        let (ranges, len) = values.arrange();
        Self { height, width, len, ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::{VARIANTS, Variant};
    use crate::model::weights::Weights;

    fn prepared(variant: &'static Variant) -> (Graph, Vec<Step>) {
        let graph = variant.graph(20);
        let steps = Step::all(&graph, &Weights::random(variant, 20, 0)).unwrap();
        (graph, steps)
    }

    /// Plays the execution through on tags instead of numbers: every layer must find its inputs as they were written.
    #[test]
    fn nothing_is_overwritten_before_its_last_use() {
        for variant in &VARIANTS {
            let (graph, steps) = prepared(variant);
            for (height, width) in [(64, 64), (96, 160), (416, 416)] {
                let plan = InferencePlan::new(&graph, height, width, &steps);
                let mut owner = vec![usize::MAX; plan.len];
                let check = |owner: &[usize], reader: &str, node: Node| {
                    // What is written through a concatenation's parts belongs to the parts.
                    let range = plan.ranges[node.0].clone();
                    assert!(!range.is_empty() || node == graph.input(), "{}: {reader} reads nothing", variant.name);
                    let parts = &graph.layer(node).inputs;
                    let valid = |&tag: &usize| {
                        tag == node.0 || graph.layer(node).op == Op::Concat && parts.contains(&Node(tag))
                    };
                    assert!(owner[range].iter().all(valid), "{}: {reader} reads what is gone", variant.name);
                };
                for (i, layer) in graph.layers.iter().enumerate() {
                    for &input in &steps[i].inputs {
                        if steps[i].works() {
                            check(&owner, &layer.name, input);
                        }
                    }
                    let range = plan.ranges[i].clone();
                    if layer.op == Op::Concat {
                        let mut at = range.start;
                        for &Node(input) in &layer.inputs {
                            let part = at..at + plan.ranges[input].len();
                            if plan.ranges[input] != part {
                                owner[part.clone()].fill(i);
                            }
                            at = part.end;
                        }
                    } else {
                        owner[range].fill(i);
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_shared() {
        for variant in &VARIANTS {
            let (graph, steps) = prepared(variant);
            let plan = InferencePlan::new(&graph, 416, 416, &steps);
            let all: usize = crate::cost(&graph, 416, 416).activation_bytes;
            assert!(4 * plan.len * 3 < all, "{}: {} of {all} bytes", variant.name, 4 * plan.len);
        }
    }
}

//! Where every layer's output lies in memory: one array for all of them, in which layers that are not needed at the same
//! time share room, and what is concatenated is written side by side at once.

use std::ops::Range;

use super::step::Step;
use crate::graph::{Graph, Node, Op};

/// The layout for pictures of one size.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Numbers in the array.
    pub(super) len: usize,
    /// Each layer's part of it; empty for layers that never have a place of their own.
    pub(super) places: Vec<Range<usize>>,
}

/// Places begin at multiples of this many numbers (a cache line).
const ALIGNMENT: usize = 16;

/// A layer that lies inside another's place.
#[derive(Clone, Copy)]
struct Inside {
    whole: usize,
    offset: usize,
}

impl Plan {
    /// Plans `graph`'s `steps` for pictures of `height` x `width` pixels.
    pub(super) fn new(graph: &Graph, height: usize, width: usize, steps: &[Step]) -> Self {
        let layers = &graph.layers;
        let sizes: Vec<usize> = layers
            .iter()
            .map(|layer| {
                let (h, w) = layer.extent.size(height, width);
                layer.channels * h * w
            })
            .collect();
        let stored = |i: usize| steps[i].is_stored();

        // A layer is written straight into the first concatenation that reads it; a second one copies.
        let mut inside: Vec<Option<Inside>> = vec![None; layers.len()];
        for (whole, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.op == Op::Concat) {
            let mut offset = 0;
            for &Node(input) in &layer.inputs {
                if stored(input) && inside[input].is_none() {
                    inside[input] = Some(Inside { whole, offset });
                }
                offset += sizes[input];
            }
        }
        let resolve = |mut i: usize| {
            let mut offset = 0;
            while let Some(part) = inside[i] {
                offset += part.offset;
                i = part.whole;
            }
            (i, offset)
        };

        // From its first write to its last read.
        let mut lives: Vec<Option<Range<usize>>> = vec![None; layers.len()];
        let mut touch = |i: usize, when: usize| {
            let life = &mut lives[resolve(i).0];
            let first = life.as_ref().map_or(when, |life| life.start);
            *life = Some(first..when + 1);
        };
        for (i, step) in steps.iter().enumerate() {
            touch(i, i);
            for input in &step.inputs {
                touch(input.0, i);
            }
        }

        // The largest first, each at the lowest free place.
        let mut wholes: Vec<usize> = (0..layers.len()).filter(|&i| stored(i) && inside[i].is_none()).collect();
        wholes.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
        let mut starts = vec![0; layers.len()];
        let mut placed: Vec<usize> = Vec::new();
        for &i in &wholes {
            let overlaps = |&&j: &&usize| match (&lives[i], &lives[j]) {
                (Some(a), Some(b)) => a.start < b.end && b.start < a.end,
                _ => false,
            };
            let mut taken: Vec<Range<usize>> =
                placed.iter().filter(overlaps).map(|&j| starts[j]..starts[j] + sizes[j]).collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + sizes[i] <= range.start {
                    break;
                }
                start = start.max(range.end.next_multiple_of(ALIGNMENT));
            }
            starts[i] = start;
            placed.push(i);
        }
        let places = (0..layers.len())
            .map(|i| {
                let (whole, offset) = resolve(i);
                if stored(i) { starts[whole] + offset..starts[whole] + offset + sizes[i] } else { 0..0 }
            })
            .collect();
        let len = wholes.iter().map(|&i| starts[i] + sizes[i]).max().unwrap_or(0);
        Self { height, width, len, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variant::{VARIANTS, Variant};
    use crate::weights::Weights;

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
                let plan = Plan::new(&graph, height, width, &steps);
                let mut owner = vec![usize::MAX; plan.len];
                let check = |owner: &[usize], reader: &str, node: Node| {
                    // What is written through a concatenation's parts belongs to the parts.
                    let place = plan.places[node.0].clone();
                    assert!(!place.is_empty() || node == graph.input(), "{}: {reader} reads nothing", variant.name);
                    let parts = &graph.layer(node).inputs;
                    let valid = |&tag: &usize| {
                        tag == node.0 || graph.layer(node).op == Op::Concat && parts.contains(&Node(tag))
                    };
                    assert!(owner[place].iter().all(valid), "{}: {reader} reads what is gone", variant.name);
                };
                for (i, layer) in graph.layers.iter().enumerate() {
                    for &input in &steps[i].inputs {
                        if steps[i].works() {
                            check(&owner, &layer.name, input);
                        }
                    }
                    let place = plan.places[i].clone();
                    if layer.op == Op::Concat {
                        let mut at = place.start;
                        for &Node(input) in &layer.inputs {
                            let part = at..at + plan.places[input].len();
                            if plan.places[input] != part {
                                owner[part.clone()].fill(i);
                            }
                            at = part.end;
                        }
                    } else {
                        owner[place].fill(i);
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_shared() {
        for variant in &VARIANTS {
            let (graph, steps) = prepared(variant);
            let plan = Plan::new(&graph, 416, 416, &steps);
            let all: usize = crate::cost(&graph, 416, 416).activation_bytes;
            assert!(4 * plan.len * 3 < all, "{}: {} of {all} bytes", variant.name, 4 * plan.len);
        }
    }
}

//! Where everything that a training step needs of one picture lies in memory: for every layer its output, a convolution's
//! sums before normalisation, and the gradient with respect to the output.

use std::ops::Range;

use crate::graph::{Graph, Node, Op};
use crate::memory::Values;

/// The layout for pictures of one size. An engine of another device can scale it: with `n` times the places there is room for
/// `n` pictures in any order of their numbers.
pub struct TrainingPlan {
    /// Of the pictures, in pixels.
    pub height: usize,
    /// Of the pictures, in pixels.
    pub width: usize,
    /// Numbers for a picture.
    pub len: usize,
    /// Of every layer, in the order of [`Graph::layers`].
    pub places: Vec<Places>,
}

/// A layer's places among a picture's numbers; empty where there is no need of one.
#[derive(Clone, Default)]
pub struct Places {
    /// The layer's output.
    pub out: Range<usize>,
    /// What a convolution yields before normalisation and activation.
    pub sums: Range<usize>,
    /// Of the loss with respect to the output; in a convolution's backward pass it becomes that with respect to the sums.
    pub gradient: Range<usize>,
}

/// Whether gradients flow through the layer: not to the picture.
pub fn has_gradient(op: &Op) -> bool {
    !matches!(op, Op::Input | Op::SpaceToDepth)
}

impl TrainingPlan {
    /// Plans for pictures of `height` x `width` pixels; `shortcuts` are the graph's ([`crate::lowering::shortcuts`]). The outputs of `taps` are
    /// still there when the forward pass is over, as predictions are.
    pub fn new(graph: &Graph, shortcuts: &[Option<Node>], taps: &[Node], height: usize, width: usize) -> Self {
        let layers = &graph.layers;
        let count = layers.len();
        let sizes: Vec<usize> = layers
            .iter()
            .map(|layer| {
                let (h, w) = layer.extent.size(height, width);
                if has_gradient(&layer.op) { layer.channels * h * w } else { 0 }
            })
            .collect();
        let is_conv = |i: usize| matches!(layers[i].op, Op::Conv(_));
        let (out, sums, gradient) = (|i: usize| i, |i: usize| count + i, |i: usize| 2 * count + i);
        let of_sums = (0..count).map(|i| if is_conv(i) { sizes[i] } else { 0 });
        let mut values = Values::new(sizes.iter().copied().chain(of_sums).chain(sizes.iter().copied()).collect());

        for (i, layer) in layers.iter().enumerate() {
            if shortcuts[i].is_some() {
                values.put_inside(out(i), out(i + 1), 0);
                values.put_inside(gradient(i), gradient(i + 1), 0);
            }
            if layer.op != Op::Concat {
                continue;
            }
            // Written straight into the first concatenation that reads it. The gradient stays in the last one, whose
            // backward pass comes first: other readers add to it there.
            let mut offset = 0;
            for (position, &Node(input)) in layer.inputs.iter().enumerate() {
                let twice = layer.inputs[..position].contains(&Node(input));
                if !values.is_inside(out(input)) && !twice {
                    values.put_inside(out(input), out(i), offset);
                }
                let last = layers.iter().rposition(|reader| reader.inputs.contains(&Node(input))) == Some(i);
                if last && !values.is_inside(gradient(input)) && !twice {
                    values.put_inside(gradient(input), gradient(i), offset);
                }
                offset += sizes[input];
            }
        }

        // Forward, layer i is computed at the time i; backward at `end + count - i`. Between them predictions are read.
        let end = count;
        for (i, layer) in layers.iter().enumerate().filter(|(_, layer)| has_gradient(&layer.op)) {
            let back = end + count - i;
            let inputs = || layer.inputs.iter().filter(|input| has_gradient(&layers[input.0].op));
            values.touch(out(i), i);
            values.touch(gradient(i), back);
            for &Node(input) in inputs() {
                values.touch(out(input), i);
                values.touch(gradient(input), back);
            }
            if let Some(Node(shortcut)) = shortcuts[i] {
                values.touch(out(shortcut), i);
            }
            if is_conv(i) {
                values.touch(sums(i), i);
                values.touch(sums(i), back);
            }
            if matches!(layer.op, Op::Conv(_) | Op::MaxPool { .. } | Op::Scale) {
                for &Node(input) in inputs() {
                    values.touch(out(input), back);
                }
            }
        }
        let predictions = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]);
        for Node(read) in predictions.chain(taps.iter().copied()) {
            values.touch(out(read), end);
        }
        let (places, len) = values.arrange();
        let of = |i: usize| Places {
            out: places[out(i)].clone(),
            sums: places[sums(i)].clone(),
            gradient: places[gradient(i)].clone(),
        };
        Self { height, width, len, places: (0..count).map(of).collect() }
    }
}

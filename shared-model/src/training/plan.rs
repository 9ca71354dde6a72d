//! Where everything that a training step needs of one image lies in memory: for every layer its output, a convolution's
//! sums before normalisation, and the gradient with respect to the output.

use std::ops::Range;

use crate::lowering::Lowered;
use crate::memory::Values;
use crate::model::graph::{Graph, Layer, Node, Op};

/// The layout for images of one size. An engine of another device can scale it: with `n` times the places there is room for
/// `n` images in any order of their numbers.
pub struct TrainingPlan {
    /// Of the images, in pixels.
    pub height: usize,
    /// Of the images, in pixels.
    pub width: usize,
    /// Numbers for an image.
    pub len: usize,
    /// Of every layer, in the order of [`Graph::layers`].
    pub ranges: Vec<LayerRanges>,
}

/// A layer's places among an image's numbers; empty where there is no need of one.
#[derive(Clone, Default)]
pub struct LayerRanges {
    /// The layer's output.
    pub out: Range<usize>,
    /// What a convolution yields before normalisation and activation.
    pub sums: Range<usize>,
    /// Of the loss with respect to the output; in a convolution's backward pass it becomes that with respect to the sums.
    pub gradient: Range<usize>,
}

/// A gradient of a concatenation or sum that becomes an input's.
pub struct GradientMove {
    /// Its position among the layer's inputs.
    pub input: usize,
    /// Where the input's share lies.
    pub from: Range<usize>,
    /// Where the input's gradient belongs.
    pub to: Range<usize>,
}

impl TrainingPlan {
    /// Plans for images of `height` x `width` pixels; `lowered`: what computes each layer ([`crate::lowering::lower`]). The outputs of `taps` are
    /// still there when the forward pass is over, as predictions are.
    pub fn new(graph: &Graph, lowered: &[Lowered], taps: &[Node], height: usize, width: usize) -> Self {
        let layers = &graph.layers;
        let count = layers.len();
        let sizes: Vec<usize> = layers
            .iter()
            .zip(lowered)
            .map(|(layer, lowered)| {
                let (h, w) = layer.resolution.size(height, width);
                if lowered.has_gradient() { layer.channels * h * w } else { 0 }
            })
            .collect();
        let is_conv = |i: usize| matches!(lowered[i], Lowered::Conv { .. });
        let (out, sums, gradient) = (|i: usize| i, |i: usize| count + i, |i: usize| 2 * count + i);
        let of_sums = (0..count).map(|i| if is_conv(i) { sizes[i] } else { 0 });
        let mut values = Values::new(sizes.iter().copied().chain(of_sums).chain(sizes.iter().copied()).collect());

        for (i, layer) in layers.iter().enumerate() {
            if let Lowered::Conv { shortcut: Some(_), .. } = lowered[i] {
                values.put_inside(out(i), out(i + 1), 0);
                values.put_inside(gradient(i), gradient(i + 1), 0);
            }
            if lowered[i] != Lowered::Concat {
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
        for (i, layer) in layers.iter().enumerate().filter(|&(i, _)| lowered[i].has_gradient()) {
            let back = end + count - i;
            let inputs = || layer.inputs.iter().filter(|input| lowered[input.0].has_gradient());
            values.touch(out(i), i);
            values.touch(gradient(i), back);
            for &Node(input) in inputs() {
                values.touch(out(input), i);
                values.touch(gradient(input), back);
            }
            if let Lowered::Conv { shortcut: Some(Node(shortcut)), .. } = lowered[i] {
                values.touch(out(shortcut), i);
            }
            if is_conv(i) {
                values.touch(sums(i), i);
                values.touch(sums(i), back);
            }
            // What their gradients are computed from.
            let reads_input = matches!(
                lowered[i],
                Lowered::Conv { .. } | Lowered::MaxPoolSame(_) | Lowered::MaxPoolHalving | Lowered::Scale
            );
            if reads_input {
                for &Node(input) in inputs() {
                    values.touch(out(input), back);
                }
            }
        }
        let predictions = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]);
        for Node(read) in predictions.chain(taps.iter().copied()) {
            values.touch(out(read), end);
        }
        let (ranges, len) = values.arrange();
        let of = |i: usize| LayerRanges {
            out: ranges[out(i)].clone(),
            sums: ranges[sums(i)].clone(),
            gradient: ranges[gradient(i)].clone(),
        };
        Self { height, width, len, ranges: (0..count).map(of).collect() }
    }

    /// What the gradient of `layer`, which is `node`, a concatenation or a sum, gives to its inputs; what lies in place already is
    /// left out.
    pub fn gradient_moves<'a>(&'a self, layer: &'a Layer, node: Node) -> impl Iterator<Item = GradientMove> + 'a {
        let mut at = self.ranges[node.0].gradient.start;
        let moves = layer.inputs.iter().enumerate().map(move |(input, node)| {
            let to = self.ranges[node.0].gradient.clone();
            let from = at..at + to.len();
            if layer.op == Op::Concat {
                at = from.end;
            }
            GradientMove { input, from, to }
        });
        moves.filter(|GradientMove { from, to, .. }| from != to)
    }
}

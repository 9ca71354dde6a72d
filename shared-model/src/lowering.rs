//! What computes each layer: decided here, once, for inference, training and candle's operations on the CPU, and for GPUs, which
//! have kernels of their own for each kind.

mod convolution;

use std::ops::Range;

use candle_core::{Result, bail};

pub use convolution::{ConvKind, Convolution};
pub(crate) use convolution::{ForwardWeights, ImagePlanes, InputGradient, TASK_ROWS};

use crate::model::graph::{Graph, Layer, Node, Op};

/// What computes a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lowered {
    /// Nothing: it is the image, or pixels of it in another order, which the first convolution reads in the image.
    Image,
    /// A convolution.
    Conv {
        /// Its kernels.
        convolution: Convolution,
        /// What is added to its output: then the next layer is [`Lowered::Added`].
        shortcut: Option<Node>,
    },
    /// Nothing more: a sum that the convolution before it has computed.
    Added,
    /// The greatest value under squares of this odd width, one pixel apart.
    MaxPoolSame(usize),
    /// The greatest value of every 2 x 2 pixels.
    MaxPoolHalving,
    /// The mean of every channel.
    GlobalMean,
    /// Every pixel four times.
    Upsample,
    /// Copies of what was not written side by side in the first place.
    Concat,
    /// A sum of two layers.
    Add,
    /// A layer times one number a channel.
    Scale,
}

impl Lowered {
    /// Whether gradients flow through the layer: not to the image.
    pub fn has_gradient(&self) -> bool {
        *self != Self::Image
    }
}

/// What computes each of `graph`'s layers.
///
/// # Errors
/// Fails for a layer that there are no kernels for, naming it.
pub fn lower(graph: &Graph) -> Result<Vec<Lowered>> {
    let shortcuts: Vec<Option<Node>> = (0..graph.layers.len()).map(|i| shortcut(graph, i)).collect();
    let lower = |(i, layer): (usize, &Layer)| {
        Ok(match &layer.op {
            Op::Input | Op::SpaceToDepth => Lowered::Image,
            Op::Conv(conv) => {
                Lowered::Conv { convolution: Convolution::of(graph, Node(i), conv)?, shortcut: shortcuts[i] }
            }
            Op::Add if i.checked_sub(1).is_some_and(|before| shortcuts[before].is_some()) => Lowered::Added,
            Op::MaxPool { kernel, stride: 1 } if kernel % 2 == 1 => Lowered::MaxPoolSame(*kernel),
            Op::MaxPool { kernel: 2, stride: 2 } => Lowered::MaxPoolHalving,
            Op::GlobalAvgPool => Lowered::GlobalMean,
            Op::Upsample => Lowered::Upsample,
            Op::Concat => Lowered::Concat,
            Op::Add => Lowered::Add,
            Op::Scale => Lowered::Scale,
            op @ Op::MaxPool { .. } => bail!("{}: there is no kernel for {op}", layer.name),
        })
    };
    graph.layers.iter().enumerate().map(lower).collect()
}

/// What is added to layer `i`, if it is a convolution that nothing but a sum in the next place reads.
fn shortcut(graph: &Graph, i: usize) -> Option<Node> {
    let next = graph.layers.get(i + 1).filter(|next| next.op == Op::Add)?;
    let readers = graph.layers.iter().filter(|layer| layer.inputs.contains(&Node(i))).count();
    let other = next.inputs.iter().find(|&&input| input != Node(i)).copied()?;
    (matches!(graph.layers[i].op, Op::Conv(_)) && next.inputs.contains(&Node(i)) && readers == 1).then_some(other)
}

/// Of values that follow one another from `start` on, such as the inputs of a concatenation: those that do not lie there yet,
/// and where they belong.
pub fn out_of_place(
    values: impl Iterator<Item = Range<usize>>,
    start: usize,
) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut end = start;
    let located = values.map(move |value| {
        let at = end;
        end += value.len();
        (value, at)
    });
    located.filter(|(value, at)| value.start != *at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::Graph;
    use crate::model::variant::VARIANTS;

    #[test]
    fn sums_behind_convolutions_are_computed_with_them() {
        for variant in &VARIANTS {
            let lowered = lower(&variant.graph(20)).unwrap();
            let added = |i: usize| lowered.get(i + 1) == Some(&Lowered::Added);
            for (i, layer) in lowered.iter().enumerate() {
                let has_shortcut = matches!(layer, Lowered::Conv { shortcut: Some(_), .. });
                assert_eq!(has_shortcut, added(i), "{}, layer {i}", variant.name);
            }
        }
        // A shortcut around a bottleneck, and a sum of two layers that others read, too.
        let count = |name: &str, wanted: &Lowered| {
            let graph = VARIANTS.iter().find(|variant| variant.name == name).unwrap().graph(20);
            lower(&graph).unwrap().iter().filter(|lowered| *lowered == wanted).count()
        };
        assert!(count("baseline", &Lowered::Added) > 0);
        assert_eq!(count("baseline", &Lowered::MaxPoolSame(13)), 1);
    }

    #[test]
    fn what_has_no_kernel_is_named() {
        let mut graph = Graph::new(3);
        let input = graph.input();
        graph.push("a pool".into(), Op::MaxPool { kernel: 3, stride: 2 }, &[input], 0);
        assert!(lower(&graph).unwrap_err().to_string().contains("a pool: there is no kernel for"));
    }
}

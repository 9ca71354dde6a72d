//! Building blocks: functions that append layers to a [`Graph`]. Definition, forward pass and parameter names in one
//! place. Names and order are those of the official PyTorch code (Megvii YOLOX, `yolox/models/network_blocks.py`).

use crate::model::graph::{Activation, Affine, Conv, Graph, Kernel, Node, Op};

/// The convolution that looks at a pixel's neighbours: what most variants differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spatial {
    /// Depthwise k x k, then pointwise, batch normalisation and SiLU after both.
    Separable(usize),
    /// Depthwise k x k alone; more output than input channels share an input channel.
    Depthwise(usize),
    /// Depthwise with one kernel width for each equal chunk of channels, no pointwise.
    Mixed(&'static [usize]),
}

fn conv(g: &mut Graph, name: &str, x: Node, channels: usize, kernel: Kernel, stride: usize, act: Activation) -> Node {
    let op = Op::Conv(Conv { kernel, stride, affine: Affine::BatchNorm, activation: act });
    g.push(name.into(), op, &[x], channels)
}

/// Dense convolution, batch normalisation, SiLU (`BaseConv`).
pub(crate) fn dense(g: &mut Graph, name: &str, x: Node, channels: usize, width: usize) -> Node {
    conv(g, name, x, channels, Kernel::Dense(width), 1, Activation::Silu)
}

/// 1x1 convolution, batch normalisation, SiLU.
pub(crate) fn pointwise(g: &mut Graph, name: &str, x: Node, channels: usize) -> Node {
    dense(g, name, x, channels, 1)
}

/// 1x1 convolution and batch normalisation, without an activation.
pub(crate) fn pointwise_linear(g: &mut Graph, name: &str, x: Node, channels: usize) -> Node {
    conv(g, name, x, channels, Kernel::Dense(1), 1, Activation::Identity)
}

/// Depthwise convolution, batch normalisation, `act`.
pub(crate) fn depthwise(g: &mut Graph, name: &str, x: Node, width: usize, stride: usize, act: Activation) -> Node {
    let channels = g.channels(x);
    conv(g, name, x, channels, Kernel::Depthwise(vec![width]), stride, act)
}

/// 1x1 convolution with a bias: predictions, and the two layers of squeeze-and-excitation.
pub(crate) fn biased(g: &mut Graph, name: &str, x: Node, channels: usize, activation: Activation) -> Node {
    let op = Op::Conv(Conv { kernel: Kernel::Dense(1), stride: 1, affine: Affine::Bias, activation });
    g.push(name.into(), op, &[x], channels)
}

/// The convolution `kind` describes, from x's channels to `channels` (`DWConv` and its replacements).
pub(crate) fn spatial(g: &mut Graph, name: &str, x: Node, channels: usize, kind: Spatial, stride: usize) -> Node {
    match kind {
        Spatial::Separable(k) => {
            let x = depthwise(g, &format!("{name}.dconv"), x, k, stride, Activation::Silu);
            pointwise(g, &format!("{name}.pconv"), x, channels)
        }
        Spatial::Depthwise(k) => {
            conv(g, &format!("{name}.dconv"), x, channels, Kernel::Depthwise(vec![k]), stride, Activation::Silu)
        }
        Spatial::Mixed(widths) => {
            conv(g, name, x, channels, Kernel::Depthwise(widths.to_vec()), stride, Activation::Silu)
        }
    }
}

/// x -> 1x1 -> spatial, plus x where `shortcut` (`Bottleneck`, expansion 1).
pub(crate) fn bottleneck(g: &mut Graph, name: &str, x: Node, kind: Spatial, shortcut: bool) -> Node {
    let channels = g.channels(x);
    let y = pointwise(g, &format!("{name}.conv1"), x, channels);
    let y = spatial(g, &format!("{name}.conv2"), y, channels, kind, 1);
    if shortcut { add(g, name, y, x) } else { y }
}

/// Cross-stage partial block (`CSPLayer`): half the channels through `n` bottlenecks, half past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Csp {
    /// Channels of the output.
    pub channels: usize,
    /// Number of bottlenecks.
    pub n: usize,
    /// Whether each bottleneck's input is added to its output.
    pub shortcut: bool,
    /// The bottlenecks' spatial convolution.
    pub kind: CspKind,
}

/// How a cross-stage partial block is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CspKind {
    /// As in YOLOX, with this spatial convolution in the bottlenecks.
    Plain(Spatial),
    /// Halved hidden width; each branch regains its width by a depthwise-separable 3x3 and a 1x1 expansion.
    Squeezed(Spatial),
}

/// Appends a cross-stage partial block.
pub(crate) fn csp(g: &mut Graph, name: &str, x: Node, block: Csp) -> Node {
    let Csp { channels, n, shortcut, kind } = block;
    let half = channels / 2;
    let (a, b) = match kind {
        CspKind::Plain(spatial) => {
            let a = pointwise(g, &format!("{name}.conv1"), x, half);
            let b = pointwise(g, &format!("{name}.conv2"), x, half);
            (bottlenecks(g, name, a, n, spatial, shortcut), b)
        }
        CspKind::Squeezed(spatial) => {
            let a = squeezed(g, &format!("{name}.conv1"), x, half);
            let b = squeezed(g, &format!("{name}.conv2"), x, half);
            (bottlenecks(g, name, a, n, spatial, shortcut), b)
        }
    };
    let y = concat(g, name, &[a, b]);
    pointwise(g, &format!("{name}.conv3"), y, channels)
}

fn bottlenecks(g: &mut Graph, name: &str, mut x: Node, n: usize, kind: Spatial, shortcut: bool) -> Node {
    for i in 0..n {
        x = bottleneck(g, &format!("{name}.m.{i}"), x, kind, shortcut);
    }
    x
}

/// 1x1 to half of `channels`, depthwise-separable 3x3, 1x1 to `channels`.
fn squeezed(g: &mut Graph, name: &str, x: Node, channels: usize) -> Node {
    let x = pointwise(g, &format!("{name}.reduce"), x, channels / 2);
    let x = spatial(g, name, x, channels / 2, Spatial::Separable(3), 1);
    pointwise(g, &format!("{name}.expand"), x, channels)
}

/// Spatial pyramid pooling (`SPPBottleneck`): half the channels under squares of 1, 5, 9 and 13, joined again.
pub(crate) fn spp(g: &mut Graph, name: &str, x: Node, channels: usize) -> Node {
    let half = g.channels(x) / 2;
    let x = pointwise(g, &format!("{name}.conv1"), x, half);
    let mut all = vec![x];
    for kernel in [5, 9, 13] {
        all.push(max_pool(g, &format!("{name}.pool{kernel}"), x, kernel, 1));
    }
    let y = concat(g, name, &all);
    pointwise(g, &format!("{name}.conv2"), y, channels)
}

/// Greatest value under a square.
pub(crate) fn max_pool(g: &mut Graph, name: &str, x: Node, kernel: usize, stride: usize) -> Node {
    g.push(name.into(), Op::MaxPool { kernel, stride }, &[x], 0)
}

/// Nearest-neighbour upsampling by 2.
pub(crate) fn upsample(g: &mut Graph, name: &str, x: Node) -> Node {
    g.push(format!("{name}.upsample"), Op::Upsample, &[x], 0)
}

/// The inputs' channels, one input after the other.
pub(crate) fn concat(g: &mut Graph, name: &str, inputs: &[Node]) -> Node {
    g.push(format!("{name}.concat"), Op::Concat, inputs, 0)
}

pub(crate) fn add(g: &mut Graph, name: &str, a: Node, b: Node) -> Node {
    g.push(format!("{name}.add"), Op::Add, &[a, b], 0)
}

//! The Ghost backbone (Han et al., "GhostNet: More Features from Cheap Operations", <https://arxiv.org/abs/1911.11907>),
//! scaled to YOLOX-nano's size. docs/variants.md says what is as in the paper and what is not.

use crate::model::backbone::{Pyramid, stem};
use crate::model::blocks::{add, biased, concat, depthwise, pointwise, pointwise_linear};
use crate::model::graph::{Activation, Graph, Node, Op, Part};

/// One Ghost bottleneck: kernel width, channels inside, channels out, squeeze-and-excitation, stride.
struct Bottleneck {
    kernel: usize,
    hidden: usize,
    channels: usize,
    excite: bool,
    stride: usize,
}

const fn row(kernel: usize, hidden: usize, channels: usize, excite: bool, stride: usize) -> Bottleneck {
    Bottleneck { kernel, hidden, channels, excite, stride }
}

/// The paper's table 1 from stride 4 on, its channels scaled so that stride 8, 16 and 32 end in the widths that the
/// feature pyramid expects.
const DARK2: [Bottleneck; 1] = [row(3, 24, 32, false, 2)];
const DARK3: [Bottleneck; 2] = [row(5, 64, 64, true, 2), row(5, 64, 64, true, 1)];
const DARK4: [Bottleneck; 4] =
    [row(3, 128, 128, false, 2), row(3, 128, 128, false, 1), row(3, 128, 128, true, 1), row(3, 144, 128, true, 1)];
const DARK5: [Bottleneck; 3] = [row(5, 256, 256, true, 2), row(5, 256, 256, false, 1), row(5, 256, 256, true, 1)];

/// Half of `channels` by a 1x1 convolution, half by a cheap depthwise 3x3 of the first half.
fn ghost_module(g: &mut Graph, name: &str, x: Node, channels: usize, act: Activation) -> Node {
    let primary = format!("{name}.primary_conv");
    let a = match act {
        Activation::Identity => pointwise_linear(g, &primary, x, channels / 2),
        _ => pointwise(g, &primary, x, channels / 2),
    };
    let b = depthwise(g, &format!("{name}.cheap_operation"), a, 3, 1, act);
    concat(g, name, &[a, b])
}

/// Every channel times a weight in 0..1 computed from all channels' means (<https://arxiv.org/abs/1709.01507>),
/// reduction 4 and hard sigmoid as in the Ghost paper.
fn squeeze_excite(g: &mut Graph, name: &str, x: Node) -> Node {
    let channels = g.channels(x);
    let mean = g.push(format!("{name}.avg_pool"), Op::GlobalAvgPool, &[x], 0);
    let y = biased(g, &format!("{name}.conv_reduce"), mean, (channels / 4).next_multiple_of(4), Activation::Relu);
    let y = biased(g, &format!("{name}.conv_expand"), y, channels, Activation::HardSigmoid);
    g.push(format!("{name}.scale"), Op::Scale, &[x, y], 0)
}

fn ghost_bottleneck(g: &mut Graph, name: &str, x: Node, spec: &Bottleneck) -> Node {
    let mut y = ghost_module(g, &format!("{name}.ghost1"), x, spec.hidden, Activation::Silu);
    if spec.stride == 2 {
        y = depthwise(g, &format!("{name}.conv_dw"), y, spec.kernel, 2, Activation::Identity);
    }
    if spec.excite {
        y = squeeze_excite(g, &format!("{name}.se"), y);
    }
    let y = ghost_module(g, &format!("{name}.ghost2"), y, spec.channels, Activation::Identity);
    let shortcut = if spec.stride == 1 && g.channels(x) == spec.channels {
        x
    } else {
        let x = depthwise(g, &format!("{name}.shortcut.dconv"), x, spec.kernel, spec.stride, Activation::Identity);
        pointwise_linear(g, &format!("{name}.shortcut.pconv"), x, spec.channels)
    };
    add(g, name, y, shortcut)
}

pub(crate) fn ghostnet(g: &mut Graph) -> Pyramid {
    let root = "backbone.backbone";
    let mut x = stem(g, &format!("{root}.stem"));
    let mut stage = |g: &mut Graph, dark: &'static str, rows: &[Bottleneck]| {
        g.in_block(Part::Backbone, dark, |g| {
            for (i, row) in rows.iter().enumerate() {
                x = ghost_bottleneck(g, &format!("{root}.{dark}.{i}"), x, row);
            }
        });
        x
    };
    let dark2 = stage(g, "dark2", &DARK2);
    let dark3 = stage(g, "dark3", &DARK3);
    let dark4 = stage(g, "dark4", &DARK4);
    let dark5 = stage(g, "dark5", &DARK5);
    Pyramid { dark2, dark3, dark4, dark5 }
}

//! The feature pyramid (`yolox/models/yolo_pafpn.py`): coarse features upsampled onto fine ones, then back down.

use crate::model::backbone::Pyramid;
use crate::model::blocks::{Csp, CspKind, Spatial, add, concat, csp, max_pool, pointwise, spatial, upsample};
use crate::model::graph::{Graph, Node, Part, Stage};

/// What the variants change in the neck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neck {
    /// The two stride-2 convolutions on the way back down.
    pub down: Spatial,
    /// The four cross-stage partial blocks.
    pub blocks: CspKind,
    /// Whether dark2 joins the pyramid: pooled onto dark3, brought to stride 16 and added there.
    pub dark2: bool,
}

/// Outputs at strides 8, 16 and 32 with 64, 128 and 256 channels.
pub(crate) fn pafpn(g: &mut Graph, features: Pyramid, spec: Neck) -> [Node; 3] {
    let Pyramid { dark2, dark3, dark4, dark5 } = features;
    for (name, node) in [("dark2", dark2), ("dark3", dark3), ("dark4", dark4), ("dark5", dark5)] {
        g.stages.push(Stage { name, node });
    }
    let block = |g: &mut Graph, stage: &'static str, inputs: &[Node], channels: usize| {
        let name = format!("backbone.{stage}");
        let node = g.in_block(Part::Pyramid, stage, |g| {
            let x = concat(g, &name, inputs);
            csp(g, &name, x, Csp { channels, n: 1, shortcut: false, kind: spec.blocks })
        });
        g.stages.push(Stage { name: stage, node });
        node
    };

    // A convolution to half the channels, and its output at twice the size.
    let up = |g: &mut Graph, conv: &'static str, x: Node, channels: usize| {
        let name = format!("backbone.{conv}");
        g.in_block(Part::Pyramid, conv, |g| {
            let reduced = pointwise(g, &name, x, channels);
            (reduced, upsample(g, &name, reduced))
        })
    };
    let down = |g: &mut Graph, conv: &'static str, x: Node, channels: usize| {
        g.in_block(Part::Pyramid, conv, |g| spatial(g, &format!("backbone.{conv}"), x, channels, spec.down, 2))
    };

    let (lateral, x) = up(g, "lateral_conv0", dark5, 128);
    let x = block(g, "C3_p4", &[x, dark4], 128);
    let (reduced, x) = up(g, "reduce_conv1", x, 64);
    let stride8 = block(g, "C3_p3", &[x, dark3], 64);

    let mut x = down(g, "bu_conv2", stride8, 64);
    if spec.dark2 {
        let pooled = g.in_block(Part::Pyramid, "dark2_pool", |g| max_pool(g, "backbone.dark2_pool", dark2, 2, 2));
        x = g.in_block(Part::Pyramid, "bu_conv3", |g| {
            let y = concat(g, "backbone.bu_conv3", &[pooled, dark3]);
            let y = spatial(g, "backbone.bu_conv3", y, 64, Spatial::Separable(3), 2);
            add(g, "backbone.bu_conv3", x, y)
        });
    }
    let stride16 = block(g, "C3_n3", &[x, reduced], 128);
    let x = down(g, "bu_conv1", stride16, 128);
    let stride32 = block(g, "C3_n4", &[x, lateral], 256);
    [stride8, stride16, stride32]
}

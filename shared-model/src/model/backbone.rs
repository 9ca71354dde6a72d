//! CSPDarknet at YOLOX-nano's width (0.25) and depth (0.33): `yolox/models/darknet.py`.

use crate::model::blocks::{Csp, CspKind, Spatial, csp, dense, spatial, spp};
use crate::model::graph::{Graph, Node, Op, Part};

/// Outputs of a backbone, by stride.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pyramid {
    /// Stride 4.
    pub dark2: Node,
    /// Stride 8.
    pub dark3: Node,
    /// Stride 16.
    pub dark4: Node,
    /// Stride 32.
    pub dark5: Node,
}

/// What the variants change in CSPDarknet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Darknet {
    /// The stride-2 convolution in front of each stage.
    pub down: Spatial,
    /// The blocks of dark2, which sees the finest detail.
    pub dark2: CspKind,
    /// The blocks of dark3, dark4 and dark5.
    pub deeper: CspKind,
}

/// Space-to-depth and a dense 3x3 convolution: 16 channels at half the image's size (`Focus`).
pub(crate) fn stem(g: &mut Graph, name: &str) -> Node {
    g.in_block(Part::Backbone, "stem", |g| {
        let x = g.push(format!("{name}.focus"), Op::SpaceToDepth, &[g.input()], 0);
        dense(g, &format!("{name}.conv"), x, 16, 3)
    })
}

pub(crate) fn darknet(g: &mut Graph, spec: Darknet) -> Pyramid {
    let root = "backbone.backbone";
    let x = stem(g, &format!("{root}.stem"));
    let stage = |g: &mut Graph, dark: &'static str, x: Node, channels: usize, n: usize, kind: CspKind| {
        g.in_block(Part::Backbone, dark, |g| {
            let x = spatial(g, &format!("{root}.{dark}.0"), x, channels, spec.down, 2);
            csp(g, &format!("{root}.{dark}.1"), x, Csp { channels, n, shortcut: true, kind })
        })
    };
    let dark2 = stage(g, "dark2", x, 32, 1, spec.dark2);
    let dark3 = stage(g, "dark3", dark2, 64, 3, spec.deeper);
    let dark4 = stage(g, "dark4", dark3, 128, 3, spec.deeper);

    let name = format!("{root}.dark5");
    let dark5 = g.in_block(Part::Backbone, "dark5", |g| {
        let x = spatial(g, &format!("{name}.0"), dark4, 256, spec.down, 2);
        let x = spp(g, &format!("{name}.1"), x, 256);
        csp(g, &format!("{name}.2"), x, Csp { channels: 256, n: 1, shortcut: false, kind: spec.deeper })
    });
    Pyramid { dark2, dark3, dark4, dark5 }
}

//! The variants: a row of a table each. `docs/variants.md` tells where every row comes from.

use crate::model::backbone::{Darknet, darknet};
use crate::model::blocks::CspKind::{Plain, Squeezed};
use crate::model::blocks::Spatial::{self, Depthwise, Mixed, Separable};
use crate::model::ghost::ghostnet;
use crate::model::graph::Graph;
use crate::model::head::decoupled;
use crate::model::neck::{Neck, pafpn};

/// A structure of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name on the command line, in weight files and on the page.
    pub name: &'static str,
    /// One line on what it is.
    pub summary: &'static str,
    backbone: Backbone,
    neck: Neck,
    head: Spatial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backbone {
    Darknet(Darknet),
    Ghost,
}

/// Kernel widths of the mixed depthwise convolutions in dark2 and in dark3 to dark5.
const MIXED_DARK2: Spatial = Mixed(&[3, 5]);
const MIXED: Spatial = Mixed(&[3, 5, 7, 9]);

const BASELINE_DARKNET: Darknet =
    Darknet { down: Separable(3), dark2: Plain(Separable(3)), deeper: Plain(Separable(3)) };
const BASELINE_NECK: Neck = Neck { down: Separable(3), blocks: Plain(Separable(3)), dark2: false };

/// All variants, the baseline first.
pub const VARIANTS: [Variant; 8] = [
    Variant {
        name: "baseline",
        summary: "YOLOX-nano: every 3x3 convolution is depthwise + pointwise",
        backbone: Backbone::Darknet(BASELINE_DARKNET),
        neck: BASELINE_NECK,
        head: Separable(3),
    },
    Variant {
        name: "dw3",
        summary: "every depthwise-separable convolution loses its pointwise half",
        backbone: Backbone::Darknet(Darknet {
            down: Depthwise(3),
            dark2: Plain(Depthwise(3)),
            deeper: Plain(Depthwise(3)),
        }),
        neck: Neck { down: Depthwise(3), blocks: Plain(Depthwise(3)), dark2: false },
        head: Depthwise(3),
    },
    Variant {
        name: "dw7",
        summary: "depthwise-only 7x7 in the blocks, separable 5x5 in the head",
        backbone: Backbone::Darknet(Darknet {
            down: Separable(3),
            dark2: Plain(Depthwise(7)),
            deeper: Plain(Depthwise(7)),
        }),
        neck: Neck { down: Separable(3), blocks: Plain(Depthwise(7)), dark2: false },
        head: Separable(5),
    },
    Variant {
        name: "mdconv",
        summary: "mixed depthwise 3-9 in the backbone's blocks, separable 7x7 in the neck",
        backbone: Backbone::Darknet(Darknet { down: Separable(3), dark2: Plain(MIXED_DARK2), deeper: Plain(MIXED) }),
        neck: Neck { down: Separable(7), blocks: Plain(Separable(7)), dark2: false },
        head: Separable(3),
    },
    Variant {
        name: "fpn2",
        summary: "the backbone's stride-4 features join the pyramid",
        backbone: Backbone::Darknet(BASELINE_DARKNET),
        neck: Neck { dark2: true, ..BASELINE_NECK },
        head: Separable(3),
    },
    Variant {
        name: "ghost",
        summary: "a GhostNet backbone: half of every feature map by a cheap operation",
        backbone: Backbone::Ghost,
        neck: BASELINE_NECK,
        head: Separable(3),
    },
    Variant {
        name: "bottleneck",
        summary: "half the hidden width in every block, regained by separable 3x3 and 1x1",
        backbone: Backbone::Darknet(Darknet {
            down: Separable(3),
            dark2: Squeezed(Separable(3)),
            deeper: Squeezed(Separable(3)),
        }),
        neck: Neck { blocks: Squeezed(Separable(3)), ..BASELINE_NECK },
        head: Separable(3),
    },
    Variant {
        name: "final",
        summary: "mixed depthwise 3-9 blocks, 7x7 depthwise down-sampling and neck, 5x5 head, stride-4 features",
        backbone: Backbone::Darknet(Darknet { down: Depthwise(7), dark2: Plain(MIXED_DARK2), deeper: Plain(MIXED) }),
        neck: Neck { down: Separable(3), blocks: Plain(Depthwise(7)), dark2: true },
        head: Separable(5),
    },
];

/// No variant has this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no variant \"{name}\": the variants are {}", VARIANTS.map(|variant| variant.name).join(", "))]
pub struct UnknownVariant {
    /// What was asked for.
    pub name: String,
}

impl Variant {
    /// The variant called `name`.
    pub fn named(name: &str) -> Result<&'static Self, UnknownVariant> {
        const ALL: &[Variant] = &VARIANTS;
        ALL.iter().find(|variant| variant.name == name).ok_or_else(|| UnknownVariant { name: name.into() })
    }

    /// The network with a head for `classes` classes.
    pub fn graph(&self, classes: usize) -> Graph {
        let mut g = Graph::new(classes);
        let features = match self.backbone {
            Backbone::Darknet(spec) => darknet(&mut g, spec),
            Backbone::Ghost => ghostnet(&mut g),
        };
        let pyramid = pafpn(&mut g, features, self.neck);
        decoupled(&mut g, pyramid, self.head);
        g
    }
}

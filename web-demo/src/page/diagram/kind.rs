//! What a layer does, as far as a picture can show it.

use shared_model::graph::{Kernel, Op};

/// Layers that are drawn alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerKind {
    Picture,
    /// A convolution over all channels and a square of pixels.
    Dense,
    /// A 1x1 convolution.
    Pointwise,
    /// A depthwise convolution of one width.
    Depthwise,
    /// A depthwise convolution of several widths.
    Mixed,
    /// The greatest value or the mean.
    Pool,
    /// Pixels are moved, not computed: space to depth, upsampling, concatenation.
    Move,
    /// Values are added or multiplied one by one.
    Elementwise,
}

impl LayerKind {
    /// All of them, in the order of the legend.
    pub const ALL: [Self; 8] = [
        Self::Pointwise,
        Self::Depthwise,
        Self::Mixed,
        Self::Dense,
        Self::Pool,
        Self::Move,
        Self::Elementwise,
        Self::Picture,
    ];

    /// The kind of an operation.
    pub fn of(op: &Op) -> Self {
        match op {
            Op::Input => Self::Picture,
            Op::Conv(conv) => match &conv.kernel {
                Kernel::Dense(1) => Self::Pointwise,
                Kernel::Dense(_) => Self::Dense,
                Kernel::Depthwise(widths) if widths.len() > 1 => Self::Mixed,
                Kernel::Depthwise(_) => Self::Depthwise,
            },
            Op::MaxPool { .. } | Op::GlobalAvgPool => Self::Pool,
            Op::SpaceToDepth | Op::Upsample | Op::Concat => Self::Move,
            Op::Add | Op::Scale => Self::Elementwise,
        }
    }

    /// Its name in style sheets.
    pub fn class(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Dense => "dense",
            Self::Pointwise => "pointwise",
            Self::Depthwise => "depthwise",
            Self::Mixed => "mixed",
            Self::Pool => "pool",
            Self::Move => "move",
            Self::Elementwise => "elementwise",
        }
    }
}

/// What stands in a layer's cell: the width of its kernel, or a sign.
pub fn symbol(op: &Op) -> String {
    match op {
        Op::Input => "in".into(),
        Op::SpaceToDepth => "\u{25a6}".into(),
        Op::Conv(conv) => match &conv.kernel {
            Kernel::Dense(width) => width.to_string(),
            Kernel::Depthwise(widths) => match (widths.first(), widths.last()) {
                (Some(first), Some(last)) if first != last => format!("{first}\u{2013}{last}"),
                (Some(first), _) => first.to_string(),
                _ => String::new(),
            },
        },
        Op::MaxPool { kernel, .. } => kernel.to_string(),
        Op::GlobalAvgPool => "\u{3bc}".into(),
        Op::Upsample => "\u{2191}".into(),
        Op::Concat => "\u{2016}".into(),
        Op::Add => "+".into(),
        Op::Scale => "\u{d7}".into(),
    }
}

#[cfg(test)]
mod tests {
    use shared_model::VARIANTS;

    use super::*;

    #[test]
    fn kernels_are_told_apart() {
        let seen = |name: &str, variant: &str| {
            let graph = shared_model::Variant::named(variant).unwrap().graph(20);
            let layer = graph.layers.iter().find(|layer| layer.name == name).unwrap();
            (LayerKind::of(&layer.op), symbol(&layer.op))
        };
        assert_eq!(seen("backbone.backbone.stem.conv", "baseline"), (LayerKind::Dense, "3".into()));
        assert_eq!(seen("backbone.backbone.dark3.0.pconv", "baseline"), (LayerKind::Pointwise, "1".into()));
        assert_eq!(seen("backbone.backbone.dark3.0.dconv", "final"), (LayerKind::Depthwise, "7".into()));
        assert_eq!(seen("backbone.backbone.dark3.1.m.0.conv2", "final"), (LayerKind::Mixed, "3\u{2013}9".into()));
    }

    #[test]
    fn the_legend_knows_every_layer() {
        for layer in VARIANTS.iter().flat_map(|variant| variant.graph(20).layers) {
            assert!(
                LayerKind::ALL.contains(&LayerKind::of(&layer.op)) && !symbol(&layer.op).is_empty(),
                "{}",
                layer.name
            );
        }
    }
}

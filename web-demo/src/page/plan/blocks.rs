//! Which layers belong together, by their names.

/// A part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// From the picture to features at strides 4 to 32.
    Backbone,
    /// The feature pyramid: up to stride 8 and down again.
    Pyramid,
    /// Predictions at strides 8, 16 and 32.
    Head,
}

/// The part that the layer of this name belongs to.
pub fn part(layer: &str) -> Part {
    match layer.split_once('.') {
        Some(("head", _)) => Part::Head,
        Some(("backbone", rest)) if !rest.starts_with("backbone.") => Part::Pyramid,
        _ => Part::Backbone,
    }
}

/// What the box around the layer of this name is called: a stage of the backbone (`dark3`), a block of the pyramid
/// (`C3_p4`), the head of a level (`head 0`).
pub fn block_label(layer: &str) -> String {
    let mut words = layer.split('.').skip(1);
    match part(layer) {
        Part::Head => {
            let level = words.nth(1).unwrap_or_default();
            format!("head {level}")
        }
        Part::Pyramid => words.next().unwrap_or(layer).into(),
        Part::Backbone => words.nth(1).unwrap_or(layer).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_block() {
        for (name, expected, label) in [
            ("images", Part::Backbone, "images"),
            ("backbone.backbone.stem.conv", Part::Backbone, "stem"),
            ("backbone.backbone.dark3.1.m.2.conv2.dconv", Part::Backbone, "dark3"),
            ("backbone.C3_p4.m.0.conv1", Part::Pyramid, "C3_p4"),
            ("backbone.lateral_conv0", Part::Pyramid, "lateral_conv0"),
            ("head.reg_convs.2.0.dconv", Part::Head, "head 2"),
            ("head.obj_preds.1", Part::Head, "head 1"),
        ] {
            assert_eq!((part(name), block_label(name).as_str()), (expected, label), "{name}");
        }
    }
}

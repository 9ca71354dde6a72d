//! The decoupled head (`yolox/models/yolo_head.py`): classes on one branch, box and objectness on the other.

use crate::model::blocks::{Spatial, biased, pointwise, spatial};
use crate::model::graph::{Activation, Graph, HeadLevel, Node, Part};

const WIDTH: usize = 64;
/// Pixels of the image between neighbouring anchors, level by level: the order of the head's output.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// What the levels' blocks are called.
const BLOCKS: [&str; 3] = ["head 0", "head 1", "head 2"];

/// Appends the head over the pyramid's levels, in order of stride, and makes it the graph's output.
pub(crate) fn decoupled(g: &mut Graph, pyramid: [Node; 3], kind: Spatial) {
    for (k, (&x, stride)) in pyramid.iter().zip(STRIDES).enumerate() {
        let level = g.in_block(Part::Head, BLOCKS[k], |g| level(g, k, x, stride, kind));
        g.head.push(level);
    }
    g.pyramid = pyramid.to_vec();
}

/// The head of level `k`, which reads `x`.
fn level(g: &mut Graph, k: usize, x: Node, stride: usize, kind: Spatial) -> HeadLevel {
    let x = pointwise(g, &format!("head.stems.{k}"), x, WIDTH);
    let branch = |g: &mut Graph, name: &str| {
        let x = spatial(g, &format!("head.{name}.{k}.0"), x, WIDTH, kind, 1);
        spatial(g, &format!("head.{name}.{k}.1"), x, WIDTH, kind, 1)
    };
    let prediction = |g: &mut Graph, name: &str, x: Node, channels: usize| {
        biased(g, &format!("head.{name}.{k}"), x, channels, Activation::Identity)
    };
    let features = branch(g, "cls_convs");
    let cls = prediction(g, "cls_preds", features, g.classes);
    let features = branch(g, "reg_convs");
    let reg = prediction(g, "reg_preds", features, 4);
    let obj = prediction(g, "obj_preds", features, 1);
    HeadLevel { stride, reg, obj, cls }
}

//! The decoupled head (`yolox/models/yolo_head.py`): classes on one branch, box and objectness on the other.

use crate::blocks::{Spatial, biased, pointwise, spatial};
use crate::graph::{Activation, Graph, HeadLevel, Node};

const WIDTH: usize = 64;
/// Pixels of the picture between neighbouring anchors, level by level: the order of the head's output.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Appends the head over the pyramid's levels, in order of stride, and makes it the graph's output.
pub(crate) fn decoupled(g: &mut Graph, pyramid: [Node; 3], kind: Spatial) {
    for (k, (&x, stride)) in pyramid.iter().zip(STRIDES).enumerate() {
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
        g.head.push(HeadLevel { stride, reg, obj, cls });
    }
    g.pyramid = pyramid.to_vec();
}

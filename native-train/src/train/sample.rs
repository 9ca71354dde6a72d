//! Pictures with what is in them, as training sees them.

use super::Batch;

/// An object in a training picture; in pixels of the network's input, 0 at its left and upper edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Position in the list of classes.
    pub class: usize,
    /// Centre.
    pub cx: f32,
    /// Centre.
    pub cy: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
    /// Whether it is neither to be found nor background: what the network says there does not count.
    pub ignored: bool,
}

/// Pictures and the objects of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledBatch {
    /// The pictures.
    pub batch: Batch,
    /// For each picture its objects.
    pub objects: Vec<Vec<Object>>,
}

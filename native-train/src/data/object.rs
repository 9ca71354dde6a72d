//! An object in a training image.

use shared_model::{Anchor, BBox};

/// An object in a training image; in pixels of the network's input, 0 at its left and upper edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Position in the list of classes.
    pub class: usize,
    /// Horizontal position of the centre.
    pub cx: f32,
    /// Vertical position of the centre.
    pub cy: f32,
    pub w: f32,
    pub h: f32,
    /// Whether it is neither to be found nor background: what the network says there does not count.
    pub ignored: bool,
}

impl Object {
    /// Its box, by its corners.
    pub fn bbox(&self) -> BBox {
        BBox::around(self.cx, self.cy, self.w, self.h)
    }

    /// The four numbers that `anchor` would decode to its box.
    pub fn encoded(&self, anchor: &Anchor) -> [f32; 4] {
        anchor.encode(self.cx, self.cy, self.w, self.h)
    }
}

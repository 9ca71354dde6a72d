//! Anchors: where on the picture each row of the head's output looks.

use shared_model::{BBox, STRIDES};

use super::Object;

/// A cell of the grid that a level of the pyramid lays over the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Column in the grid.
    pub x: f32,
    /// Row in the grid.
    pub y: f32,
    /// Side of the cell, in pixels.
    pub stride: f32,
}

/// All anchors of a picture of `height` x `width` pixels, in the order of the head's rows.
pub fn anchors(height: usize, width: usize) -> Vec<Anchor> {
    let level = |stride: usize| {
        let row = move |y| (0..width / stride).map(move |x| Anchor { x: x as f32, y: y as f32, stride: stride as f32 });
        (0..height / stride).flat_map(row)
    };
    STRIDES.into_iter().flat_map(level).collect()
}

impl Anchor {
    /// The middle of the cell (x, y), in pixels.
    pub fn centre(&self) -> (f32, f32) {
        ((self.x + 0.5) * self.stride, (self.y + 0.5) * self.stride)
    }

    /// The box that the first four numbers of the anchor's row say: `xy = (p + grid) * stride`, `wh = exp(p) * stride`.
    pub fn decode(&self, row: &[f32]) -> BBox {
        let (cx, cy) = ((row[0] + self.x) * self.stride, (row[1] + self.y) * self.stride);
        around(cx, cy, row[2].exp() * self.stride, row[3].exp() * self.stride)
    }

    /// The four numbers that would decode to the object's box (`get_l1_target` in `yolox/models/yolo_head.py`).
    pub fn encode(&self, object: &Object) -> [f32; 4] {
        let log_size = |pixels: f32| (pixels / self.stride + 1e-8).ln();
        [object.cx / self.stride - self.x, object.cy / self.stride - self.y, log_size(object.w), log_size(object.h)]
    }
}

impl Object {
    /// Its box, by its corners.
    pub fn bbox(&self) -> BBox {
        around(self.cx, self.cy, self.w, self.h)
    }
}

fn around(cx: f32, cy: f32, w: f32, h: f32) -> BBox {
    BBox { x1: cx - w / 2.0, y1: cy - h / 2.0, x2: cx + w / 2.0, y2: cy + h / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_levels_come_first_and_rows_before_columns() {
        let all = anchors(64, 96);
        assert_eq!(all.len(), 8 * 12 + 4 * 6 + 2 * 3);
        assert_eq!(all[13], Anchor { x: 1.0, y: 1.0, stride: 8.0 });
        assert_eq!(all[96 + 24 + 4], Anchor { x: 1.0, y: 1.0, stride: 32.0 });
        assert_eq!(all[13].centre(), (12.0, 12.0));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same_box() {
        let object = Object { class: 0, cx: 70.0, cy: 33.0, w: 41.0, h: 12.5, ignored: false };
        for anchor in anchors(64, 96) {
            let (found, expected) = (anchor.decode(&anchor.encode(&object)), object.bbox());
            for (a, b) in
                [(found.x1, expected.x1), (found.y1, expected.y1), (found.x2, expected.x2), (found.y2, expected.y2)]
            {
                assert!((a - b).abs() < 1e-4, "{found:?} {expected:?}");
            }
        }
    }
}

//! Anchors: where on the image each row of the head's output looks, and the box that it says.

use crate::detection::BBox;
use crate::model::head::STRIDES;

/// A cell of the grid that a level of the pyramid lays over the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Column in the grid.
    pub x: f32,
    /// Row in the grid.
    pub y: f32,
    /// Side of the cell, in pixels.
    pub stride: f32,
}

/// All anchors of an image of `height` x `width` pixels, in the order of the head's rows.
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

    /// The box that the first four numbers of the anchor's row say: `xy = (p + grid) * stride`, `wh = exp(p) * stride`
    /// (`decode_outputs` in `yolox/models/yolo_head.py`).
    pub fn decode(&self, row: &[f32]) -> BBox {
        let (cx, cy) = ((row[0] + self.x) * self.stride, (row[1] + self.y) * self.stride);
        BBox::around(cx, cy, row[2].exp() * self.stride, row[3].exp() * self.stride)
    }

    /// The four numbers that would decode to a box with this centre and size, in pixels (`get_l1_target` in
    /// `yolox/models/yolo_head.py`).
    pub fn encode(&self, cx: f32, cy: f32, w: f32, h: f32) -> [f32; 4] {
        let log_size = |pixels: f32| (pixels / self.stride + 1e-8).ln();
        [cx / self.stride - self.x, cy / self.stride - self.y, log_size(w), log_size(h)]
    }
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
        let expected = BBox::around(70.0, 33.0, 41.0, 12.5);
        for anchor in anchors(64, 96) {
            let found = anchor.decode(&anchor.encode(70.0, 33.0, 41.0, 12.5));
            for (a, b) in
                [(found.x1, expected.x1), (found.y1, expected.y1), (found.x2, expected.x2), (found.y2, expected.y2)]
            {
                assert!((a - b).abs() < 1e-4, "{found:?} {expected:?}");
            }
        }
    }
}

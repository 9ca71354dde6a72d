//! Pascal VOC's boxes and annotation files
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>).

mod annotation;
mod matching;

use std::fmt;

pub use annotation::{
    AnnotatedObject, Annotation, AnnotationError, AnnotationErrorKind, CocoExtra, Coordinates, ImageSize,
};
pub use matching::{MIN_IOU, matched, most_overlapping};

use crate::detection::BBox;

/// A box in VOC's convention: in pixels, the first of which is 1; the last pixel belongs to the box. Coordinates may be
/// fractional, as those of scaled images are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocBox {
    /// Left.
    pub xmin: f64,
    /// Top.
    pub ymin: f64,
    /// Right.
    pub xmax: f64,
    /// Bottom.
    pub ymax: f64,
}

impl VocBox {
    /// Intersection over union; a box is `xmax - xmin + 1` pixels wide.
    pub fn iou(&self, other: &Self) -> f64 {
        let width = self.xmax.min(other.xmax) - self.xmin.max(other.xmin) + 1.0;
        let height = self.ymax.min(other.ymax) - self.ymin.max(other.ymin) + 1.0;
        let both = width.max(0.0) * height.max(0.0);
        both / (self.area() + other.area() - both)
    }

    /// Whether a coordinate is no finite number, or the last pixel lies before the first.
    pub fn is_impossible(&self) -> bool {
        let finite = [self.xmin, self.ymin, self.xmax, self.ymax].iter().all(|value| value.is_finite());
        !finite || self.xmax < self.xmin || self.ymax < self.ymin
    }

    /// The box with these edges: left, top, right and bottom in pixels, the first of which begins at 0. Every coordinate is
    /// one more, as for [`BBox`]; what arithmetic left behind the ninth decimal is rounded away, so that a box that was
    /// written in another format and read again is the same.
    pub fn from_corners(corners: [f64; 4]) -> Self {
        let [xmin, ymin, xmax, ymax] = corners.map(|value| round(value + 1.0));
        Self { xmin, ymin, xmax, ymax }
    }

    /// The inverse of [`VocBox::from_corners`].
    pub fn corners(&self) -> [f64; 4] {
        [self.xmin, self.ymin, self.xmax, self.ymax].map(|value| round(value - 1.0))
    }

    fn area(&self) -> f64 {
        (self.xmax - self.xmin + 1.0) * (self.ymax - self.ymin + 1.0)
    }
}

/// To nine decimals.
fn round(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

impl From<BBox> for VocBox {
    /// As the official YOLOX evaluator does (`yolox/data/datasets/voc.py`): every coordinate plus 1.
    fn from(b: BBox) -> Self {
        let [xmin, ymin, xmax, ymax] = [b.x1, b.y1, b.x2, b.y2].map(|value| f64::from(value) + 1.0);
        Self { xmin, ymin, xmax, ymax }
    }
}

impl From<VocBox> for BBox {
    /// The inverse, as YOLOX reads its training data: every coordinate minus 1.
    fn from(b: VocBox) -> Self {
        let [x1, y1, x2, y2] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|value| (value - 1.0) as f32);
        Self { x1, y1, x2, y2 }
    }
}

impl fmt::Display for VocBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { xmin, ymin, xmax, ymax } = self;
        write!(f, "xmin {xmin}, ymin {ymin}, xmax {xmax}, ymax {ymax}")
    }
}

/// An annotated object.
#[derive(Clone, Debug, PartialEq)]
pub struct VocObject {
    /// Name of its class.
    pub class: String,
    /// Whether it is marked as hard to recognise: such objects are not scored.
    pub difficult: bool,
    /// Where it is.
    pub bbox: VocBox,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_counts_the_last_pixel() {
        let a = VocBox { xmin: 1.0, ymin: 1.0, xmax: 2.0, ymax: 2.0 };
        let b = VocBox { xmin: 2.0, ymin: 1.0, xmax: 3.0, ymax: 2.0 };
        assert_eq!(a.iou(&b), 2.0 / 6.0);
        let apart = VocBox { xmin: 4.0, ..b };
        assert_eq!(a.iou(&VocBox { xmax: 5.0, ..apart }), 0.0);
    }
}

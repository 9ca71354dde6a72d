//! Pascal VOC's boxes and annotation files
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>).

mod annotation;

use std::fmt;

pub use annotation::{AnnotatedObject, Annotation, AnnotationError, Size};

use crate::detection::BBox;

/// A detection is about an object that it overlaps by more than this (IoU of [`VocBox`]es): of an evaluation, on a picture, in
/// a confusion matrix.
pub const MIN_IOU: f64 = 0.5;

/// A box in VOC's convention: in pixels, the first of which is 1; the last pixel belongs to the box. Coordinates may be
/// fractional, as those of scaled pictures are.
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

    fn area(&self) -> f64 {
        (self.xmax - self.xmin + 1.0) * (self.ymax - self.ymin + 1.0)
    }
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
pub struct Object {
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

//! The loss of YOLOX and its gradient with respect to the head's raw output (`get_losses` in
//! `yolox/models/yolo_head.py`):
//!
//! `5 * (1 - IoU^2) + BCE(objectness, all anchors) + BCE(classes, one-hot * IoU) + L1`, all but the objectness over the
//! anchors that are to find an object (foreground), each summed over the batch and divided by their number.
//!
//! Targets, the IoU in the classes' among them, are constants to the gradient.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shared_model::BBox;

use super::anchor::{Anchor, anchors};
use super::assign::{CenterRadius, Match, assign};
use super::{HeadOutput, Object};

/// What the loss depends on, besides the network and the pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSettings {
    /// Which anchors may find an object.
    pub center_radius: CenterRadius,
    /// Whether the L1 distance between raw and ideal boxes counts: in the last epochs, without mosaic.
    pub l1: bool,
}

/// The parts of the loss as they enter the total, and what they were counted over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Sum of the four parts. NaN where the network's output is not finite.
    pub total: f32,
    /// `5 * (1 - IoU^2)`
    pub iou: f32,
    /// Binary cross-entropy of the objectness.
    pub obj: f32,
    /// Binary cross-entropy of the classes.
    pub cls: f32,
    /// L1 distance, 0 where it does not count.
    pub l1: f32,
    /// Anchors that are to find an object.
    pub foreground: usize,
    /// Objects in the batch.
    pub objects: usize,
}

/// Weight of the IoU loss next to the others.
pub(super) const IOU_WEIGHT: f32 = 5.0;

/// The loss of a batch with these objects in its pictures, and its gradient (laid out as `output.values`). Where the
/// output is not finite the total is NaN and the gradient zero. Pictures are shared among the threads of rayon's pool,
/// which an engine must not keep meanwhile; sums are taken in the order of pictures, so that their bits do not depend on
/// the number of threads.
///
/// # Panics
/// Panics where `objects` are not those of as many pictures, a class is not among the output's, or the output has
/// another number of anchors than its pictures' size gives.
pub fn loss(output: &HeadOutput, objects: &[Vec<Object>], settings: &LossSettings) -> (Losses, Vec<f32>) {
    let grid = anchors(output.height, output.width);
    assert_eq!(output.pictures, objects.len(), "one list of objects a picture");
    assert_eq!(output.values.len(), output.pictures * grid.len() * output.row(), "rows of all anchors");
    let mut gradient = vec![0.0; output.values.len()];
    let mut losses = Losses { objects: objects.iter().map(Vec::len).sum(), ..Losses::default() };
    if !all_finite(&output.values) {
        losses.total = f32::NAN;
        return (losses, gradient);
    }

    let assigned: Vec<Vec<Match>> = (0..output.pictures)
        .into_par_iter()
        .map(|i| assign(output.picture(i), &grid, &objects[i], settings.center_radius))
        .collect();
    losses.foreground = assigned.iter().map(Vec::len).sum();
    let scale = 1.0 / losses.foreground.max(1) as f32;
    let size = (grid.len() * output.row()).max(1);
    let of_picture = |(i, gradient): (usize, &mut [f32])| {
        let picture =
            PictureLoss { rows: output.picture(i), grid: &grid, objects: &objects[i], l1: settings.l1, scale };
        picture.sums(&assigned[i], gradient)
    };
    let sums: Vec<Sums> = gradient.par_chunks_exact_mut(size).enumerate().map(of_picture).collect();
    let sums = sums.iter().fold(Sums::default(), |all, picture| all.plus(picture));
    let mean = |sum: f64| (sum * f64::from(scale)) as f32;
    (losses.iou, losses.obj) = (mean(f64::from(IOU_WEIGHT) * sums.iou), mean(sums.obj));
    (losses.cls, losses.l1) = (mean(sums.cls), mean(sums.l1));
    losses.total = losses.iou + losses.obj + losses.cls + losses.l1;
    (losses, gradient)
}

/// In chunks without an early end, so that it is vectorised.
fn all_finite(values: &[f32]) -> bool {
    values.par_chunks(1 << 14).all(|chunk| chunk.iter().fold(true, |finite, value| finite & value.is_finite()))
}

/// Sums over a picture, or over the batch.
#[derive(Default)]
struct Sums {
    iou: f64,
    obj: f64,
    cls: f64,
    l1: f64,
}

impl Sums {
    fn plus(&self, other: &Self) -> Self {
        let Self { iou, obj, cls, l1 } = self;
        Self { iou: iou + other.iou, obj: obj + other.obj, cls: cls + other.cls, l1: l1 + other.l1 }
    }
}

/// One picture of a batch.
struct PictureLoss<'a> {
    /// anchors x (5 + classes)
    rows: &'a [f32],
    grid: &'a [Anchor],
    objects: &'a [Object],
    l1: bool,
    /// Of every part's gradient: one over the batch's foreground.
    scale: f32,
}

impl PictureLoss<'_> {
    /// The picture's part of the sums; fills its gradient.
    fn sums(&self, matches: &[Match], gradient: &mut [f32]) -> Sums {
        let mut sums = Sums::default();
        let row = self.rows.len() / self.grid.len();
        let mut is_foreground = vec![0.0; self.grid.len()];
        for found in matches {
            is_foreground[found.anchor] = 1.0;
            let place = found.anchor * row..(found.anchor + 1) * row;
            self.add_foreground(found, &self.rows[place.clone()], &mut sums, &mut gradient[place]);
        }
        let objectness = self.rows[4..].iter().step_by(row);
        let gradients = gradient[4..].iter_mut().step_by(row);
        for ((&logit, gradient), target) in objectness.zip(gradients).zip(is_foreground) {
            let (loss, slope) = cross_entropy(logit, target);
            sums.obj += f64::from(loss);
            *gradient = slope * self.scale;
        }
        sums
    }

    fn add_foreground(&self, found: &Match, row: &[f32], sums: &mut Sums, gradient: &mut [f32]) {
        let (anchor, object) = (&self.grid[found.anchor], &self.objects[found.object]);
        let (loss, slope) = iou_loss(&anchor.decode(row), &object.bbox(), anchor.stride);
        sums.iou += f64::from(loss);
        for (gradient, slope) in gradient.iter_mut().zip(slope) {
            *gradient = IOU_WEIGHT * slope * self.scale;
        }
        for (class, (&logit, gradient)) in row[5..].iter().zip(&mut gradient[5..]).enumerate() {
            let target = if class == object.class { found.iou } else { 0.0 };
            let (loss, slope) = cross_entropy(logit, target);
            sums.cls += f64::from(loss);
            *gradient = slope * self.scale;
        }
        if self.l1 {
            for ((value, ideal), gradient) in row.iter().zip(anchor.encode(object)).zip(gradient) {
                let difference = value - ideal;
                sums.l1 += f64::from(difference.abs());
                // No slope where there is no difference, as PyTorch.
                *gradient += if difference == 0.0 { 0.0 } else { difference.signum() * self.scale };
            }
        }
    }
}

/// Binary cross-entropy of `sigmoid(logit)` against `target`, and its slope. The form that neither overflows nor loses
/// small losses: `max(x, 0) - x * t + log(1 + exp(-|x|))`.
pub(super) fn cross_entropy(logit: f32, target: f32) -> (f32, f32) {
    let small = (-logit.abs()).exp();
    let loss = logit.max(0.0) - logit * target + small.ln_1p();
    let probability = if logit < 0.0 { small } else { 1.0 } / (1.0 + small);
    (loss, probability - target)
}

/// `1 - IoU^2` of a decoded box and an object, and its gradient with respect to the raw `[x, y, w, h]`.
pub(super) fn iou_loss(bbox: &BBox, object: &BBox, stride: f32) -> (f32, [f32; 4]) {
    // As YOLOX's `IOUloss`: keeps the quotient finite.
    const TINY: f32 = 1e-16;
    let axis = |low: f32, high: f32, object_low: f32, object_high: f32| Axis {
        size: high - low,
        overlap: high.min(object_high) - low.max(object_low),
        low_moves: low > object_low,
        high_moves: high < object_high,
    };
    let x = axis(bbox.x1, bbox.x2, object.x1, object.x2);
    let y = axis(bbox.y1, bbox.y2, object.y1, object.y2);
    let object_area = (object.x2 - object.x1) * (object.y2 - object.y1);
    let overlaps = x.overlap > 0.0 && y.overlap > 0.0;
    let both = if overlaps { x.overlap * y.overlap } else { 0.0 };
    let union = x.size * y.size + object_area - both + TINY;
    let iou = both / union;

    // d IoU = (1 + IoU) / union * d both - IoU / union * d area
    let (by_both, by_area) = ((1.0 + iou) / union, -iou / union);
    let slopes = |this: &Axis, other: &Axis| {
        let (by_low, by_high) = (f32::from(this.low_moves), f32::from(this.high_moves));
        let by_centre = by_both * other.overlap * (by_high - by_low);
        let by_size = by_both * other.overlap * (by_high + by_low) / 2.0 + by_area * other.size;
        // Through the decoding: the centre moves by a stride, the logarithm of the size by the size.
        [by_centre * stride, by_size * this.size]
    };
    let ([cx, w], [cy, h]) = (slopes(&x, &y), slopes(&y, &x));
    // Where nothing overlaps the IoU is 0, and so is the slope of its square.
    (1.0 - iou * iou, [cx, cy, w, h].map(|slope| if overlaps { -2.0 * iou * slope } else { 0.0 }))
}

/// A box and an object along one axis.
struct Axis {
    size: f32,
    /// Negative where they lie apart.
    overlap: f32,
    /// Whether the overlap begins with the box.
    low_moves: bool,
    /// Whether the overlap ends with the box.
    high_moves: bool,
}

#[cfg(test)]
mod tests;

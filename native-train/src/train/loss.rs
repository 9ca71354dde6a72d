//! The loss of YOLOX and its gradient with respect to the head's raw output (`get_losses` in
//! `yolox/models/yolo_head.py`):
//!
//! `5 * (1 - IoU^2) + BCE(objectness, all anchors) + BCE(classes, one-hot * IoU) + L1`, all but the objectness over the
//! anchors that are to find an object (foreground), each summed over the batch and divided by their number. Other losses
//! can stand in place of the first ([`BoxLoss`]) and of the cross-entropies ([`ClassLoss`]).
//!
//! Targets, the IoU in the classes' among them, are constants to the gradient.

mod boxes;
mod classes;
mod dual;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::boxes::BoxLoss;
pub(super) use self::boxes::iou_loss;
pub use self::classes::ClassLoss;
pub(super) use self::classes::cross_entropy;
use super::assign::{Assignment, CenterRadius, assign};
use crate::data::Object;
use crate::engine::HeadOutput;
use shared_model::{Anchor, anchors};

/// What the loss depends on, besides the network and the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSettings {
    /// Which anchors may find an object.
    pub center_radius: CenterRadius,
    /// Whether the L1 distance between raw and ideal boxes counts: in the last epochs, without mosaic.
    pub l1: bool,
    /// What boxes cost.
    pub boxes: BoxLoss,
    /// What objectness and classes cost.
    pub classes: ClassLoss,
    /// What the objectness is to be where there is an object.
    pub objectness: ObjectnessTarget,
}

/// What the objectness of an anchor that is to find an object should be. Everywhere else it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ObjectnessTarget {
    /// 1, as YOLOX.
    #[default]
    One,
    /// The intersection over union of the object and the box that the network says, a constant to the gradient: the
    /// score of a box is then to say how well it lies.
    Iou,
}

/// The parts of the loss as they enter the total, and what they were counted over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Sum of the four parts. NaN where the network's output is not finite.
    pub total: f32,
    /// Of boxes: 5 times their [`BoxLoss`].
    pub iou: f32,
    /// Of the objectness: [`ClassLoss`].
    pub obj: f32,
    /// Of the classes: [`ClassLoss`].
    pub cls: f32,
    /// L1 distance, 0 where it does not count.
    pub l1: f32,
    /// Anchors that are to find an object.
    pub foreground: usize,
    /// Objects in the batch, without those that are ignored.
    pub objects: usize,
}

/// Weight of the IoU loss next to the others.
pub(super) const IOU_WEIGHT: f32 = 5.0;

/// The loss of a batch with these objects in its images, and its gradient (laid out as `output.values`). Objects that
/// are ignored are not to be found; the objectness of anchors whose middle lies in one, and which are to find no other
/// object, does not count. Where the output is not finite the total is NaN and the gradient zero.
///
/// Images are shared among the threads of rayon's pool, which an engine must not keep meanwhile; sums are taken in the
/// order of images, so that their bits do not depend on the number of threads.
///
/// # Panics
/// Panics where `objects` are not those of as many images, a class is not among the output's, or the output has
/// another number of anchors than its images' size gives.
pub fn loss(output: &HeadOutput, objects: &[Vec<Object>], settings: &LossSettings) -> (Losses, Vec<f32>) {
    let grid = anchors(output.height, output.width);
    assert_eq!(output.images, objects.len(), "one list of objects an image");
    assert_eq!(output.values.len(), output.images * grid.len() * output.row(), "rows of all anchors");
    let mut gradient = vec![0.0; output.values.len()];
    let sought = |objects: &Vec<Object>| objects.iter().filter(|object| !object.ignored).copied().collect();
    let sought: Vec<Vec<Object>> = objects.iter().map(sought).collect();
    let mut losses = Losses { objects: sought.iter().map(Vec::len).sum(), ..Losses::default() };
    if !all_finite(&output.values) {
        losses.total = f32::NAN;
        return (losses, gradient);
    }

    let assigned: Vec<Vec<Assignment>> = (0..output.images)
        .into_par_iter()
        .map(|i| assign(output.image(i), &grid, &sought[i], settings.center_radius))
        .collect();
    losses.foreground = assigned.iter().map(Vec::len).sum();
    let scale = 1.0 / losses.foreground.max(1) as f32;
    let size = (grid.len() * output.row()).max(1);
    let of_image = |(i, gradient): (usize, &mut [f32])| {
        let rows = output.image(i);
        let image = ImageLoss { rows, grid: &grid, all: &objects[i], sought: &sought[i], settings, scale };
        image.sums(&assigned[i], gradient)
    };
    let sums: Vec<LossSums> = gradient.par_chunks_exact_mut(size).enumerate().map(of_image).collect();
    let sums = sums.iter().fold(LossSums::default(), |all, image| all.plus(image));
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

/// LossSums over an image, or over the batch.
#[derive(Default)]
struct LossSums {
    iou: f64,
    obj: f64,
    cls: f64,
    l1: f64,
}

impl LossSums {
    fn plus(&self, other: &Self) -> Self {
        let Self { iou, obj, cls, l1 } = self;
        Self { iou: iou + other.iou, obj: obj + other.obj, cls: cls + other.cls, l1: l1 + other.l1 }
    }
}

/// One image of a batch.
struct ImageLoss<'a> {
    /// anchors x (5 + classes)
    rows: &'a [f32],
    grid: &'a [Anchor],
    all: &'a [Object],
    /// Of these the ones that are not ignored.
    sought: &'a [Object],
    settings: &'a LossSettings,
    /// Of every part's gradient: one over the batch's foreground.
    scale: f32,
}

impl ImageLoss<'_> {
    /// The image's part of the sums; fills its gradient.
    fn sums(&self, matches: &[Assignment], gradient: &mut [f32]) -> LossSums {
        let mut sums = LossSums::default();
        let row = self.rows.len() / self.grid.len();
        let mut targets = self.background();
        for found in matches {
            targets[found.anchor] = Some(match self.settings.objectness {
                ObjectnessTarget::One => 1.0,
                ObjectnessTarget::Iou => found.iou,
            });
            let range = found.anchor * row..(found.anchor + 1) * row;
            self.add_foreground(found, &self.rows[range.clone()], &mut sums, &mut gradient[range]);
        }
        let objectness = self.rows[4..].iter().step_by(row);
        let gradients = gradient[4..].iter_mut().step_by(row);
        for ((&logit, gradient), target) in objectness.zip(gradients).zip(targets) {
            let Some(target) = target else { continue };
            let (loss, slope) = self.settings.classes.of(logit, target);
            sums.obj += f64::from(loss);
            *gradient = slope * self.scale;
        }
        sums
    }

    /// What the objectness of every anchor is to be where no object is found: 0, but nothing in objects that are ignored.
    fn background(&self) -> Vec<Option<f32>> {
        let mut targets = vec![Some(0.0); self.grid.len()];
        for bbox in self.all.iter().filter(|object| object.ignored).map(Object::bbox) {
            for (target, anchor) in targets.iter_mut().zip(self.grid) {
                let (x, y) = anchor.centre();
                if x > bbox.x1 && x < bbox.x2 && y > bbox.y1 && y < bbox.y2 {
                    *target = None;
                }
            }
        }
        targets
    }

    fn add_foreground(&self, found: &Assignment, row: &[f32], sums: &mut LossSums, gradient: &mut [f32]) {
        let (anchor, object) = (&self.grid[found.anchor], &self.sought[found.object]);
        let (loss, slope) = self.settings.boxes.of(&anchor.decode(row), &object.bbox(), anchor.stride);
        sums.iou += f64::from(loss);
        for (gradient, slope) in gradient.iter_mut().zip(slope) {
            *gradient = IOU_WEIGHT * slope * self.scale;
        }
        for (class, (&logit, gradient)) in row[5..].iter().zip(&mut gradient[5..]).enumerate() {
            let target = if class == object.class { found.iou } else { 0.0 };
            let (loss, slope) = self.settings.classes.of(logit, target);
            sums.cls += f64::from(loss);
            *gradient = slope * self.scale;
        }
        if self.settings.l1 {
            for ((value, ideal), gradient) in row.iter().zip(object.encoded(anchor)).zip(gradient) {
                let difference = value - ideal;
                sums.l1 += f64::from(difference.abs());
                // No slope where there is no difference, as PyTorch.
                *gradient += if difference == 0.0 { 0.0 } else { difference.signum() * self.scale };
            }
        }
    }
}

#[cfg(test)]
mod tests;

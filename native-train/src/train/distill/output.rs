//! How far what a network says is from what its teacher says: the loss of training with the teacher's probabilities and
//! boxes in place of labels, without assignment, as both networks have the same anchors.
//!
//! With the teacher's objectness p at an anchor: binary cross-entropy of the objectness against p; p times that of every
//! class against the teacher's probability; p times `5 * (1 - IoU^2)` and the L1 distance of the raw box. All are summed up over
//! the batch and divided by the sum of p, which stands for the number of foreground anchors. A teacher's box that is not finite does
//! not count.

use rayon::prelude::*;

use crate::engine::HeadOutput;
use crate::train::loss::{IOU_WEIGHT, cross_entropy, iou_loss};
use shared_model::{Anchor, anchors};

/// Anchors with less objectness than this say nothing about box and class.
const LEAST_OBJECTNESS: f32 = 0.01;

/// The loss and its gradient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputLoss {
    /// All parts. NaN where the student's output is not finite.
    pub total: f32,
    /// With respect to the student's raw output, laid out as [`HeadOutput::values`].
    pub gradient: Vec<f32>,
}

/// The loss of what `student` says against what `teacher` says; classes that are NaN in the teacher's rows do not count.
///
/// # Panics
/// Panics where the two differ in size.
pub fn output_loss(student: &HeadOutput, teacher: &HeadOutput) -> OutputLoss {
    assert_eq!(student.values.len(), teacher.values.len(), "rows of the same images and classes");
    let row = student.row();
    let grid = anchors(student.height, student.width);
    let objectness: f64 = teacher.values[4..].iter().step_by(row).map(|&logit| f64::from(sigmoid(logit))).sum();
    let scale = 1.0 / objectness.max(1.0) as f32;
    let mut gradient = vec![0.0; student.values.len()];
    let size = (grid.len() * row).max(1);
    let images =
        gradient.par_chunks_mut(size).zip(student.values.par_chunks(size)).zip(teacher.values.par_chunks(size));
    let sums: Vec<f64> = images
        .map(|((gradient, student), teacher)| {
            let rows = gradient.chunks_exact_mut(row).zip(student.chunks_exact(row)).zip(teacher.chunks_exact(row));
            let of_row = |(((gradient, student), teacher), anchor)| row_loss(student, teacher, anchor, scale, gradient);
            rows.zip(&grid).map(of_row).sum()
        })
        .collect();
    OutputLoss { total: (sums.iter().sum::<f64>() * f64::from(scale)) as f32, gradient }
}

/// One anchor's loss before scaling; fills its gradient, scaled.
fn row_loss(student: &[f32], teacher: &[f32], anchor: &Anchor, scale: f32, gradient: &mut [f32]) -> f64 {
    let p = sigmoid(teacher[4]);
    let (loss, slope) = cross_entropy(student[4], p);
    let mut sum = f64::from(loss);
    gradient[4] = scale * slope;
    if p < LEAST_OBJECTNESS {
        return sum;
    }
    for ((&logit, &theirs), gradient) in student[5..].iter().zip(&teacher[5..]).zip(&mut gradient[5..]) {
        if theirs.is_finite() {
            let (loss, slope) = cross_entropy(logit, sigmoid(theirs));
            sum += f64::from(p * loss);
            *gradient = scale * p * slope;
        }
    }
    let theirs = anchor.decode(teacher);
    // A teacher that has hardly been trained says boxes whose sides overflow: nothing is to be learned from those.
    if !theirs.area().is_finite() {
        return sum;
    }
    let (loss, slopes) = iou_loss(&anchor.decode(student), &theirs, anchor.stride);
    sum += f64::from(p * IOU_WEIGHT * loss);
    for (i, slope) in slopes.into_iter().enumerate() {
        let difference = student[i] - teacher[i];
        sum += f64::from(p * difference.abs());
        let sign = if difference == 0.0 { 0.0 } else { difference.signum() };
        gradient[i] = scale * p * (IOU_WEIGHT * slope + sign);
    }
    sum
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_probabilities() {
        for (logit, expected) in [(0.0, 0.5), (2.0, 0.880_797), (-2.0, 0.119_203), (-200.0, 0.0)] {
            assert!((sigmoid(logit) - expected).abs() < 1e-6, "{logit}: {}", sigmoid(logit));
        }
    }
}

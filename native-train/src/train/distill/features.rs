//! How far a network's features are from its teacher's (FitNets, <https://arxiv.org/abs/1412.6550>, without its additional
//! layers: parts of the same name have as many channels in every variant).

use rayon::prelude::*;
use shared_model::training::Features;

/// A channel that hardly varies counts as if it had this part of the mean variance of all: what is next to constant is not
/// worth any effort.
const LEAST_VARIANCE: f32 = 0.05;

/// The loss of the features of all parts, and its gradient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureLoss {
    /// For each part the mean square of the difference, channel by channel over the teacher's variance in this batch: 0
    /// where both agree, about 1 where the student says the channel's mean everywhere.
    pub parts: Vec<f32>,
    /// Of the sum of `parts` with respect to the student's features.
    pub gradient: Features,
}

/// The loss of `student`'s features against `teacher`'s; `channels` are those of each part.
///
/// # Panics
/// Panics where the arrays differ in size.
pub fn feature_loss(student: &Features, teacher: &Features, channels: &[usize], images: usize) -> FeatureLoss {
    let mut loss = FeatureLoss::default();
    for ((student, teacher), &channels) in student.iter().zip(teacher).zip(channels) {
        assert_eq!(student.len(), teacher.len(), "features of the same part");
        let plane = teacher.len() / (channels * images);
        let weights = weights(teacher, channels, plane);
        let scale = 1.0 / teacher.len() as f32;
        let mut gradient = vec![0.0; student.len()];
        let planes = gradient.par_chunks_mut(plane).zip(student.par_chunks(plane)).zip(teacher.par_chunks(plane));
        let sums: Vec<f32> = planes
            .enumerate()
            .map(|(i, ((gradient, student), teacher))| {
                let weight = weights[i % channels] * scale;
                let mut sum = 0.0;
                for ((gradient, student), teacher) in gradient.iter_mut().zip(student).zip(teacher) {
                    let difference = student - teacher;
                    *gradient = 2.0 * weight * difference;
                    sum += difference * difference;
                }
                weight * sum
            })
            .collect();
        loss.parts.push(sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() as f32);
        loss.gradient.push(gradient);
    }
    loss
}

/// For each channel one over its variance.
fn weights(features: &[f32], channels: usize, plane: usize) -> Vec<f32> {
    let moments: Vec<(f64, f64)> = features
        .par_chunks(plane)
        .map(|plane| {
            let (sum, squares) = plane.iter().fold((0.0f32, 0.0f32), |(sum, squares), x| (sum + x, squares + x * x));
            (f64::from(sum), f64::from(squares))
        })
        .collect();
    let count = (features.len() / channels) as f64;
    let variance = |channel: usize| {
        let planes = moments.iter().skip(channel).step_by(channels);
        let (sum, squares) = planes.fold((0.0, 0.0), |(a, b), (sum, squares)| (a + sum, b + squares));
        ((squares / count - (sum / count).powi(2)).max(0.0)) as f32
    };
    let variances: Vec<f32> = (0..channels).map(variance).collect();
    let least = (LEAST_VARIANCE * variances.iter().sum::<f32>() / channels as f32).max(f32::MIN_POSITIVE);
    variances.into_iter().map(|variance| 1.0 / variance.max(least)).collect()
}

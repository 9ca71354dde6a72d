//! What lies between a convolution's sums and its activation: batch normalisation or a bias, as one factor and one summand a
//! channel (see `kernels::norm` for the formulas).

use std::ops::Range;

use crate::model::graph::{Affine, BN_EPS, Layer};
use crate::model::layout::NormRanges;

/// What a forward pass normalises by. The numbers are those of the GPU's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormMode {
    /// The running statistics.
    Running = 0,
    /// The batch's statistics.
    Batch = 1,
    /// As `Running`, but the batch's statistics are taken, too.
    Observe = 2,
}

/// Welford's summary of some of a channel's numbers: `m2` is the sum of their squared distances from the mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) m2: f64,
}

impl Moments {
    /// Of the numbers of both (Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances").
    fn and(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let delta = other.mean - self.mean;
        let mean = self.mean + delta * other.count / count;
        let m2 = self.m2 + other.m2 + delta * delta * self.count * other.count / count;
        Self { count, mean, m2 }
    }
}

/// Normalisation or bias of a convolution's channels.
#[derive(Clone, Debug)]
pub(crate) struct NormOrBias {
    ranges: NormRanges,
    /// Factor and summand of every channel.
    pub(crate) affine: Vec<(f32, f32)>,
    /// What gradients are taken around; zero for biases.
    pub(crate) mean: Vec<f32>,
    /// `1 / (variance + eps)`.
    inverse: Vec<f64>,
    /// Of the batch that was last observed.
    batch: Vec<Moments>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Running mean and variance.
    running: Vec<(f32, f32)>,
}

impl NormOrBias {
    pub(crate) fn new(layer: &Layer, affine: Affine, bias: &str, range: impl Fn(&str) -> Range<usize>) -> Self {
        let ranges = NormRanges::new(layer, affine, bias, range);
        let channels = layer.channels;
        Self {
            ranges,
            affine: vec![(1.0, 0.0); channels],
            mean: vec![0.0; channels],
            inverse: vec![1.0; channels],
            batch: vec![Moments::default(); channels],
            weight: vec![1.0; channels],
            bias: vec![0.0; channels],
            running: Vec::new(),
        }
    }

    /// Whether this is batch normalisation.
    pub(crate) fn is_batch(&self) -> bool {
        matches!(self.ranges, NormRanges::BatchNorm { .. })
    }

    /// Takes over the parameters and running statistics.
    pub(crate) fn load(&mut self, parameters: &[f32]) {
        match &self.ranges {
            NormRanges::Bias(bias) => {
                for (affine, &bias) in self.affine.iter_mut().zip(&parameters[bias.clone()]) {
                    affine.1 = bias;
                }
            }
            NormRanges::BatchNorm { weight, bias, running_mean: mean, running_var: variance } => {
                self.weight.copy_from_slice(&parameters[weight.clone()]);
                self.bias.copy_from_slice(&parameters[bias.clone()]);
                let (mean, variance) = (mean.clone(), variance.clone());
                self.running = mean.zip(variance).map(|(mean, var)| (parameters[mean], parameters[var])).collect();
                self.normalise_by_running();
            }
        }
    }

    /// Forgets a batch's statistics.
    pub(crate) fn normalise_by_running(&mut self) {
        for channel in 0..self.running.len() {
            let (mean, variance) = self.running[channel];
            self.normalise_by(channel, mean.into(), variance.into());
        }
    }

    fn normalise_by(&mut self, channel: usize, mean: f64, variance: f64) {
        let inverse = 1.0 / (variance + f64::from(BN_EPS));
        let scale = f64::from(self.weight[channel]) * inverse.sqrt();
        self.affine[channel] = (scale as f32, (f64::from(self.bias[channel]) - mean * scale) as f32);
        self.mean[channel] = mean as f32;
        self.inverse[channel] = inverse;
    }

    /// Takes a batch's statistics from `parts` (images x channels); normalises by them if `by_batch`.
    pub(crate) fn observe(&mut self, parts: &[Moments], by_batch: bool) {
        let channels = self.batch.len();
        for channel in 0..channels {
            let parts = parts[channel..].iter().step_by(channels);
            let all = parts.fold(Moments::default(), |all, &part| all.and(part));
            self.batch[channel] = all;
            if by_batch {
                self.normalise_by(channel, all.mean, all.m2 / all.count);
            }
        }
    }

    /// Writes the batch's mean and variance, unbiased or not, to the ranges of the running statistics.
    pub(crate) fn write_statistics(&self, unbiased: bool, update: &mut [f32]) {
        let NormRanges::BatchNorm { running_mean: mean, running_var: variance, .. } = &self.ranges else { return };
        for ((batch, mean), variance) in self.batch.iter().zip(mean.clone()).zip(variance.clone()) {
            update[mean] = batch.mean as f32;
            let count = if unbiased { (batch.count - 1.0).max(1.0) } else { batch.count };
            update[variance] = (batch.m2 / count) as f32;
        }
    }

    /// From the sums of g and g * (y - mean), `parts` (images x channels) over `count` numbers a channel in all: writes the
    /// gradients of weights and biases, and returns the factors a, b, c of every channel for the gradient of y.
    pub(crate) fn backward(&self, parts: &[(f64, f64)], count: usize, update: &mut [f32]) -> Vec<[f32; 3]> {
        let (channels, n) = (self.mean.len(), count as f64);
        let factors = |channel: usize| {
            let parts = parts[channel..].iter().step_by(channels);
            let (sum, product) = parts.fold((0.0, 0.0), |sums, part| (sums.0 + part.0, sums.1 + part.1));
            match &self.ranges {
                NormRanges::Bias(bias) => {
                    update[bias.start + channel] = sum as f32;
                    [1.0, 0.0, 0.0]
                }
                NormRanges::BatchNorm { weight, bias, .. } => {
                    let inverse = self.inverse[channel];
                    update[bias.start + channel] = sum as f32;
                    update[weight.start + channel] = (product * inverse.sqrt()) as f32;
                    let scale = f64::from(self.weight[channel]) * inverse.sqrt();
                    let b = -scale * inverse * product / n;
                    let c = -scale * sum / n - b * f64::from(self.mean[channel]);
                    [scale as f32, b as f32, c as f32]
                }
            }
        };
        (0..channels).map(factors).collect()
    }
}

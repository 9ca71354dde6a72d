//! The head's last 1x1 convolutions. Their outputs lie the other way round: all values of an anchor side by side, as the
//! network's result has them. So the vectors are of output channels, and the numbers that they are multiplied with are
//! neighbouring pixels.

use super::block::Block;
use super::gemm::{Strided, add_products};
use super::parallel::{Shared, Team};
use super::simd::{Instructions, Kernel, MOST_LANES, Simd};
use crate::model::graph::Activation;

/// Weights of a 1x1 convolution with the output channels side by side.
pub(crate) struct PredictionWeights {
    /// depth x `padded`, channels beyond the last filled with zeros.
    values: Vec<f32>,
    /// `padded` values.
    bias: Vec<f32>,
    channels: usize,
    padded: usize,
    depth: usize,
    activation: Activation,
    instructions: Instructions,
}

impl PredictionWeights {
    /// Transposes `weights` (channels x depth).
    pub(crate) fn new(weights: &[f32], bias: &[f32], activation: Activation, instructions: Instructions) -> Self {
        let channels = bias.len();
        let (depth, padded) = (weights.len() / channels, channels.next_multiple_of(MOST_LANES));
        let mut values = vec![0.0; depth * padded];
        for (i, &weight) in weights.iter().enumerate() {
            values[i % depth * padded + i / depth] = weight;
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Self { values, bias, channels, padded, depth, activation, instructions }
    }
}

/// Pixels that are computed together, at most.
const PIXELS: usize = 8;

/// Writes the outputs for `x` (channels_in x pixels) to `rows`, one of equal length for each pixel, from place `first` on.
pub(crate) fn predict(team: &Team, weights: &PredictionWeights, x: &[f32], first: usize, rows: &mut [f32]) {
    let pixels = x.len() / weights.depth;
    let row = rows.len() / pixels;
    debug_assert!(first + weights.channels <= row);
    let out = Shared::new(rows);
    team.parallel_for_chunks(pixels.div_ceil(PIXELS), |from, to| {
        let (from, to) = (from * PIXELS, pixels.min(to * PIXELS));
        weights.instructions.run(Anchors { weights, x, pixels, from, to, out, row, first });
    });
}

/// The pixels `from..to`.
struct Anchors<'a> {
    weights: &'a PredictionWeights,
    x: &'a [f32],
    pixels: usize,
    from: usize,
    to: usize,
    out: Shared,
    /// Numbers from one pixel's row to the next.
    row: usize,
    first: usize,
}

impl Kernel for Anchors<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let mut pixel = self.from;
        while pixel < self.to {
            // SAFETY: the caller's; the pixels are this part's.
            unsafe {
                if self.to - pixel >= ROWS {
                    self.pixels::<S, ROWS, TILE>(pixel);
                    pixel += ROWS;
                } else {
                    self.pixels::<S, 1, TILE>(pixel);
                    pixel += 1;
                }
            }
        }
    }
}

impl Anchors<'_> {
    /// `ROWS` pixels from `pixel` on.
    #[inline(always)]
    unsafe fn pixels<S: Simd, const ROWS: usize, const TILE: usize>(&self, pixel: usize) {
        let mut channel = 0;
        while channel < self.weights.channels {
            // SAFETY: the caller's.
            unsafe {
                channel += S::LANES
                    * match (self.weights.channels - channel).div_ceil(S::LANES) {
                        1 => self.values::<S, ROWS, 1>(pixel, channel),
                        2 => self.values::<S, ROWS, 2>(pixel, channel),
                        3 => self.values::<S, ROWS, 3>(pixel, channel),
                        _ => self.values::<S, ROWS, TILE>(pixel, channel),
                    };
            }
        }
    }

    /// `ROWS` pixels from `pixel` on, `N` vectors of channels from `channel` on; returns `N`.
    #[inline(always)]
    unsafe fn values<S: Simd, const ROWS: usize, const N: usize>(&self, pixel: usize, channel: usize) -> usize {
        let w = self.weights;
        // SAFETY: weights and bias are padded to whole vectors, and `ROWS` pixels are there.
        unsafe {
            let rows = Strided { start: w.values.as_ptr().add(channel), stride: w.padded };
            let mut bias = [S::splat(0.0); N];
            for (n, bias) in bias.iter_mut().enumerate() {
                *bias = S::load(w.bias.as_ptr().add(channel + n * S::LANES));
            }
            let sums = add_products::<S, ROWS, N>([bias; ROWS], self.x.as_ptr().add(pixel), self.pixels, rows, w.depth);
            let (out, at, columns) = (self.out, pixel * self.row + self.first + channel, w.channels - channel);
            let activation = w.activation;
            Block { out, at, stride: self.row, rows: ROWS, columns, activation, residual: None }
                .finish::<S, ROWS, N>(&sums);
        }
        N
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, activated, assert_close};

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(5);
        for _ in 0..60 {
            let (depth, channels, pixels) = (random.in_range(1, 70), random.in_range(1, 90), random.in_range(1, 50));
            let (before, after) = (random.in_range(0, 6), random.in_range(0, 6));
            let row = before + channels + after;
            let activation = random.activation();
            let (w, b) = (random.numbers(channels * depth), random.numbers(channels));
            let x = random.numbers(depth * pixels);
            let untouched = 7.0;
            let mut naive = vec![untouched; pixels * row];
            for (o, p) in (0..channels).flat_map(|o| (0..pixels).map(move |p| (o, p))) {
                let sum: f32 = (0..depth).map(|c| w[o * depth + c] * x[c * pixels + p]).sum();
                naive[p * row + before + o] = activated(activation, sum + b[o]);
            }
            for instructions in Instructions::available() {
                let mut out = vec![untouched; pixels * row];
                let weights = PredictionWeights::new(&w, &b, activation, instructions);
                predict(&Team::alone(), &weights, &x, before, &mut out);
                assert_close(&out, &naive, 2e-5, &format!("{depth} -> {channels}, {pixels} pixels, {instructions:?}"));
            }
        }
    }
}

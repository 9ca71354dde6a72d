//! 1x1 convolution: a matrix product of weights (channels_out x channels_in) and pixels (channels_in x pixels).

use super::gemm::{PackedWeights, Strided, TILES, Target, tile};
use super::parallel::{Shared, for_each, parts};
use super::simd::{Kernel, Simd};

/// `out` (channels_out x pixels) from `x` (channels_in x pixels).
pub(crate) fn pointwise(weights: &PackedWeights, x: &[f32], out: &mut [f32]) {
    let pixels = x.len() / weights.depth;
    debug_assert_eq!(out.len(), pixels * weights.channels);
    let out = Shared::new(out);
    let parts = parts(pixels.div_ceil(TILES));
    for_each(parts.len(), |part| {
        let (from, to) = (parts[part].0 * TILES, pixels.min(parts[part].1 * TILES));
        let mut panel = vec![0.0; weights.depth * TILES];
        weights.instructions.run(Pixels { weights, x, out, pixels, from, to, panel: &mut panel });
    });
}

/// Channels this many numbers apart (or a multiple) compete for the same few cache lines. Their tiles are copied together
/// first, as is the last tile, which may not be read as a whole.
const CONFLICT: usize = 256;

/// The pixels `from..to` of all output channels.
struct Pixels<'a> {
    weights: &'a PackedWeights,
    x: &'a [f32],
    out: Shared,
    pixels: usize,
    from: usize,
    to: usize,
    panel: &'a mut [f32],
}

impl Kernel for Pixels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { weights, x, out, pixels, .. } = self;
        let width = TILE * S::LANES;
        let mut at = self.from;
        while at < self.to {
            let count = width.min(self.to - at);
            let target = Target { out, at, plane: pixels, pixels: count };
            // SAFETY: whole tiles of x, or a panel of whole tiles, are readable; these pixels are this part's.
            unsafe {
                if count == width && !pixels.is_multiple_of(CONFLICT) {
                    tile::<S, ROWS, TILE>(weights, Strided { start: x.as_ptr().add(at), stride: pixels }, target);
                } else {
                    for (c, row) in self.panel.chunks_exact_mut(width).enumerate().take(weights.depth) {
                        row[..count].copy_from_slice(&x[c * pixels + at..][..count]);
                    }
                    tile::<S, ROWS, TILE>(weights, Strided { start: self.panel.as_ptr(), stride: width }, target);
                }
            }
            at += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Activation;
    use crate::kernels::simd::Instructions;
    use crate::kernels::testing::{Random, activated, assert_close};

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(1);
        for _ in 0..60 {
            let (channels_in, channels, pixels) =
                (random.in_range(1, 70), random.in_range(1, 40), random.in_range(1, 200));
            let activation = random.activation();
            let (w, b) = (random.numbers(channels * channels_in), random.numbers(channels));
            let x = random.numbers(channels_in * pixels);
            let naive: Vec<f32> = (0..channels * pixels)
                .map(|i| {
                    let (o, p) = (i / pixels, i % pixels);
                    let sum: f32 = (0..channels_in).map(|c| w[o * channels_in + c] * x[c * pixels + p]).sum();
                    activated(activation, sum + b[o])
                })
                .collect();
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * pixels];
                pointwise(&PackedWeights::new(&w, &b, activation, instructions), &x, &mut out);
                let what = format!("{channels_in} -> {channels}, {pixels} pixels, {instructions:?}");
                assert_close(&out, &naive, 2e-5, &what);
            }
        }
    }

    #[test]
    fn silu_holds_at_the_ends() {
        let x = [-200.0, -90.0, -20.0, -1.0, 0.0, 1.0, 20.0, 90.0, 200.0, f32::MAX];
        for instructions in Instructions::available() {
            let weights = PackedWeights::new(&[1.0], &[0.0], Activation::Silu, instructions);
            let mut out = [f32::NAN; 10];
            pointwise(&weights, &x, &mut out);
            for (x, y) in x.into_iter().zip(out) {
                let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
                let what = format!("{instructions:?}: silu({x}) = {y}, not {exact}");
                assert!((f64::from(y) - exact).abs() <= 3e-7 * exact.abs() + 1e-30, "{what}");
            }
        }
    }
}

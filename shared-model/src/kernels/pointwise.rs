//! 1x1 convolution: a matrix product of weights (channels_out x channels_in) and pixels (channels_in x pixels).

use super::block::Residual;
use super::gemm::{PackedWeights, Strided, Target, tile};
use super::parallel::{Shared, Team, with_scratch};
use super::simd::{Kernel, Simd};

/// `out` (channels_out x pixels) from `x` (channels_in x pixels), plus `residual`.
pub(crate) fn pointwise<'a>(
    team: &Team,
    weights: &PackedWeights,
    x: &[f32],
    residual: impl Into<Residual<'a>>,
    out: &mut [f32],
) {
    let residual = residual.into();
    let pixels = x.len() / weights.depth;
    debug_assert_eq!(out.len(), pixels * weights.channels);
    let out = Shared::new(out);
    let tile = weights.instructions.tile_pixels();
    let tiles = pixels.div_ceil(tile);
    // Small images have too few tiles for several threads.
    let groups = if tiles < FEW_TILES { weights.channels.div_ceil(CHANNELS).min(team.threads()) } else { 1 };
    let blocks = weights.channels.div_ceil(8);
    let channels = |group: usize| weights.channels.min(blocks * group / groups * 8);
    team.parallel_for_chunks(tiles * groups, |from, to| {
        with_scratch(weights.depth * tile, |panel| {
            for group in from / tiles..to.div_ceil(tiles) {
                let (from, to) = (from.max(group * tiles) - group * tiles, to.min((group + 1) * tiles) - group * tiles);
                let (from, to) = (from * tile, pixels.min(to * tile));
                let channels = (channels(group), channels(group + 1));
                let residual = residual.pointer(out);
                weights.instructions.run(Pixels { weights, x, residual, out, pixels, from, to, channels, panel });
            }
        });
    });
}

/// Fewer tiles than this are also divided by channels, into groups of at least [`CHANNELS`].
const FEW_TILES: usize = 16;
const CHANNELS: usize = 32;

/// Channels this many numbers apart (or a multiple) compete for the same few cache lines. Their tiles are copied together
/// first, as is the last tile, which may not be read as a whole.
const CONFLICT: usize = 256;

/// The pixels `from..to` of some output channels.
struct Pixels<'a> {
    weights: &'a PackedWeights,
    x: &'a [f32],
    residual: Option<*const f32>,
    out: Shared,
    pixels: usize,
    from: usize,
    to: usize,
    channels: (usize, usize),
    panel: &'a mut [f32],
}

impl Kernel for Pixels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { weights, x, residual, out, pixels, channels, .. } = self;
        let width = TILE * S::LANES;
        let mut at = self.from;
        while at < self.to {
            let count = width.min(self.to - at);
            let target = Target { out, at, plane: pixels, pixels: count, residual };
            // SAFETY: whole tiles of x, or a panel of whole tiles, are readable; these pixels are this part's.
            unsafe {
                if count == width && !pixels.is_multiple_of(CONFLICT) {
                    let rows = Strided { start: x.as_ptr().add(at), stride: pixels };
                    tile::<S, ROWS, TILE>(weights, channels, rows, target);
                } else {
                    for (c, row) in self.panel.chunks_exact_mut(width).enumerate().take(weights.depth) {
                        row[..count].copy_from_slice(&x[c * pixels + at..][..count]);
                    }
                    let rows = Strided { start: self.panel.as_ptr(), stride: width };
                    tile::<S, ROWS, TILE>(weights, channels, rows, target);
                }
            }
            at += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Instructions;
    use crate::kernels::testing::{Random, activated, assert_close};
    use crate::model::graph::Activation;

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(1);
        for _ in 0..60 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(random.in_range(1, 3)).build().unwrap();
            let (channels_in, channels, pixels) =
                (random.in_range(1, 70), random.in_range(1, 150), random.in_range(1, 200));
            let activation = random.activation();
            let (w, b) = (random.numbers(channels * channels_in), random.numbers(channels));
            let x = random.numbers(channels_in * pixels);
            let residual = random.pick(&[false, true]).then(|| random.numbers(channels * pixels));
            let naive: Vec<f32> = (0..channels * pixels)
                .map(|i| {
                    let (o, p) = (i / pixels, i % pixels);
                    let sum: f32 = (0..channels_in).map(|c| w[o * channels_in + c] * x[c * pixels + p]).sum();
                    activated(activation, sum + b[o]) + residual.as_ref().map_or(0.0, |residual| residual[i])
                })
                .collect();
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * pixels];
                let weights = PackedWeights::new(&w, &b, activation, instructions);
                // Several threads also share out the channels.
                pool.install(|| Team::fork_join(|team| pointwise(team, &weights, &x, residual.as_deref(), &mut out)));
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
            pointwise(&Team::alone(), &weights, &x, None, &mut out);
            for (x, y) in x.into_iter().zip(out) {
                let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
                let what = format!("{instructions:?}: silu({x}) = {y}, not {exact}");
                assert!((f64::from(y) - exact).abs() <= 3e-7 * exact.abs() + 1e-30, "{what}");
            }
        }
    }
}

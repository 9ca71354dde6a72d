//! Depthwise convolution: every output channel from one input channel, k x k with k = 3, 5, 7 or 9, stride 1 or 2.
//!
//! Each input plane is copied once into a padded scratch plane, so that the hot loop knows no borders. With stride 2 the
//! copy sorts the columns into even and odd ones: then every load is of neighbouring numbers. The hot loop keeps a tile
//! of `ROWS` output rows by two or three vectors of columns in registers and loads each input vector once for all the
//! output rows that it contributes to.

use super::block::{Block, Residual};
use super::padded::{Padded, ROWS, run_of_size};
use super::parallel::{Shared, Team, with_scratch};
use super::simd::{Instructions, Kernel, MOST_LANES, Simd};
use crate::model::graph::Activation;

/// Weights of a depthwise convolution; with several kernel widths (mixed), the channels fall into equal chunks.
pub(crate) struct DepthwiseWeights {
    /// For each width: its width, and its chunk's kernels (channels of the chunk x width x width).
    kernels: Vec<(usize, Vec<f32>)>,
    bias: Vec<f32>,
    activation: Activation,
    stride: usize,
    instructions: Instructions,
    /// Whether the input lies at every second pixel of every second row, between zeros: it has a quarter of the pixels.
    spread: bool,
    /// Added to the position of every input channel.
    offset: usize,
}

impl DepthwiseWeights {
    /// `kernels`: width and kernels of each chunk; `bias`: one value an output channel.
    pub(crate) fn new(
        kernels: Vec<(usize, Vec<f32>)>,
        bias: Vec<f32>,
        activation: Activation,
        stride: usize,
        instructions: Instructions,
    ) -> Self {
        debug_assert!(kernels.iter().all(|(k, _)| [3, 5, 7, 9].contains(k)) && [1, 2].contains(&stride));
        Self { kernels, bias, activation, stride, instructions, spread: false, offset: 0 }
    }

    /// The gradient with respect to the input of a convolution with `kernels` (as for `new`; no bias), as convolutions of
    /// the gradient with respect to its output: one for each output channel of an input channel, whose results are added.
    ///
    /// `in[y + t] += kernel[t] * out[y]` is the same as `in[y] = sum of kernel[t] * out[y - t]`: a convolution with the
    /// kernel turned by 180 degrees. With stride 2, zeros come between the outputs first.
    pub(crate) fn of_input_gradient(
        kernels: &[(usize, &[f32])],
        inputs: usize,
        stride: usize,
        instructions: Instructions,
    ) -> Vec<Self> {
        let outputs: usize = kernels.iter().map(|(k, values)| values.len() / (k * k)).sum();
        let multiple = outputs / inputs;
        let of = |offset: usize| {
            let turned = kernels.iter().map(|&(k, values)| {
                let kernels = values.chunks_exact(k * k).skip(offset).step_by(multiple);
                (k, kernels.flat_map(|kernel| kernel.iter().rev()).copied().collect())
            });
            let weights = Self::new(turned.collect(), vec![0.0; inputs], Activation::Identity, 1, instructions);
            Self { spread: stride == 2, offset, ..weights }
        };
        (0..multiple).map(of).collect()
    }

    /// Numbers in the largest padded plane.
    fn scratch(&self, height: usize, width: usize) -> usize {
        let widths = self.kernels.iter().map(|(k, _)| Padded::new(*k, self.stride, height, width, MOST_LANES).len());
        widths.max().unwrap_or(0)
    }
}

/// `out` (channels_out x height/stride x width/stride) from `x` (channels_in x height x width), plus `residual`.
pub(crate) fn depthwise<'a>(
    team: &Team,
    weights: &DepthwiseWeights,
    x: &[f32],
    height: usize,
    width: usize,
    residual: impl Into<Residual<'a>>,
    out: &mut [f32],
) {
    debug_assert!(height.is_multiple_of(weights.stride) && width.is_multiple_of(weights.stride));
    let (out, residual) = (Shared::new(out), residual.into());
    team.parallel_for_chunks(weights.bias.len(), |from, to| {
        with_scratch(weights.scratch(height, width), |scratch| {
            let residual = residual.pointer(out);
            let chunk = weights.bias.len() / weights.kernels.len();
            let mut channel = from;
            while channel < to {
                // DepthwiseChannels of one kernel width share the padded plane's layout, and so its zeros.
                let end = to.min((channel / chunk + 1) * chunk);
                let channels = DepthwiseChannels {
                    weights,
                    x,
                    height,
                    width,
                    residual,
                    out,
                    from: channel,
                    to: end,
                    scratch: &mut *scratch,
                };
                channels.compute(weights.kernels[channel / chunk].0);
                channel = end;
            }
        });
    });
}

/// The output channels `from..to`, which share their kernel width.
struct DepthwiseChannels<'a> {
    weights: &'a DepthwiseWeights,
    x: &'a [f32],
    height: usize,
    width: usize,
    residual: Option<*const f32>,
    out: Shared,
    from: usize,
    to: usize,
    /// The padded plane.
    scratch: &'a mut [f32],
}

/// DepthwiseChannels whose kernels are `K` wide. A type for each size and stride, so that each is a function of its own: compilers take
/// minutes for one that has them all.
struct OfSize<'a, const K: usize, const STRIDE: usize>(DepthwiseChannels<'a>);

impl<const K: usize, const STRIDE: usize> Kernel for OfSize<'_, K, STRIDE> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        // SAFETY: the caller's.
        unsafe { self.0.planes::<S, K, STRIDE>() }
    }
}

impl DepthwiseChannels<'_> {
    /// Computes them; their kernels are `k` wide.
    fn compute(self, k: usize) {
        let instructions = self.weights.instructions;
        run_of_size!(instructions, (k, self.weights.stride), self);
    }

    #[inline(always)]
    unsafe fn planes<S: Simd, const K: usize, const STRIDE: usize>(self) {
        let Self { weights, from, to, .. } = self;
        let (height, width) = (self.height / STRIDE, self.width / STRIDE);
        let (x, plane) = (self.x, self.height * self.width / if weights.spread { 4 } else { 1 });
        let (channels, chunk) = (weights.bias.len(), weights.bias.len() / weights.kernels.len());
        let inputs = self.x.len() / plane;
        let padded = Padded::new(K, STRIDE, self.height, self.width, S::LANES);
        if weights.spread {
            self.scratch.fill(0.0);
        } else {
            padded.clear_border::<K, STRIDE>(self.scratch, self.height, self.width);
        }
        let kernels: &[[[f32; K]; K]] = weights.kernels[from / chunk].1.as_chunks::<K>().0.as_chunks::<K>().0;
        for channel in from..to {
            // SAFETY: the caller's.
            unsafe {
                let x = &x[(channel * inputs / channels + weights.offset) * plane..][..plane];
                if weights.spread {
                    padded.spread::<S, K>(x, self.scratch, self.width);
                } else {
                    padded.copy::<S, K, STRIDE>(x, self.scratch, self.width);
                }
            }
            for y in (0..height).step_by(ROWS) {
                let mut x = 0;
                while x < width {
                    let tile = OutputTile { padded, y, x, height, width, channel };
                    let kernel = &kernels[channel % chunk];
                    // SAFETY: the padded plane reaches as far as whole tiles read; the rows are this channel's.
                    unsafe {
                        x += S::LANES
                            * match (width - x).div_ceil(S::LANES) {
                                1 => self.tile::<S, K, STRIDE, 1>(kernel, tile),
                                // Four are two and two, not three and one.
                                2 | 4 => self.tile::<S, K, STRIDE, 2>(kernel, tile),
                                // Twelve sums leave no room for products among sixteen registers.
                                _ if S::LANES == 4 => self.tile::<S, K, STRIDE, 2>(kernel, tile),
                                _ => self.tile::<S, K, STRIDE, 3>(kernel, tile),
                            };
                    }
                }
            }
        }
    }

    /// `ROWS` x `N` vectors of outputs; returns `N`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const STRIDE: usize, const N: usize>(
        &self,
        kernel: &[[f32; K]; K],
        tile: OutputTile,
    ) -> usize {
        // SAFETY: the caller's.
        unsafe {
            let Padded { row, odd, .. } = tile.padded;
            let mut sums = [[S::splat(self.weights.bias[tile.channel]); N]; ROWS];
            let corner = self.scratch.as_ptr().add(tile.y * STRIDE * row + tile.x);
            for dx in 0..K {
                let column = corner.add(if STRIDE == 1 { dx } else { dx % 2 * odd + dx / 2 });
                // One step for each input row that the tile reads; those beyond its last compile to nothing.
                macro_rules! steps {
                    ($($i:literal)*) => { $( step::<S, K, STRIDE, N, $i>(kernel, dx, column, row, &mut sums); )* };
                }
                steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
            }
            let OutputTile { y, x, height, width, channel, .. } = tile;
            let (at, rows, columns) = ((channel * height + y) * width + x, height - y, width - x);
            let (out, activation, residual) = (self.out, self.weights.activation, self.residual);
            Block { out, at, stride: width, rows, columns, activation, residual }.finish::<S, ROWS, N>(&sums);
            N
        }
    }
}

/// Where a tile lies in the output plane.
#[derive(Clone, Copy)]
struct OutputTile {
    padded: Padded,
    y: usize,
    x: usize,
    height: usize,
    width: usize,
    channel: usize,
}

/// Adds input row `I`'s share, at horizontal tap `dx`, to all output rows of the tile that it contributes to.
#[inline(always)]
unsafe fn step<S: Simd, const K: usize, const STRIDE: usize, const N: usize, const I: usize>(
    kernel: &[[f32; K]; K],
    dx: usize,
    column: *const f32,
    row: usize,
    sums: &mut [[S::V; N]; ROWS],
) {
    if I >= (ROWS - 1) * STRIDE + K {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        let mut x = [S::splat(0.0); N];
        for (n, x) in x.iter_mut().enumerate() {
            *x = S::load(column.add(I * row + n * S::LANES));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            if I >= r * STRIDE && I - r * STRIDE < K {
                let weight = S::splat(kernel[I - r * STRIDE][dx]);
                for n in 0..N {
                    sums[n] = S::mul_add(weight, x[n], sums[n]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, activated, assert_close};

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(2);
        for _ in 0..150 {
            let widths: &[usize] = random.pick(&[&[3], &[5], &[7], &[9], &[3, 5], &[3, 5, 7, 9]]);
            let stride = random.pick(&[1, 2]);
            let (inputs, multiple) = (random.in_range(1, 3) * widths.len(), random.in_range(1, 2));
            let (height, width) = (random.in_range(1, 40), random.in_range(1, 70));
            let (height, width) = (height * stride, width * stride);
            let channels = inputs * multiple;
            let activation = random.activation();
            let chunk = channels / widths.len();
            let kernels: Vec<_> = widths.iter().map(|&k| (k, random.numbers(chunk * k * k))).collect();
            let bias = random.numbers(channels);
            let x = random.numbers(inputs * height * width);
            let (h, w) = (height / stride, width / stride);
            let residual = random.pick(&[false, true]).then(|| random.numbers(channels * h * w));
            let mut naive = Vec::new();
            for o in 0..channels {
                let (k, kernel) =
                    (kernels[o / chunk].0, &kernels[o / chunk].1[o % chunk * kernels[o / chunk].0.pow(2)..]);
                let plane = &x[o / multiple * height * width..];
                for (oy, ox) in (0..h * w).map(|i| (i / w, i % w)) {
                    let mut sum = bias[o];
                    for (ky, kx) in (0..k * k).map(|i| (i / k, i % k)) {
                        let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                        let inside = iy >= k / 2 && iy - k / 2 < height && ix >= k / 2 && ix - k / 2 < width;
                        if inside {
                            sum += kernel[ky * k + kx] * plane[(iy - k / 2) * width + ix - k / 2];
                        }
                    }
                    naive.push(
                        activated(activation, sum) + residual.as_ref().map_or(0.0, |residual| residual[naive.len()]),
                    );
                }
            }
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * h * w];
                let weights = DepthwiseWeights::new(kernels.clone(), bias.clone(), activation, stride, instructions);
                depthwise(&Team::alone(), &weights, &x, height, width, residual.as_deref(), &mut out);
                let what = format!("{widths:?} stride {stride} on {channels} x {height} x {width}, {instructions:?}");
                assert_close(&out, &naive, 2e-5, &what);
            }
        }
    }
}

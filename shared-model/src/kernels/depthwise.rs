//! Depthwise convolution: every output channel from one input channel, k x k with k = 3, 5, 7 or 9, stride 1 or 2.
//!
//! Each input plane is copied once into a padded scratch plane, so that the hot loop knows no borders. With stride 2 the
//! copy sorts the columns into even and odd ones: then every load is of neighbouring numbers. The hot loop keeps a tile
//! of `ROWS` output rows by two or three vectors of columns in registers and loads each input vector once for all the
//! output rows that it contributes to.

use std::cell::RefCell;

use super::activation::activate;
use super::gemm::store;
use super::parallel::{Shared, for_each, parts};
use super::simd::{Instructions, Kernel, Simd};
use crate::graph::Activation;

/// Weights of a depthwise convolution; with several kernel widths (mixed), the channels fall into equal chunks.
pub(crate) struct DepthwiseWeights {
    /// For each width: its width, and its chunk's kernels (channels of the chunk x width x width).
    kernels: Vec<(usize, Vec<f32>)>,
    bias: Vec<f32>,
    activation: Activation,
    stride: usize,
    instructions: Instructions,
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
        Self { kernels, bias, activation, stride, instructions }
    }
}

/// `out` (channels_out x height/stride x width/stride) from `x` (channels_in x height x width).
pub(crate) fn depthwise(weights: &DepthwiseWeights, x: &[f32], height: usize, width: usize, out: &mut [f32]) {
    debug_assert!(height.is_multiple_of(weights.stride) && width.is_multiple_of(weights.stride));
    let out = Shared::new(out);
    let parts = parts(weights.bias.len());
    for_each(parts.len(), |part| {
        SCRATCH.with_borrow_mut(|scratch| {
            let (from, to) = parts[part];
            weights.instructions.run(Channels { weights, x, height, width, out, from, to, scratch });
        });
    });
}

thread_local! {
    /// The padded plane, kept between calls.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The output channels `from..to`.
struct Channels<'a> {
    weights: &'a DepthwiseWeights,
    x: &'a [f32],
    height: usize,
    width: usize,
    out: Shared,
    from: usize,
    to: usize,
    scratch: &'a mut Vec<f32>,
}

impl Kernel for Channels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(mut self) {
        let chunk = self.weights.bias.len() / self.weights.kernels.len();
        let mut channel = self.from;
        while channel < self.to {
            // Channels of one kernel width share the scratch plane's layout, and so its zeros.
            let end = self.to.min((channel / chunk + 1) * chunk);
            let k = self.weights.kernels[channel / chunk].0;
            // SAFETY: the caller's.
            unsafe {
                match (k, self.weights.stride) {
                    (3, 1) => self.planes::<S, 3, 1>(channel, end),
                    (5, 1) => self.planes::<S, 5, 1>(channel, end),
                    (7, 1) => self.planes::<S, 7, 1>(channel, end),
                    (9, 1) => self.planes::<S, 9, 1>(channel, end),
                    (3, 2) => self.planes::<S, 3, 2>(channel, end),
                    (5, 2) => self.planes::<S, 5, 2>(channel, end),
                    (7, 2) => self.planes::<S, 7, 2>(channel, end),
                    (9, 2) => self.planes::<S, 9, 2>(channel, end),
                    _ => unreachable!("checked at construction"),
                }
            }
            channel = end;
        }
    }
}

/// Output rows in a register tile.
const ROWS: usize = 4;

/// The padded plane: where things lie in it.
#[derive(Clone, Copy)]
struct Padded {
    /// Numbers from one row to the next.
    row: usize,
    /// Numbers from a row's even columns to its odd ones (stride 2).
    odd: usize,
}

impl Channels<'_> {
    /// Channels `from..to`, which share their kernel width.
    #[inline(always)]
    unsafe fn planes<S: Simd, const K: usize, const STRIDE: usize>(&mut self, from: usize, to: usize) {
        let weights = self.weights;
        let (height, width) = (self.height / STRIDE, self.width / STRIDE);
        let (channels, chunk) = (weights.bias.len(), weights.bias.len() / weights.kernels.len());
        let inputs = self.x.len() / (self.height * self.width);
        let padded = self.clear::<K, STRIDE>(height.next_multiple_of(ROWS), width.next_multiple_of(S::LANES));
        let kernels: &[[[f32; K]; K]] = weights.kernels[from / chunk].1.as_chunks::<K>().0.as_chunks::<K>().0;
        for channel in from..to {
            self.copy_input::<K, STRIDE>(channel * inputs / channels, padded);
            for y in (0..height).step_by(ROWS) {
                let mut x = 0;
                while x < width {
                    let tile = Tile { padded, y, x, height, width, channel };
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

    /// Makes the scratch plane wide and high enough for `rows` x `columns` outputs, all zeros.
    #[inline(always)]
    fn clear<const K: usize, const STRIDE: usize>(&mut self, rows: usize, columns: usize) -> Padded {
        let height = ((rows - 1) * STRIDE + K).max(self.height + K / 2);
        // Columns of one parity: enough for the last output's last tap, and for the picture itself.
        let odd = (columns + K).max((self.width + K).div_ceil(STRIDE));
        self.scratch.clear();
        self.scratch.resize(height * odd * STRIDE, 0.0);
        Padded { row: odd * STRIDE, odd }
    }

    /// Copies input channel `input` into the middle of the scratch plane.
    #[inline(always)]
    fn copy_input<const K: usize, const STRIDE: usize>(&mut self, input: usize, padded: Padded) {
        let (p, plane) = (K / 2, self.height * self.width);
        let rows = self.x[input * plane..][..plane].chunks_exact(self.width);
        for (from, to) in rows.zip(self.scratch[p * padded.row..].chunks_exact_mut(padded.row)) {
            if STRIDE == 1 {
                to[p..][..self.width].copy_from_slice(from);
            } else {
                // Column c lies at padded column c + p, so it is the parity of p that decides where even ones go.
                let (even, odd) = to.split_at_mut(padded.odd);
                let (first, second) = if p.is_multiple_of(2) { (even, odd) } else { (odd, even) };
                let to = first[p / 2..].iter_mut().zip(&mut second[p.div_ceil(2)..]);
                for (&[a, b], (first, second)) in from.as_chunks::<2>().0.iter().zip(to) {
                    (*first, *second) = (a, b);
                }
            }
        }
    }

    /// `ROWS` x `N` vectors of outputs; returns `N`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const STRIDE: usize, const N: usize>(
        &self,
        kernel: &[[f32; K]; K],
        tile: Tile,
    ) -> usize {
        // SAFETY: the caller's.
        unsafe {
            let Padded { row, odd } = tile.padded;
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
            for (r, sums) in sums.iter().enumerate() {
                if tile.y + r == tile.height {
                    break;
                }
                let count = tile.width - tile.x;
                let at = (tile.channel * tile.height + tile.y + r) * tile.width + tile.x;
                let to = self.out.at(at, count.min(N * S::LANES));
                for (n, &sum) in sums.iter().enumerate() {
                    let y = activate::<S>(self.weights.activation, sum);
                    store::<S>(to.add(n * S::LANES), y, count - n * S::LANES);
                }
            }
            N
        }
    }
}

/// Where a tile lies in the output plane.
#[derive(Clone, Copy)]
struct Tile {
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
                    naive.push(activated(activation, sum));
                }
            }
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * h * w];
                let weights = DepthwiseWeights::new(kernels.clone(), bias.clone(), activation, stride, instructions);
                depthwise(&weights, &x, height, width, &mut out);
                let what = format!("{widths:?} stride {stride} on {channels} x {height} x {width}, {instructions:?}");
                assert_close(&out, &naive, 2e-5, &what);
            }
        }
    }
}

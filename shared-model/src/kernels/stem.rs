//! The first layer: space-to-depth (3 -> 12 channels, half the size) and a dense 3x3 convolution, in one pass.
//!
//! Along rows, the convolution is Winograd's F(2, 3): two neighbouring outputs from four products instead of six
//! (<https://arxiv.org/abs/1509.09308>, section 4.1). With the inputs d and the kernel g of one row,
//!
//! ```text
//! m0 = (d0 - d2) g0                       y0 = m0 + m1 + m2
//! m1 = (d1 + d2) (g0 + g1 + g2) / 2       y1 = m1 - m2 - m3
//! m2 = (d2 - d1) (g0 - g1 + g2) / 2
//! m3 = (d1 - d3) g2
//! ```
//!
//! For each output row, the three rows of space-to-depth that it reads are laid out as these four differences and sums,
//! each row once. Then every m is a matrix product, 12 channels x 3 rows deep.

use super::block::Block;
use super::gemm::{Scattered, add_products};
use super::parallel::{Shared, Team, with_scratch};
use super::simd::{Instructions, Kernel, MOST_LANES, Simd, load_up_to};
use crate::model::graph::Activation;

/// Channels of space-to-depth.
const PLANES: usize = 12;
/// Products for two outputs.
const POINTS: usize = 4;
/// Inputs of one product.
const DEPTH: usize = PLANES * 3;

/// Kernels (channels x 12 x 3 x 3) as the products need them, bias and activation.
pub(crate) struct StemWeights {
    /// For each block of as many output channels as are computed together, and each point: depth x block values.
    values: Vec<f32>,
    /// Padded to whole blocks.
    bias: Vec<f32>,
    channels: usize,
    activation: Activation,
    instructions: Instructions,
}

impl StemWeights {
    /// Transforms `kernels` and packs them for `instructions`.
    pub(crate) fn new(kernels: &[f32], bias: &[f32], activation: Activation, instructions: Instructions) -> Self {
        let (channels, block) = (bias.len(), instructions.register_rows());
        debug_assert_eq!(kernels.len(), channels * DEPTH * 3);
        let padded = channels.next_multiple_of(block);
        let mut values = vec![0.0; padded * DEPTH * POINTS];
        for (row, &[a, b, c]) in kernels.as_chunks::<3>().0.iter().enumerate() {
            let (o, depth) = (row / DEPTH, row % DEPTH);
            // The last one with its sign, so that all are added.
            let points = [a, (a + b + c) / 2.0, (a - b + c) / 2.0, -c];
            for (point, value) in points.into_iter().enumerate() {
                values[((o / block * POINTS + point) * DEPTH + depth) * block + o % block] = value;
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Self { values, bias, channels, activation, instructions }
    }
}

/// `out` (channels_out x height/2 x width/2) from the image `x` (3 x height x width); `width` is a multiple of 4.
pub(crate) fn stem(team: &Team, weights: &StemWeights, x: &[f32], height: usize, width: usize, out: &mut [f32]) {
    debug_assert!(height.is_multiple_of(2) && width.is_multiple_of(4));
    let out = Shared::new(out);
    team.parallel_for_chunks(height / 2, |from, to| {
        // Room for a last whole vector, and for its neighbour.
        let row = (width / 4).next_multiple_of(MOST_LANES) + MOST_LANES;
        with_scratch((3 * PLANES * POINTS + 2) * row, |scratch| {
            let (rows, pair) = scratch.split_at_mut(3 * PLANES * POINTS * row);
            pair.fill(0.0);
            weights.instructions.run(StemRows { weights, x, height, width, out, from, to, row, rows, pair });
        });
    });
}

/// The output rows `from..to`.
struct StemRows<'a> {
    weights: &'a StemWeights,
    x: &'a [f32],
    height: usize,
    width: usize,
    out: Shared,
    from: usize,
    to: usize,
    /// Numbers in a row of `rows`: one for each two output columns, and room.
    row: usize,
    /// Three transformed rows of space-to-depth (planes x points); row y lies at y % 3, so that each is made once.
    rows: &'a mut [f32],
    /// Even and odd columns of a row of space-to-depth.
    pair: &'a mut [f32],
}

impl Kernel for StemRows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(mut self) {
        let (height, row) = (self.height / 2, self.row);
        let slot = PLANES * POINTS * row;
        // SAFETY: the caller's; `rows` has room for whole vectors, and the rows written are this part's.
        unsafe {
            if self.from == 0 {
                self.rows[2 * slot..].fill(0.0);
            } else {
                self.transform::<S>(self.from - 1);
            }
            self.transform::<S>(self.from);
            for y in self.from..self.to {
                if y + 1 < height {
                    self.transform::<S>(y + 1);
                } else {
                    self.rows[(y + 1) % 3 * slot..][..slot].fill(0.0);
                }
                let mut offsets = [0; DEPTH];
                for (i, offset) in offsets.iter_mut().enumerate() {
                    *offset = (y + i % 3 + 2) % 3 * slot + i / 3 * POINTS * row;
                }
                let groups = self.width / 4;
                let mut group = 0;
                while group < groups {
                    match (groups - group).div_ceil(S::LANES) {
                        1 => self.tile::<S, ROWS, 1>(y, group, &offsets),
                        2 => self.tile::<S, ROWS, 2>(y, group, &offsets),
                        3 => self.tile::<S, ROWS, 3>(y, group, &offsets),
                        _ => self.tile::<S, ROWS, TILE>(y, group, &offsets),
                    }
                    group += TILE * S::LANES;
                }
            }
        }
    }
}

impl StemRows<'_> {
    /// Row `y` of space-to-depth, as differences and sums.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&mut self, y: usize) {
        let (width, row) = (self.width, self.row);
        let slot = &mut self.rows[y % 3 * PLANES * POINTS * row..][..PLANES * POINTS * row];
        for (plane, points) in slot.chunks_exact_mut(POINTS * row).enumerate() {
            // Top-left, bottom-left, top-right, bottom-right; three colours each.
            let (quarter, colour) = (plane / 3, plane % 3);
            let (right, bottom) = (quarter / 2, quarter % 2);
            let from = self.x[(colour * self.height + 2 * y + bottom) * width..][..width].as_ptr();
            let groups = width / 4;
            // SAFETY: inside the image's row, and whole vectors of rows that have room for them. Before the first odd
            // column and behind the last even one there is a zero.
            unsafe {
                let (even, odd) = (self.pair.as_mut_ptr(), self.pair.as_mut_ptr().add(row));
                for group in (0..groups).step_by(S::LANES) {
                    let (a, b) = (4 * group, 4 * group + 2 * S::LANES);
                    let (a, b) = (side::<S>(from, a, width, right), side::<S>(from, b, width, right));
                    let (e, o) = S::deinterleave(a, b);
                    S::store(even.add(group), e);
                    S::store(odd.add(1 + group), o);
                }
                let to = points.as_mut_ptr();
                for group in (0..groups).step_by(S::LANES) {
                    let (before, o) = (S::load(odd.add(group)), S::load(odd.add(group + 1)));
                    let (e, after) = (S::load(even.add(group)), S::load(even.add(group + 1)));
                    S::store(to.add(group), S::sub(before, o));
                    S::store(to.add(row + group), S::add(e, o));
                    S::store(to.add(2 * row + group), S::sub(o, e));
                    S::store(to.add(3 * row + group), S::sub(e, after));
                }
            }
        }
    }

    /// Output row `y`, `N` vectors of pairs of columns from pair `group` on, all channels.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const N: usize>(
        &self,
        y: usize,
        group: usize,
        offsets: &[usize; DEPTH],
    ) {
        let w = self.weights;
        let (height, width) = (self.height / 2, self.width / 2);
        for first in (0..w.channels).step_by(ROWS) {
            // SAFETY: the caller's; weights and bias are padded to whole blocks.
            unsafe {
                let values = w.values.as_ptr().add(first / ROWS * POINTS * DEPTH * ROWS);
                let start = self.rows.as_ptr().add(group);
                let mut bias = [[S::splat(0.0); N]; ROWS];
                for (r, bias) in bias.iter_mut().enumerate() {
                    *bias = [S::splat(*w.bias.as_ptr().add(first + r)); N];
                }
                let zero = [[S::splat(0.0); N]; ROWS];
                let m1 = product::<S, ROWS, N>(bias, values, start, self.row, offsets, 1);
                let m2 = product::<S, ROWS, N>(zero, values, start, self.row, offsets, 2);
                let (mut sum, mut difference) = (m1, m1);
                for r in 0..ROWS {
                    for n in 0..N {
                        sum[r][n] = S::add(m1[r][n], m2[r][n]);
                        difference[r][n] = S::sub(m1[r][n], m2[r][n]);
                    }
                }
                let y0 = product::<S, ROWS, N>(sum, values, start, self.row, offsets, 0);
                let y1 = product::<S, ROWS, N>(difference, values, start, self.row, offsets, 3);
                for n in 0..N {
                    let mut outputs = [[S::splat(0.0); 2]; ROWS];
                    for r in 0..ROWS {
                        let (a, b) = S::interleave(y0[r][n], y1[r][n]);
                        outputs[r] = [a, b];
                    }
                    let column = 2 * (group + n * S::LANES);
                    let block = Block {
                        out: self.out,
                        at: (first * height + y) * width + column,
                        stride: height * width,
                        rows: w.channels - first,
                        columns: width - column,
                        activation: w.activation,
                        residual: None,
                    };
                    block.finish::<S, ROWS, 2>(&outputs);
                }
            }
        }
    }
}

/// Every second one of the two vectors of pixels at `at` in a row of `width`: the left ones, or the `right` ones.
#[inline(always)]
unsafe fn side<S: Simd>(row: *const f32, at: usize, width: usize, right: usize) -> S::V {
    let (at, next) = (at.min(width), (at + S::LANES).min(width));
    // SAFETY: inside the row.
    unsafe {
        let a = load_up_to::<S>(row.add(at), width - at);
        let (lefts, rights) = S::deinterleave(a, load_up_to::<S>(row.add(next), width - next));
        if right == 0 { lefts } else { rights }
    }
}

/// Adds the products of one point to `sums`.
#[inline(always)]
unsafe fn product<S: Simd, const ROWS: usize, const N: usize>(
    sums: [[S::V; N]; ROWS],
    values: *const f32,
    start: *const f32,
    row: usize,
    offsets: &[usize; DEPTH],
    point: usize,
) -> [[S::V; N]; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        let rows = Scattered { start: start.add(point * row), offsets };
        add_products::<S, ROWS, N>(sums, values.add(point * DEPTH * ROWS), ROWS, rows, DEPTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, activated, assert_close};

    /// Inputs of one output.
    const TAPS: usize = DEPTH * 3;

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(3);
        for _ in 0..30 {
            let (height, width) = (2 * random.in_range(1, 20), 4 * random.in_range(1, 90));
            let channels = random.in_range(1, 20);
            let activation = random.activation();
            let (w, b) = (random.numbers(channels * TAPS), random.numbers(channels));
            let x = random.numbers(3 * height * width);
            let (h, wd) = (height / 2, width / 2);
            let depth = |c: usize, y: usize, x_: usize| {
                let (quarter, colour) = (c / 3, c % 3);
                x[(colour * height + 2 * y + quarter % 2) * width + 2 * x_ + quarter / 2]
            };
            let mut naive = Vec::new();
            for (o, p) in (0..channels).flat_map(|o| (0..h * wd).map(move |p| (o, p))) {
                let mut sum = b[o];
                for i in 0..TAPS {
                    let (c, y, x_) = (i / 9, p / wd + i / 3 % 3, p % wd + i % 3);
                    if (1..=h).contains(&y) && (1..=wd).contains(&x_) {
                        sum += w[o * TAPS + i] * depth(c, y - 1, x_ - 1);
                    }
                }
                naive.push(activated(activation, sum));
            }
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * h * wd];
                let weights = StemWeights::new(&w, &b, activation, instructions);
                stem(&Team::alone(), &weights, &x, height, width, &mut out);
                assert_close(&out, &naive, 5e-5, &format!("{channels} channels, {height} x {width}, {instructions:?}"));
            }
        }
    }
}

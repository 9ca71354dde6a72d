//! The first layer: space-to-depth (3 -> 12 channels, half the size) and a dense 3x3 convolution, in one pass.
//!
//! For each output row, the three rows of space-to-depth that it reads are laid out with a border of zeros; the inputs of
//! a tile are then 12 x 3 x 3 shifted pieces of them.

use super::gemm::{PackedWeights, Scattered, TILES, Target, tile};
use super::parallel::{Shared, Team, with_scratch};
use super::simd::{Kernel, Simd};

/// `out` (channels_out x height/2 x width/2) from the picture `x` (3 x height x width).
pub(crate) fn stem(team: &Team, weights: &PackedWeights, x: &[f32], height: usize, width: usize, out: &mut [f32]) {
    debug_assert_eq!(weights.depth, DEPTH);
    let out = Shared::new(out);
    team.for_each_part(height / 2, |from, to| {
        // A zero before and after each row, and room for a last whole tile.
        let row = (width / 2).next_multiple_of(TILES) + 2;
        with_scratch(3 * PLANES * row, |rows| {
            rows.fill(0.0);
            let offsets = [0; DEPTH];
            weights.instructions.run(Rows { weights, x, height, width, out, from, to, row, rows, offsets });
        });
    });
}

const PLANES: usize = 12;
const DEPTH: usize = PLANES * 9;

/// The output rows `from..to`.
struct Rows<'a> {
    weights: &'a PackedWeights,
    x: &'a [f32],
    height: usize,
    width: usize,
    out: Shared,
    from: usize,
    to: usize,
    /// Numbers in a row of `rows`.
    row: usize,
    /// Three rows of space-to-depth (12 planes each); row y lies at y % 3, so that each is sorted once.
    rows: &'a mut [f32],
    /// For each tap, where its row of pixels begins in `rows`.
    offsets: [usize; DEPTH],
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(mut self) {
        let (height, width, row) = (self.height / 2, self.width / 2, self.row);
        let tile_width = TILE * S::LANES;
        if self.from > 0 {
            self.sort_row(self.from - 1);
        }
        self.sort_row(self.from);
        for y in self.from..self.to {
            if y + 1 < height {
                self.sort_row(y + 1);
            } else {
                self.rows[(y + 1) % 3 * PLANES * row..][..PLANES * row].fill(0.0);
            }
            for (i, offset) in self.offsets.iter_mut().enumerate() {
                let (plane, dy, dx) = (i / 9, i / 3 % 3, i % 3);
                *offset = ((y + dy + 2) % 3 * PLANES + plane) * row + dx;
            }
            let mut x = 0;
            while x < width {
                let pixels = tile_width.min(width - x);
                let at = y * width + x;
                let target = Target { out: self.out, at, plane: height * width, pixels, residual: None };
                // SAFETY: `rows` has room for whole tiles; the rows written are this part's.
                unsafe {
                    let taps = Scattered { start: self.rows.as_ptr().add(x), offsets: &self.offsets };
                    tile::<S, ROWS, TILE>(self.weights, (0, self.weights.channels), taps, target);
                }
                x += tile_width;
            }
        }
    }
}

impl Rows<'_> {
    /// Writes row `y` of space-to-depth.
    #[inline(always)]
    fn sort_row(&mut self, y: usize) {
        let slot = &mut self.rows[y % 3 * PLANES * self.row..][..PLANES * self.row];
        for (plane, to) in slot.chunks_exact_mut(self.row).enumerate() {
            // Top-left, bottom-left, top-right, bottom-right; three colours each.
            let (quarter, colour) = (plane / 3, plane % 3);
            let (right, bottom) = (quarter / 2, quarter % 2);
            let from = &self.x[(colour * self.height + 2 * y + bottom) * self.width..][..self.width];
            for (to, pair) in to[1..].iter_mut().zip(from.as_chunks::<2>().0) {
                *to = pair[right];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Instructions;
    use crate::kernels::testing::{Random, activated, assert_close};

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(3);
        for _ in 0..30 {
            let (height, width) = (2 * random.in_range(1, 20), 2 * random.in_range(1, 90));
            let channels = random.in_range(1, 20);
            let activation = random.activation();
            let (w, b) = (random.numbers(channels * DEPTH), random.numbers(channels));
            let x = random.numbers(3 * height * width);
            let (h, wd) = (height / 2, width / 2);
            let depth = |c: usize, y: usize, x_: usize| {
                let (quarter, colour) = (c / 3, c % 3);
                x[(colour * height + 2 * y + quarter % 2) * width + 2 * x_ + quarter / 2]
            };
            let mut naive = Vec::new();
            for (o, p) in (0..channels).flat_map(|o| (0..h * wd).map(move |p| (o, p))) {
                let mut sum = b[o];
                for i in 0..DEPTH {
                    let (c, y, x_) = (i / 9, p / wd + i / 3 % 3, p % wd + i % 3);
                    if (1..=h).contains(&y) && (1..=wd).contains(&x_) {
                        sum += w[o * DEPTH + i] * depth(c, y - 1, x_ - 1);
                    }
                }
                naive.push(activated(activation, sum));
            }
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * h * wd];
                let weights = PackedWeights::new(&w, &b, activation, instructions);
                stem(&Team::alone(), &weights, &x, height, width, &mut out);
                assert_close(&out, &naive, 5e-5, &format!("{channels} channels, {height} x {width}, {instructions:?}"));
            }
        }
    }
}

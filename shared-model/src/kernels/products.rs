//! Sums of products of planes: the gradient of a dense convolution's weights.
//!
//! `out[r][c] += sum over p of a[r][p] * b[c][p]`. A tile of rows by columns stays in registers, one vector of partial sums
//! for each pair; every vector of pixels of `a` and `b` is loaded once for the whole tile.

use super::simd::{Instructions, Kernel, MOST_LANES, Simd, load_up_to};

/// Numbers that planes' pixels are taken from: stretches at equal distances.
#[derive(Clone, Copy)]
pub(crate) struct Stretches {
    pub(crate) count: usize,
    pub(crate) len: usize,
    /// Numbers from one stretch to the next in `a` and in `b`.
    pub(crate) steps: (usize, usize),
}

/// One side of the products: where the first stretch of every plane begins.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) starts: &'a [usize],
}

/// Adds to `out` (planes of a x planes of b) the sums of products over all stretches.
pub(crate) fn add_products(instructions: Instructions, a: Planes, b: Planes, stretches: Stretches, out: &mut [f32]) {
    assert_eq!(out.len(), a.starts.len() * b.starts.len());
    if stretches.count == 0 || out.is_empty() {
        return;
    }
    for (planes, step) in [(a, stretches.steps.0), (b, stretches.steps.1)] {
        let last = planes.starts.iter().max().copied().unwrap_or(0) + (stretches.count - 1) * step;
        assert!(last + stretches.len <= planes.numbers.len(), "the stretches lie inside the numbers");
    }
    instructions.run(Products { a, b, stretches, out });
}

struct Products<'a> {
    a: Planes<'a>,
    b: Planes<'a>,
    stretches: Stretches,
    out: &'a mut [f32],
}

impl Kernel for Products<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(mut self) {
        for column in (0..self.b.starts.len()).step_by(TILE) {
            for row in (0..self.a.starts.len()).step_by(ROWS) {
                // SAFETY: the caller's; all stretches lie inside the numbers.
                unsafe { self.tile::<S, ROWS, TILE>(row, column) };
            }
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const TILE: usize>(&mut self, row: usize, column: usize) {
        let Self { a, b, stretches: Stretches { count, len, steps }, .. } = *self;
        // Beyond the last row or column that one again; its sums are dropped.
        let pointers = |planes: &Planes, i: usize| {
            planes.numbers.as_ptr().wrapping_add(planes.starts[i.min(planes.starts.len() - 1)])
        };
        let mut rows: [_; ROWS] = std::array::from_fn(|i| pointers(&a, row + i));
        let mut columns: [_; TILE] = std::array::from_fn(|i| pointers(&b, column + i));
        // SAFETY: inside the numbers, as was checked; no number beyond a stretch is touched.
        unsafe {
            let mut sums = [[S::splat(0.0); TILE]; ROWS];
            let whole = len / S::LANES * S::LANES;
            for _ in 0..count {
                for at in (0..whole).step_by(S::LANES) {
                    sums = step::<S, ROWS, TILE>(sums, &rows, &columns, at, S::LANES);
                }
                if whole < len {
                    sums = step::<S, ROWS, TILE>(sums, &rows, &columns, whole, len - whole);
                }
                rows = rows.map(|row| row.wrapping_add(steps.0));
                columns = columns.map(|column| column.wrapping_add(steps.1));
            }
            let width = b.starts.len();
            let mut totals = [0.0; MOST_SUMS];
            let flat: &[S::V] = sums.as_flattened();
            for (sums, totals) in flat.chunks(S::LANES).zip(totals.chunks_mut(S::LANES)) {
                S::store(totals.as_mut_ptr(), totals_of::<S>(sums));
            }
            for (i, totals) in totals.chunks_exact(TILE).enumerate().take(ROWS.min(a.starts.len() - row)) {
                for (j, total) in totals.iter().enumerate().take(width - column) {
                    self.out[(row + i) * width + column + j] += total;
                }
            }
        }
    }
}

/// Room for the totals of a tile, in whole vectors.
const MOST_SUMS: usize = 2 * MOST_LANES;

/// The sums of the numbers of each of at most `LANES` vectors. Pairs of vectors become one of their pairs' sums, and so on.
#[inline(always)]
unsafe fn totals_of<S: Simd>(vectors: &[S::V]) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [S::splat(0.0); MOST_LANES];
        sums[..vectors.len()].copy_from_slice(vectors);
        let mut count = S::LANES;
        while count > 1 {
            for i in 0..count / 2 {
                let (even, odd) = S::deinterleave(sums[2 * i], sums[2 * i + 1]);
                sums[i] = S::add(even, odd);
            }
            count /= 2;
        }
        sums[0]
    }
}

/// Adds the products of one vector of every row and column: those at `at`, of `count` numbers. Sums come and go by value:
/// behind a reference, compilers leave them in memory.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const TILE: usize>(
    mut sums: [[S::V; TILE]; ROWS],
    rows: &[*const f32; ROWS],
    columns: &[*const f32; TILE],
    at: usize,
    count: usize,
) -> [[S::V; TILE]; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        let mut y = [S::splat(0.0); TILE];
        for n in 0..TILE {
            y[n] = load_up_to::<S>(columns[n].add(at), count);
        }
        for r in 0..ROWS {
            let x = load_up_to::<S>(rows[r].add(at), count);
            for n in 0..TILE {
                sums[r][n] = S::mul_add(x, y[n], sums[r][n]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, assert_close};

    #[test]
    fn equals_naive_sums() {
        let mut random = Random::new(21);
        for _ in 0..60 {
            let (rows, columns) = (random.in_range(1, 20), random.in_range(1, 20));
            let stretches = Stretches {
                count: random.in_range(0, 4),
                len: random.in_range(1, 70),
                steps: (random.in_range(0, 90), random.in_range(0, 90)),
            };
            let numbers = [random.numbers(1000), random.numbers(1000)];
            let starts = [rows, columns].map(|n| (0..n).map(|_| random.in_range(0, 600)).collect::<Vec<_>>());
            let before = random.numbers(rows * columns);
            let mut naive = before.clone();
            for (i, out) in naive.iter_mut().enumerate() {
                for s in 0..stretches.count {
                    for p in 0..stretches.len {
                        *out += numbers[0][starts[0][i / columns] + s * stretches.steps.0 + p]
                            * numbers[1][starts[1][i % columns] + s * stretches.steps.1 + p];
                    }
                }
            }
            for instructions in Instructions::available() {
                let mut out = before.clone();
                let [a, b] = [0, 1].map(|i| Planes { numbers: &numbers[i], starts: &starts[i] });
                add_products(instructions, a, b, stretches, &mut out);
                assert_close(&out, &naive, 2e-5, &format!("{rows} x {columns}, {instructions:?}"));
            }
        }
    }
}

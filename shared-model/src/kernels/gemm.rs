//! The matrix product at the heart of dense convolutions: a tile of pixels times all output channels.
//!
//! A tile is a few vectors of neighbouring pixels. Its inputs are rows of pixels, one for each input value of the
//! convolution; weights are packed so that the `ROWS` output channels that are computed together lie side
//! by side. Sums stay in registers over the whole depth, then bias and activation follow before the only store.

use super::block::Block;
use super::parallel::Shared;
use super::simd::{Instructions, Simd};
use crate::model::graph::Activation;

/// Weights (channels_out x depth), bias and activation of a dense convolution, packed for this machine's registers.
pub(crate) struct PackedWeights {
    /// For each block of `block` output channels: depth x block values, channels beyond the last filled with zeros.
    values: Vec<f32>,
    /// Padded to whole blocks.
    bias: Vec<f32>,
    block: usize,
    pub(crate) channels: usize,
    pub(crate) depth: usize,
    activation: Activation,
    pub(crate) instructions: Instructions,
}

impl PackedWeights {
    /// Packs `weights` (channels x depth) for `instructions`.
    pub(crate) fn new(weights: &[f32], bias: &[f32], activation: Activation, instructions: Instructions) -> Self {
        let channels = bias.len();
        let depth = weights.len() / channels;
        let block = instructions.register_rows().min(channels.next_multiple_of(4));
        let padded = channels.next_multiple_of(block);
        let mut values = vec![0.0; padded * depth];
        for o in 0..channels {
            for c in 0..depth {
                values[(o / block * depth + c) * block + o % block] = weights[o * depth + c];
            }
        }
        let mut padded_bias = bias.to_vec();
        padded_bias.resize(padded, 0.0);
        Self { values, bias: padded_bias, block, channels, depth, activation, instructions }
    }
}

/// Where a tile's rows of pixels begin.
pub(crate) trait Rows: Copy {
    /// # Safety
    /// `i` must be less than the convolution's depth.
    unsafe fn row(self, i: usize) -> *const f32;
}

/// Rows at equal distances.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    pub(crate) start: *const f32,
    pub(crate) stride: usize,
}

impl Rows for Strided {
    #[inline(always)]
    unsafe fn row(self, i: usize) -> *const f32 {
        // SAFETY: inside the input, as the caller says.
        unsafe { self.start.add(i * self.stride) }
    }
}

/// Rows anywhere behind `start`.
#[derive(Clone, Copy)]
pub(crate) struct Scattered<'a> {
    pub(crate) start: *const f32,
    pub(crate) offsets: &'a [usize],
}

impl Rows for Scattered<'_> {
    #[inline(always)]
    unsafe fn row(self, i: usize) -> *const f32 {
        // SAFETY: the caller's.
        unsafe { self.start.add(*self.offsets.get_unchecked(i)) }
    }
}

/// Where a tile's outputs go: channel `o` begins at `at + o * plane`; `pixels` of them are written.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) out: Shared,
    pub(crate) at: usize,
    pub(crate) plane: usize,
    pub(crate) pixels: usize,
    /// Added to the outputs; lies as they do.
    pub(crate) residual: Option<*const f32>,
}

/// Computes one tile of `target.pixels` (at most `TILE` vectors) for the output channels `from..to`, of which `from` is a
/// multiple of 8.
///
/// # Safety
/// The rows, as many as the weights are deep, must be readable in whole vectors; see also [`Shared::at`] and [`Simd`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const ROWS: usize, const TILE: usize>(
    weights: &PackedWeights,
    (from, to): (usize, usize),
    rows: impl Rows,
    target: Target,
) {
    // SAFETY: the caller's.
    unsafe {
        match target.pixels.div_ceil(S::LANES) {
            1 => columns::<S, ROWS, 1>(weights, from, to, rows, target),
            2 => columns::<S, ROWS, 2>(weights, from, to, rows, target),
            3 => columns::<S, ROWS, 3>(weights, from, to, rows, target),
            _ => columns::<S, ROWS, TILE>(weights, from, to, rows, target),
        }
    }
}

#[inline(always)]
unsafe fn columns<S: Simd, const ROWS: usize, const N: usize>(
    w: &PackedWeights,
    from: usize,
    to: usize,
    rows: impl Rows,
    target: Target,
) {
    let mut first = from;
    while first < to {
        // SAFETY: the caller's. Blocks are `ROWS` high, but for a convolution of fewer channels.
        unsafe {
            if ROWS == 8 && w.channels - first > 4 {
                block::<S, 8, N>(w, first, rows, target);
                first += 8;
            } else if ROWS >= 4 {
                block::<S, 4, N>(w, first, rows, target);
                first += 4;
            } else {
                block::<S, 2, N>(w, first, rows, target);
                first += 2;
            }
        }
    }
}

/// `ROWS` output channels from `first` on, for `N` vectors of pixels.
#[inline(always)]
unsafe fn block<S: Simd, const ROWS: usize, const N: usize>(
    w: &PackedWeights,
    first: usize,
    rows: impl Rows,
    target: Target,
) {
    // SAFETY: the caller's; packed weights are padded to whole blocks.
    unsafe {
        let weights = w.values.as_ptr().add(first / w.block * w.block * w.depth + first % w.block);
        let bias = w.bias.as_ptr().add(first);
        let mut sums = [[S::splat(0.0); N]; ROWS];
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = [S::splat(*bias.add(row)); N];
        }
        let sums = add_products::<S, ROWS, N>(sums, weights, w.block, rows, w.depth);
        let Target { out, at, plane: stride, pixels: columns, residual } = target;
        let (at, rows, activation) = (at + first * stride, w.channels - first, w.activation);
        Block { out, at, stride, rows, columns, activation, residual }.finish::<S, ROWS, N>(&sums);
    }
}

/// Adds to `sums`, for each of `ROWS` neighbouring numbers from `scalars` on and each of `N` vectors, their products over
/// `depth` steps. A step's numbers lie `stride` behind those of the step before, its vectors in a row of `rows`. Sums come
/// and go by value: behind a reference, compilers leave them in memory.
///
/// # Safety
/// All that is named must be readable, vectors as a whole; see also [`Simd`].
#[inline(always)]
pub(crate) unsafe fn add_products<S: Simd, const ROWS: usize, const N: usize>(
    mut sums: [[S::V; N]; ROWS],
    mut scalars: *const f32,
    stride: usize,
    rows: impl Rows,
    depth: usize,
) -> [[S::V; N]; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        for i in 0..depth {
            let vectors = rows.row(i);
            let mut x = [S::splat(0.0); N];
            for (n, x) in x.iter_mut().enumerate() {
                *x = S::load(vectors.add(n * S::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let scalar = S::splat(*scalars.add(row));
                for n in 0..N {
                    sums[n] = S::mul_add(scalar, x[n], sums[n]);
                }
            }
            scalars = scalars.wrapping_add(stride);
        }
    }
    sums
}

//! A plane with a border of zeros, in which depthwise convolutions need not look where the image ends.

use super::simd::{Simd, load_up_to, store_up_to};

/// Output rows that are computed together.
pub(crate) const ROWS: usize = 4;

/// Where things lie in the padded plane. With stride 2 its columns are sorted into even and odd ones.
#[derive(Clone, Copy)]
pub(crate) struct Padded {
    rows: usize,
    /// Numbers from one row to the next.
    pub(crate) row: usize,
    /// Numbers from a row's even columns to its odd ones (stride 2).
    pub(crate) odd: usize,
}

impl Padded {
    /// For inputs of `height` x `width` and kernels of width `k`.
    pub(crate) fn new(k: usize, stride: usize, height: usize, width: usize, lanes: usize) -> Self {
        // Tiles at the lower and right edge are computed as a whole.
        let (tiled_height, tiled_width) =
            ((height / stride).next_multiple_of(ROWS), (width / stride).next_multiple_of(lanes));
        let rows = ((tiled_height - 1) * stride + k).max(height + k / 2);
        // Columns of one parity: enough for the last output's last tap, and for the image itself.
        let odd = (tiled_width + k).max((width + k).div_ceil(stride));
        Self { rows, row: odd * stride, odd }
    }

    /// Numbers in the plane.
    pub(crate) fn len(self) -> usize {
        self.rows * self.row
    }

    /// Zeros all that `copy` does not write.
    #[inline(always)]
    pub(crate) fn clear_border<const K: usize, const STRIDE: usize>(
        self,
        plane: &mut [f32],
        height: usize,
        width: usize,
    ) {
        let p = K / 2;
        for (y, row) in plane.chunks_exact_mut(self.row).take(self.rows).enumerate() {
            if y < p || y >= p + height {
                row.fill(0.0);
                continue;
            }
            for (parity, columns) in row.chunks_exact_mut(self.odd).enumerate() {
                // Padded columns p..p + width hold the image.
                let first = (p + STRIDE - 1 - parity) / STRIDE;
                columns[..first].fill(0.0);
                columns[first + width / STRIDE..].fill(0.0);
            }
        }
    }

    /// Copies `x` (rows of `width`) into the middle of the padded plane.
    ///
    /// # Safety
    /// See [`Simd`]; the plane is one for images of this size.
    #[inline(always)]
    pub(crate) unsafe fn copy<S: Simd, const K: usize, const STRIDE: usize>(
        self,
        x: &[f32],
        plane: &mut [f32],
        width: usize,
    ) {
        let p = K / 2;
        for (from, to) in x.chunks_exact(width).zip(plane[p * self.row..].chunks_exact_mut(self.row)) {
            let from = from.as_ptr();
            // SAFETY: inside both rows.
            unsafe {
                if STRIDE == 1 {
                    let to = to.as_mut_ptr().add(p);
                    for x in (0..width).step_by(S::LANES) {
                        store_up_to::<S>(to.add(x), load_up_to::<S>(from.add(x), width - x), width - x);
                    }
                } else {
                    // Column c lies at padded column c + p, so it is the parity of p that decides where even ones go.
                    let (even, odd) = to.split_at_mut(self.odd);
                    let (even, odd) = if p.is_multiple_of(2) { (even, odd) } else { (odd, even) };
                    let (even, odd) = (even[p / 2..].as_mut_ptr(), odd[p.div_ceil(2)..].as_mut_ptr());
                    for x in (0..width).step_by(2 * S::LANES) {
                        let second = (width - x).saturating_sub(S::LANES);
                        let b = load_up_to::<S>(from.add(x + S::LANES.min(width - x)), second);
                        let (a, b) = S::deinterleave(load_up_to::<S>(from.add(x), width - x), b);
                        store_up_to::<S>(even.add(x / 2), a, (width - x) / 2);
                        store_up_to::<S>(odd.add(x / 2), b, (width - x) / 2);
                    }
                }
            }
        }
    }

    /// Copies `x` (rows of `width / 2`) into the middle of the padded plane, one number to every second column of every
    /// second row, with zeros beside it. The rows between are left alone.
    ///
    /// # Safety
    /// As for `copy`.
    #[inline(always)]
    pub(crate) unsafe fn spread<S: Simd, const K: usize>(self, x: &[f32], plane: &mut [f32], width: usize) {
        let p = K / 2;
        for (from, to) in x.chunks_exact(width / 2).zip(plane[p * self.row..].chunks_exact_mut(2 * self.row)) {
            let (from, to) = (from.as_ptr(), to[p..].as_mut_ptr());
            for x in (0..width / 2).step_by(S::LANES) {
                // SAFETY: inside both rows.
                unsafe {
                    let numbers = load_up_to::<S>(from.add(x), width / 2 - x);
                    let (first, second) = S::interleave(numbers, S::splat(0.0));
                    store_up_to::<S>(to.add(2 * x), first, width - 2 * x);
                    let left = (width - 2 * x).saturating_sub(S::LANES);
                    if left > 0 {
                        store_up_to::<S>(to.add(2 * x + S::LANES), second, left);
                    }
                }
            }
        }
    }
}
/// Runs the caller's kernel `OfSize<K, STRIDE>`, made of the last argument, for this kernel width and stride.
macro_rules! run_of_size {
    ($instructions:expr, $size:expr, $channels:expr) => {
        match $size {
            (3, 1) => $instructions.run(OfSize::<3, 1>($channels)),
            (5, 1) => $instructions.run(OfSize::<5, 1>($channels)),
            (7, 1) => $instructions.run(OfSize::<7, 1>($channels)),
            (9, 1) => $instructions.run(OfSize::<9, 1>($channels)),
            (3, 2) => $instructions.run(OfSize::<3, 2>($channels)),
            (5, 2) => $instructions.run(OfSize::<5, 2>($channels)),
            (7, 2) => $instructions.run(OfSize::<7, 2>($channels)),
            (9, 2) => $instructions.run(OfSize::<9, 2>($channels)),
            _ => unreachable!("kernels are 3, 5, 7 or 9 wide, strides 1 or 2"),
        }
    };
}
pub(super) use run_of_size;

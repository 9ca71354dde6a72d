//! Max pooling.

use super::parallel::{Shared, Team, with_scratch};
use super::simd::{Instructions, Kernel, Simd, load_up_to, store_up_to};

/// Stride-1 pooling under squares of `kernel` (odd), padded by `kernel / 2`: first along rows, then along columns.
pub(crate) fn max_pool_same(
    team: &Team,
    instructions: Instructions,
    x: &[f32],
    height: usize,
    width: usize,
    kernel: usize,
    out: &mut [f32],
) {
    let (plane, out) = (height * width, Shared::new(out));
    team.parallel_for_chunks(x.len() / plane, |from, to| {
        let row = width + kernel - 1;
        with_scratch(row + (height + kernel - 1) * width, |scratch| {
            let (padded, along_rows) = scratch.split_at_mut(row);
            padded.fill(f32::NEG_INFINITY);
            along_rows.fill(f32::NEG_INFINITY);
            instructions.run(MaxPoolPass { x, height, width, kernel, from, to, out, padded, along_rows });
        });
    });
}

/// The channels `from..to`.
struct MaxPoolPass<'a> {
    x: &'a [f32],
    height: usize,
    width: usize,
    kernel: usize,
    from: usize,
    to: usize,
    out: Shared,
    /// A row with its border.
    padded: &'a mut [f32],
    /// The maxima of rows, with a border above and below.
    along_rows: &'a mut [f32],
}

impl Kernel for MaxPoolPass<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { x, height, width, kernel, from, to, out, padded, along_rows } = self;
        let (plane, p) = (height * width, kernel / 2);
        for channel in from..to {
            for y in 0..height {
                padded[p..][..width].copy_from_slice(&x[channel * plane + y * width..][..width]);
                // SAFETY: both have room for the windows.
                unsafe { window_max::<S>(padded, kernel, 1, along_rows[(y + p) * width..].as_mut_ptr(), width) };
            }
            // SAFETY: every channel writes a plane of its own.
            unsafe { window_max::<S>(along_rows, kernel, width, out.at(channel * plane, plane), plane) };
        }
    }
}

/// `out[i] = max(x[i], x[i + step], ...)` over `kernel` values, for `count` outputs.
#[inline(always)]
unsafe fn window_max<S: Simd>(x: &[f32], kernel: usize, step: usize, out: *mut f32, count: usize) {
    debug_assert!(x.len() >= count + (kernel - 1) * step);
    for i in (0..count).step_by(S::LANES) {
        // SAFETY: no more than `count` numbers are touched behind each of the window's places.
        unsafe {
            let x = x.as_ptr().add(i);
            let mut best = load_up_to::<S>(x, count - i);
            for k in 1..kernel {
                best = S::max(best, load_up_to::<S>(x.add(k * step), count - i));
            }
            store_up_to::<S>(out.add(i), best, count - i);
        }
    }
}

/// Pooling under squares of 2 x 2, stride 2, without padding.
pub(crate) fn max_pool_halving(team: &Team, instructions: Instructions, x: &[f32], width: usize, out: &mut [f32]) {
    let out = Shared::new(out);
    team.parallel_for_chunks(x.len() / (2 * width), |from, to| {
        instructions.run(Halving { x, width, from, to, out });
    });
}

/// The output rows `from..to`, of all channels.
struct Halving<'a> {
    x: &'a [f32],
    width: usize,
    from: usize,
    to: usize,
    out: Shared,
}

impl Kernel for Halving<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { x, width, from, to, out } = self;
        for y in from..to {
            let (top, bottom) = x[2 * y * width..][..2 * width].split_at(width);
            for i in (0..width).step_by(2 * S::LANES) {
                let (first, second) = (width - i, (width - i).saturating_sub(S::LANES));
                // SAFETY: inside the rows, of which the output's is this part's.
                unsafe {
                    let (a, b) = (top.as_ptr().add(i), bottom.as_ptr().add(i));
                    let left = S::max(load_up_to::<S>(a, first), load_up_to::<S>(b, first));
                    let at = S::LANES.min(first);
                    let right = S::max(load_up_to::<S>(a.add(at), second), load_up_to::<S>(b.add(at), second));
                    let (even, odd) = S::deinterleave(left, right);
                    let to = out.at((y * width + i) / 2, first.min(2 * S::LANES) / 2);
                    store_up_to::<S>(to, S::max(even, odd), first / 2);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Random;

    fn naive(x: &[f32], height: usize, width: usize, kernel: usize, stride: usize, p: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for plane in x.chunks_exact(height * width) {
            for (oy, ox) in (0..height / stride).flat_map(|y| (0..width / stride).map(move |x| (y, x))) {
                let mut best = f32::NEG_INFINITY;
                for (y, x) in (0..kernel * kernel).map(|i| (oy * stride + i / kernel, ox * stride + i % kernel)) {
                    if y >= p && y - p < height && x >= p && x - p < width {
                        best = best.max(plane[(y - p) * width + x - p]);
                    }
                }
                out.push(best);
            }
        }
        out
    }

    #[test]
    fn equals_naive_maximum() {
        let mut random = Random::new(4);
        for _ in 0..60 {
            let (channels, height, width) = (random.in_range(1, 4), random.in_range(1, 20), random.in_range(1, 40));
            let x = random.numbers(channels * height * width);
            let kernel = random.pick(&[5, 9, 13]);
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; x.len()];
                max_pool_same(&Team::alone(), instructions, &x, height, width, kernel, &mut out);
                assert_eq!(out, naive(&x, height, width, kernel, 1, kernel / 2), "{kernel} on {height} x {width}");
            }

            let x = random.numbers(channels * 4 * height * width);
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; channels * height * width];
                max_pool_halving(&Team::alone(), instructions, &x, 2 * width, &mut out);
                assert_eq!(out, naive(&x, 2 * height, 2 * width, 2, 2, 0), "2 / 2 on {height} x {width}");
            }
        }
    }
}

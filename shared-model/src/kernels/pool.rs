//! Max pooling.

use super::parallel::{Shared, for_each, parts};

/// Stride-1 pooling under squares of `kernel` (odd), padded by `kernel / 2`: first along rows, then along columns.
pub(crate) fn max_pool_same(x: &[f32], height: usize, width: usize, kernel: usize, out: &mut [f32]) {
    let (plane, p) = (height * width, kernel / 2);
    let parts = parts(x.len() / plane);
    let shared = Shared::new(out);
    for_each(parts.len(), |part| {
        let mut padded = vec![f32::NEG_INFINITY; width + 2 * p];
        let mut along_rows = vec![f32::NEG_INFINITY; (height + 2 * p) * width];
        for channel in parts[part].0..parts[part].1 {
            // SAFETY: every channel writes a plane of its own.
            let out = unsafe { std::slice::from_raw_parts_mut(shared.at(channel * plane, plane), plane) };
            for (y, row) in x[channel * plane..][..plane].chunks_exact(width).enumerate() {
                padded[p..][..width].copy_from_slice(row);
                window_max(&padded, kernel, 1, &mut along_rows[(y + p) * width..][..width]);
            }
            window_max(&along_rows, kernel, width, out);
        }
    });
}

/// `out[i] = max(x[i], x[i + step], ...)` over `kernel` values.
fn window_max(x: &[f32], kernel: usize, step: usize, out: &mut [f32]) {
    out.copy_from_slice(&x[..out.len()]);
    for k in 1..kernel {
        for (out, &x) in out.iter_mut().zip(&x[k * step..]) {
            *out = if x > *out { x } else { *out };
        }
    }
}

/// Pooling under squares of 2 x 2, stride 2, without padding.
pub(crate) fn max_pool_halving(x: &[f32], width: usize, out: &mut [f32]) {
    for (rows, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width / 2)) {
        let (top, bottom) = rows.split_at(width);
        for ((out, a), b) in out.iter_mut().zip(top.as_chunks::<2>().0).zip(bottom.as_chunks::<2>().0) {
            *out = a[0].max(a[1]).max(b[0].max(b[1]));
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
            let (channels, height, width) = (random.in_range(1, 4), random.in_range(1, 20), random.in_range(1, 20));
            let x = random.numbers(channels * height * width);
            let mut out = vec![f32::NAN; x.len()];
            let kernel = random.pick(&[5, 9, 13]);
            max_pool_same(&x, height, width, kernel, &mut out);
            assert_eq!(out, naive(&x, height, width, kernel, 1, kernel / 2), "{kernel} on {height} x {width}");

            let x = random.numbers(channels * 4 * height * width);
            let mut out = vec![f32::NAN; channels * height * width];
            max_pool_halving(&x, 2 * width, &mut out);
            assert_eq!(out, naive(&x, 2 * height, 2 * width, 2, 2, 0), "2 / 2 on {height} x {width}");
        }
    }
}

//! Backward passes of pooling and upsampling, one image at a time. All add to what lies in `out`, as their input may have
//! other consumers. The greatest number of a square gets its gradient; of several equal ones the first (as PyTorch does), in
//! the order of rows.

/// Of stride-1 pooling under squares of `kernel`, padded by `kernel / 2`; `x`, `gradient` and `out` are channels x height x
/// width.
pub(crate) fn max_pool_same_gradient(
    x: &[f32],
    height: usize,
    width: usize,
    kernel: usize,
    gradient: &[f32],
    out: &mut [f32],
) {
    let (plane, p) = (height * width, kernel / 2);
    // For every pixel the place of the greatest number along the row, then of the greatest of those along the column.
    let mut along_rows = vec![0; plane];
    let channels = x.chunks_exact(plane).zip(gradient.chunks_exact(plane)).zip(out.chunks_exact_mut(plane));
    for ((x, gradient), out) in channels {
        for (y, indices) in along_rows.chunks_exact_mut(width).enumerate() {
            let row = &x[y * width..][..width];
            for (at, index) in indices.iter_mut().enumerate() {
                let first = at.saturating_sub(p);
                *index = y * width + first + first_greatest(row[first..(at + p + 1).min(width)].iter().copied());
            }
        }
        for y in 0..height {
            let (first, end) = (y.saturating_sub(p), (y + p + 1).min(height));
            for at in 0..width {
                let indices = along_rows[first * width + at..].iter().step_by(width).take(end - first);
                let best = first + first_greatest(indices.map(|&index| x[index]));
                out[along_rows[best * width + at]] += gradient[y * width + at];
            }
        }
    }
}

/// Of pooling under squares of 2 x 2, stride 2; `x` and `out` are rows of `width`, `gradient` has a quarter of the numbers.
pub(crate) fn max_pool_halving_gradient(x: &[f32], width: usize, gradient: &[f32], out: &mut [f32]) {
    let rows = x.chunks_exact(2 * width).zip(out.chunks_exact_mut(2 * width));
    for ((x, out), gradient) in rows.zip(gradient.chunks_exact(width / 2)) {
        for (i, gradient) in gradient.iter().enumerate() {
            let indices = [2 * i, 2 * i + 1, width + 2 * i, width + 2 * i + 1];
            out[indices[first_greatest(indices.into_iter().map(|index| x[index]))]] += gradient;
        }
    }
}

/// Position of the greatest number, the first if there are several.
fn first_greatest(numbers: impl Iterator<Item = f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, x) in numbers.enumerate() {
        if x > best.1 {
            best = (i, x);
        }
    }
    best.0
}

/// Of upsampling to twice the width and height: the sum of every square of 2 x 2. `gradient` has rows of `2 * width`.
pub(crate) fn upsample_gradient(width: usize, gradient: &[f32], out: &mut [f32]) {
    for (rows, out) in gradient.chunks_exact(4 * width).zip(out.chunks_exact_mut(width)) {
        let (top, bottom) = rows.split_at(2 * width);
        let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
        for (out, ([a, b], [c, d])) in out.iter_mut().zip(pairs) {
            *out += (a + b) + (c + d);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, assert_close};

    /// Window by window, as the definition says.
    fn naive(x: &[f32], [height, width]: [usize; 2], [kernel, stride, p]: [usize; 3], gradient: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let mut gradients = gradient.iter();
        for (x, out) in x.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width)) {
            for (oy, ox) in (0..height / stride).flat_map(|y| (0..width / stride).map(move |x| (y, x))) {
                let mut best: Option<usize> = None;
                for (y, at) in (0..kernel * kernel).map(|i| (oy * stride + i / kernel, ox * stride + i % kernel)) {
                    if y >= p && y - p < height && at >= p && at - p < width {
                        let index = (y - p) * width + at - p;
                        if best.is_none_or(|best| x[index] > x[best]) {
                            best = Some(index);
                        }
                    }
                }
                out[best.unwrap()] += gradients.next().unwrap();
            }
        }
        out
    }

    #[test]
    fn pools_equal_naive_ones_ties_included() {
        let mut random = Random::new(51);
        for _ in 0..80 {
            let (channels, height, width) = (random.in_range(1, 3), random.in_range(1, 20), random.in_range(1, 20));
            // Few values, so that many are equal.
            let few = |x: Vec<f32>| x.iter().map(|x| (x * 2.0).round()).collect::<Vec<_>>();
            let x = few(random.numbers(channels * height * width));
            let (gradient, before) = (random.numbers(x.len()), random.numbers(x.len()));
            let kernel = random.pick(&[3, 5, 9, 13]);
            let mut out = before.clone();
            max_pool_same_gradient(&x, height, width, kernel, &gradient, &mut out);
            let added = naive(&x, [height, width], [kernel, 1, kernel / 2], &gradient);
            let expected: Vec<f32> = before.iter().zip(added).map(|(a, b)| a + b).collect();
            assert_close(&out, &expected, 1e-5, &format!("{kernel} on {height} x {width}"));

            let x = few(random.numbers(4 * channels * height * width));
            let gradient = random.numbers(channels * height * width);
            let mut out = vec![0.0; x.len()];
            max_pool_halving_gradient(&x, 2 * width, &gradient, &mut out);
            let expected = naive(&x, [2 * height, 2 * width], [2, 2, 0], &gradient);
            assert_close(&out, &expected, 1e-6, &format!("2 / 2 on {height} x {width}"));
        }
    }

    #[test]
    fn upsampling_sums_squares() {
        let mut out = [1.0, 1.0];
        upsample_gradient(2, &[1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0], &mut out);
        assert_eq!(out, [11.0, 101.0]);
    }
}

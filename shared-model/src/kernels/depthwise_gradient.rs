//! The gradient of a depthwise convolution's kernels: `kernel[t] += sum over y of gradient[y] * x[stride * y + t]`.
//!
//! As in the convolution, the input plane is copied into a padded one. A few rows of the kernel are summed up at once, one
//! vector of partial sums for each of their numbers, so that a vector of the gradient is loaded once for all of them.

use super::norm::total;
use super::padded::{Padded, run_of_size};
use super::parallel::with_scratch;
use super::simd::{Instructions, Kernel, MOST_LANES, Simd};

#[derive(Clone, Copy)]
pub(crate) struct DepthwiseShape<'a> {
    /// Kernel widths; the output channels fall into equal chunks, one for each.
    pub(crate) widths: &'a [usize],
    pub(crate) stride: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Of the input.
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl DepthwiseShape<'_> {
    /// Numbers in all kernels.
    pub(crate) fn weights(&self) -> usize {
        self.widths.iter().map(|k| self.outputs / self.widths.len() * k * k).sum()
    }
}

/// Writes the kernels' gradients (chunk after chunk) to `out`: from the input `x` (inputs x height x width) and the gradient
/// with respect to the output (outputs x height/stride x width/stride) of one image.
pub(crate) fn kernel_gradient(
    instructions: Instructions,
    shape: DepthwiseShape,
    x: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) {
    let plane = shape.height * shape.width;
    assert_eq!(x.len(), shape.inputs * plane);
    assert_eq!(gradient.len(), shape.outputs * plane / shape.stride.pow(2));
    assert_eq!(out.len(), shape.weights());
    let padded = |&k: &usize| Padded::new(k, shape.stride, shape.height, shape.width, MOST_LANES).len();
    let most = shape.widths.iter().map(padded).max().unwrap_or(0);
    with_scratch(most, |scratch| {
        let chunk = shape.outputs / shape.widths.len();
        let mut rest = out;
        for (i, &k) in shape.widths.iter().enumerate() {
            let (out, others) = rest.split_at_mut(chunk * k * k);
            rest = others;
            let channels = GradientChannels {
                shape,
                x,
                gradient,
                from: i * chunk,
                to: (i + 1) * chunk,
                out,
                scratch: &mut *scratch,
            };
            channels.compute(instructions, k);
        }
    });
}

/// The output channels `from..to`, which share their kernel width.
struct GradientChannels<'a> {
    shape: DepthwiseShape<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    from: usize,
    to: usize,
    /// Their kernels' gradients.
    out: &'a mut [f32],
    scratch: &'a mut [f32],
}

/// GradientChannels whose kernels are `K` wide. A type for each size and stride, so that each is a function of its own: compilers take
/// minutes for one that has them all.
struct OfSize<'a, const K: usize, const STRIDE: usize>(GradientChannels<'a>);

impl<const K: usize, const STRIDE: usize> Kernel for OfSize<'_, K, STRIDE> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        // SAFETY: the caller's. Rows of the kernel at once: as many as registers allow that hold the sums (of 32 or 16).
        unsafe {
            match (K, STRIDE) {
                (3, _) => self.0.compute_by::<S, K, STRIDE, 3>(),
                (5, 1) if S::LANES == 16 => self.0.compute_by::<S, K, STRIDE, 5>(),
                (5, _) => self.0.compute_by::<S, K, STRIDE, 2>(),
                (7, _) if S::LANES == 16 => self.0.compute_by::<S, K, STRIDE, 4>(),
                (9, 1) if S::LANES == 16 => self.0.compute_by::<S, K, STRIDE, 3>(),
                _ => self.0.compute_by::<S, K, STRIDE, 1>(),
            }
        }
    }
}

impl GradientChannels<'_> {
    /// Computes them; their kernels are `k` wide.
    fn compute(self, instructions: Instructions, k: usize) {
        run_of_size!(instructions, (k, self.shape.stride), self);
    }

    /// `AT_ONCE` rows of the kernels at once.
    #[inline(always)]
    unsafe fn compute_by<S: Simd, const K: usize, const STRIDE: usize, const AT_ONCE: usize>(self) {
        let Self { from, to, .. } = self;
        let DepthwiseShape { inputs, outputs, height, width, .. } = self.shape;
        let padded = Padded::new(K, STRIDE, height, width, S::LANES);
        padded.clear_border::<K, STRIDE>(self.scratch, height, width);
        let (plane, of_gradient) = (height * width, height * width / (STRIDE * STRIDE));
        for channel in from..to {
            let x = &self.x[channel * inputs / outputs * plane..][..plane];
            let gradient = &self.gradient[channel * of_gradient..][..of_gradient];
            let out = &mut self.out[(channel - from) * K * K..][..K * K];
            // SAFETY: the caller's.
            unsafe {
                padded.copy::<S, K, STRIDE>(x, self.scratch, width);
                for first in (0..K).step_by(AT_ONCE) {
                    // The last ones may be computed a second time.
                    let first = first.min(K - AT_ONCE);
                    rows::<S, K, STRIDE, AT_ONCE>(padded, self.scratch, gradient, width / STRIDE, first, out);
                }
            }
        }
    }
}

/// Rows `first..first + AT_ONCE` of a kernel's gradient.
#[inline(always)]
unsafe fn rows<S: Simd, const K: usize, const STRIDE: usize, const AT_ONCE: usize>(
    padded: Padded,
    x: &[f32],
    gradient: &[f32],
    width: usize,
    first: usize,
    out: &mut [f32],
) {
    let Padded { row, odd, .. } = padded;
    // SAFETY: the padded plane reaches as far as whole vectors at its edge read. Beyond the gradient's last column zeros are
    // multiplied with zeros or numbers of the plane.
    unsafe {
        let mut sums = [[S::splat(0.0); K]; AT_ONCE];
        let whole = width / S::LANES * S::LANES;
        for (y, gradient) in gradient.chunks_exact(width).enumerate() {
            let from = x.as_ptr().add((y * STRIDE + first) * row);
            for at in (0..whole).step_by(S::LANES) {
                let g = S::load(gradient.as_ptr().add(at));
                sums = step::<S, K, STRIDE, AT_ONCE>(sums, g, from.add(at), row, odd);
            }
            if whole < width {
                let g = S::load_first(gradient.as_ptr().add(whole), width - whole);
                sums = step::<S, K, STRIDE, AT_ONCE>(sums, g, from.add(whole), row, odd);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (dx, &sum) in sums.iter().enumerate() {
                out[(first + i) * K + dx] = total::<S>(sum) as f32;
            }
        }
    }
}

/// Adds the products of one vector of the gradient. Sums come and go by
/// value: behind a reference, compilers leave them in memory.
#[inline(always)]
unsafe fn step<S: Simd, const K: usize, const STRIDE: usize, const AT_ONCE: usize>(
    mut sums: [[S::V; K]; AT_ONCE],
    g: S::V,
    from: *const f32,
    row: usize,
    odd: usize,
) -> [[S::V; K]; AT_ONCE] {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (dx, sum) in sums.iter_mut().enumerate() {
            let offset = if STRIDE == 1 { dx } else { dx % 2 * odd + dx / 2 };
            // SAFETY: the caller's.
            unsafe { *sum = S::mul_add(g, S::load(from.add(i * row + offset)), *sum) };
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::block::Residual;
    use crate::kernels::depthwise::{DepthwiseWeights, depthwise};
    use crate::kernels::parallel::Team;
    use crate::kernels::testing::{Random, assert_close};

    /// The convolution is linear in its kernels and in its input, so that both gradients follow from its values: against
    /// naive sums over all outputs, kernel places and borders.
    #[test]
    fn gradients_equal_naive_sums() {
        let mut random = Random::new(31);
        for _ in 0..120 {
            let widths: &[usize] = random.pick(&[&[3], &[5], &[7], &[9], &[3, 5], &[3, 5, 7, 9]]);
            let stride = random.pick(&[1, 2]);
            let multiple = if widths.len() == 1 { random.in_range(1, 2) } else { 1 };
            let inputs = random.in_range(1, 3) * widths.len();
            let (height, width) = (random.in_range(1, 20) * stride, random.in_range(1, 40) * stride);
            let outputs = inputs * multiple;
            let shape = DepthwiseShape { widths, stride, inputs, outputs, height, width };
            let (h, w, chunk) = (height / stride, width / stride, outputs / widths.len());
            let (kernels, x) = (random.numbers(shape.weights()), random.numbers(inputs * height * width));
            let gradient = random.numbers(outputs * h * w);
            let before = random.numbers(x.len());

            let (mut by_kernel, mut by_input) = (vec![0.0; kernels.len()], before.clone());
            for o in 0..outputs {
                let at: usize = widths[..o / chunk].iter().map(|k| chunk * k * k).sum();
                let k = widths[o / chunk];
                let at = at + o % chunk * k * k;
                for (oy, ox) in (0..h * w).map(|i| (i / w, i % w)) {
                    for (ky, kx) in (0..k * k).map(|i| (i / k, i % k)) {
                        let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                        if iy >= k / 2 && iy - k / 2 < height && ix >= k / 2 && ix - k / 2 < width {
                            let i = (o / multiple * height + iy - k / 2) * width + ix - k / 2;
                            let g = gradient[(o * h + oy) * w + ox];
                            by_kernel[at + ky * k + kx] += g * x[i];
                            by_input[i] += g * kernels[at + ky * k + kx];
                        }
                    }
                }
            }

            for instructions in Instructions::available() {
                let what =
                    format!("{widths:?} stride {stride}: {inputs} -> {outputs} x {height} x {width}, {instructions:?}");
                let mut found = vec![f32::NAN; kernels.len()];
                kernel_gradient(instructions, shape, &x, &gradient, &mut found);
                assert_close(&found, &by_kernel, 5e-5, &what);

                let mut at = 0;
                let chunks = widths.iter().map(|&k| {
                    let first = at;
                    at += chunk * k * k;
                    (k, &kernels[first..at])
                });
                let chunks: Vec<_> = chunks.collect();
                let mut found = before.clone();
                for weights in DepthwiseWeights::of_input_gradient(&chunks, inputs, stride, instructions) {
                    depthwise(&Team::alone(), &weights, &gradient, height, width, Residual::Accumulate, &mut found);
                }
                assert_close(&found, &by_input, 5e-5, &what);
            }
        }
    }
}

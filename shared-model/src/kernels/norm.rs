//! Batch normalisation and activation of one plane (one channel of one image), forward and backward.
//!
//! With the sums `y` of a convolution, their mean `m` and variance over all images and pixels, and per channel
//! `scale = weight / sqrt(variance + eps)` and `shift = bias - m * scale`, the output is `z = act(u)`, `u = scale * y + shift`.
//! Backward (<https://arxiv.org/abs/1502.03167>, section 3), with `g = dz * act'(u)`, sums over the N numbers of a channel
//! and `v = 1 / (variance + eps)`:
//!
//! ```text
//! dbias = sum g        dweight = sum g (y - m) * sqrt(v)
//! dy = scale * (g - sum g / N - (y - m) * v * sum g (y - m) / N) = a * g + b * y + c
//! ```

use super::activation::{Activate, Other, Silu};
use super::simd::{Instructions, Kernel, MOST_LANES, Simd, load_up_to, store_up_to};
use crate::model::graph::Activation;

/// Mean of the numbers of `x`, and the sum of the squares of their distances from it.
pub(crate) fn moments(instructions: Instructions, x: &[f32]) -> (f64, f64) {
    let mut sum = 0.0;
    instructions.run(SumOfSquares { x, shift: 0.0, squared: false, sum: &mut sum });
    let mean = sum / x.len() as f64;
    let shift = mean as f32;
    let mut m2 = 0.0;
    instructions.run(SumOfSquares { x, shift, squared: true, sum: &mut m2 });
    // Around the true mean, of which `shift` is the rounded one.
    let error = mean - f64::from(shift);
    (mean, (m2 - error * error * x.len() as f64).max(0.0))
}

struct SumOfSquares<'a> {
    x: &'a [f32],
    shift: f32,
    squared: bool,
    sum: &'a mut f64,
}

/// Numbers that are added in single precision before the sum goes on in double.
const CHUNK: usize = 4096;

impl Kernel for SumOfSquares<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        for x in self.x.chunks(CHUNK) {
            // SAFETY: the caller's; no number beyond the slice is touched.
            unsafe {
                let shift = S::splat(self.shift);
                let mut sums = [S::splat(0.0); 4];
                let (whole, rest) = x.split_at(x.len() / (4 * S::LANES) * (4 * S::LANES));
                for x in whole.chunks_exact(4 * S::LANES) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let x = S::sub(S::load(x.as_ptr().add(i * S::LANES)), shift);
                        *sum = if self.squared { S::mul_add(x, x, *sum) } else { S::add(x, *sum) };
                    }
                }
                let sums = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
                *self.sum += total::<S>(sums);
                for x in rest {
                    let x = x - self.shift;
                    *self.sum += f64::from(if self.squared { x * x } else { x });
                }
            }
        }
    }
}

/// Sum of a vector's numbers.
#[inline(always)]
pub(super) unsafe fn total<S: Simd>(v: S::V) -> f64 {
    let mut numbers = [0.0; MOST_LANES];
    // SAFETY: there is room for the longest vector.
    unsafe { S::store(numbers.as_mut_ptr(), v) };
    numbers[..S::LANES].iter().map(|&x| f64::from(x)).sum()
}

/// `out = act(scale * y + shift)`, plus `residual`.
pub(crate) fn normalise(
    instructions: Instructions,
    activation: Activation,
    (scale, shift): (f32, f32),
    y: &[f32],
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    assert!(y.len() == out.len() && residual.is_none_or(|residual| residual.len() == y.len()));
    instructions.run(Normalise { activation, scale, shift, y, residual, out });
}

struct Normalise<'a> {
    activation: Activation,
    scale: f32,
    shift: f32,
    y: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        // SAFETY: the caller's.
        unsafe {
            match self.activation {
                Activation::Silu => self.by::<S>(Silu::<S>::new()),
                activation => self.by::<S>(Other(activation)),
            }
        }
    }
}

impl Normalise<'_> {
    #[inline(always)]
    unsafe fn by<S: Simd>(self, activation: impl Activate<S>) {
        let count = self.y.len();
        // SAFETY: the slices are equally long, and no number beyond them is touched.
        unsafe {
            let (scale, shift) = (S::splat(self.scale), S::splat(self.shift));
            for i in (0..count).step_by(S::LANES) {
                let y = load_up_to::<S>(self.y.as_ptr().add(i), count - i);
                let mut z = activation.apply(S::mul_add(y, scale, shift));
                if let Some(residual) = self.residual {
                    z = S::add(z, load_up_to::<S>(residual.as_ptr().add(i), count - i));
                }
                store_up_to::<S>(self.out.as_mut_ptr().add(i), z, count - i);
            }
        }
    }
}

/// `gradient`, with respect to `z`, becomes `g`. Returns the sums of g and of g * (y - mean).
pub(crate) fn activation_gradient(
    instructions: Instructions,
    activation: Activation,
    (scale, shift): (f32, f32),
    mean: f32,
    y: &[f32],
    gradient: &mut [f32],
) -> (f64, f64) {
    assert_eq!(y.len(), gradient.len());
    let mut sums = (0.0, 0.0);
    match activation {
        Activation::Silu | Activation::Identity => {
            let silu = activation == Activation::Silu;
            instructions.run(Slope { silu, scale, shift, mean, y, gradient, sums: &mut sums });
        }
        // They occur in few small layers.
        Activation::Relu | Activation::HardSigmoid => {
            for (g, &y) in gradient.iter_mut().zip(y) {
                let u = scale * y + shift;
                let slope = match activation {
                    Activation::Relu if u > 0.0 => 1.0,
                    Activation::HardSigmoid if u.abs() < 3.0 => 1.0 / 6.0,
                    _ => 0.0,
                };
                *g *= slope;
                sums.0 += f64::from(*g);
                sums.1 += f64::from(*g) * f64::from(y - mean);
            }
        }
    }
    sums
}

struct Slope<'a> {
    silu: bool,
    scale: f32,
    shift: f32,
    mean: f32,
    y: &'a [f32],
    gradient: &'a mut [f32],
    sums: &'a mut (f64, f64),
}

impl Kernel for Slope<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        // SAFETY: the slices are equally long, and no number beyond them is touched.
        unsafe {
            let silu = Silu::<S>::new();
            let (scale, shift, mean) = (S::splat(self.scale), S::splat(self.shift), S::splat(self.mean));
            for (y, gradient) in self.y.chunks(CHUNK).zip(self.gradient.chunks_mut(CHUNK)) {
                let count = y.len();
                let (mut sum, mut product) = (S::splat(0.0), S::splat(0.0));
                for i in (0..count).step_by(S::LANES) {
                    let y = load_up_to::<S>(y.as_ptr().add(i), count - i);
                    // Zero beyond the end, and so without weight in the sums.
                    let mut g = load_up_to::<S>(gradient.as_ptr().add(i), count - i);
                    if self.silu {
                        g = S::mul(g, silu.slope(S::mul_add(y, scale, shift)));
                        store_up_to::<S>(gradient.as_mut_ptr().add(i), g, count - i);
                    }
                    sum = S::add(sum, g);
                    product = S::mul_add(g, S::sub(y, mean), product);
                }
                self.sums.0 += total::<S>(sum);
                self.sums.1 += total::<S>(product);
            }
        }
    }
}

/// `g` becomes `a * g + b * y + c`.
pub(crate) fn affine_gradient(instructions: Instructions, [a, b, c]: [f32; 3], y: &[f32], g: &mut [f32]) {
    assert_eq!(y.len(), g.len());
    instructions.run(ScaleGradient { a, b, c, y, g });
}

struct ScaleGradient<'a> {
    a: f32,
    b: f32,
    c: f32,
    y: &'a [f32],
    g: &'a mut [f32],
}

impl Kernel for ScaleGradient<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let count = self.y.len();
        // SAFETY: the slices are equally long, and no number beyond them is touched.
        unsafe {
            let (a, b, c) = (S::splat(self.a), S::splat(self.b), S::splat(self.c));
            for i in (0..count).step_by(S::LANES) {
                let y = load_up_to::<S>(self.y.as_ptr().add(i), count - i);
                let g = load_up_to::<S>(self.g.as_ptr().add(i), count - i);
                store_up_to::<S>(self.g.as_mut_ptr().add(i), S::mul_add(a, g, S::mul_add(b, y, c)), count - i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, activated, assert_close};

    #[test]
    fn moments_equal_naive_ones_far_from_zero() {
        let mut random = Random::new(11);
        for instructions in Instructions::available() {
            for offset in [0.0, 3.0, 1000.0] {
                let count = random.in_range(1, 10_000);
                let x: Vec<f32> = random.numbers(count).iter().map(|x| x + offset).collect();
                let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
                let m2: f64 = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                let found = moments(instructions, &x);
                assert!((found.0 - mean).abs() <= 1e-6 * (1.0 + mean.abs()), "{instructions:?} {found:?}: mean {mean}");
                assert!((found.1 - m2).abs() <= 1e-4 * m2 + 1e-9, "{instructions:?} {found:?}: {m2}");
            }
        }
    }

    /// The whole of normalisation and activation over two planes of one channel, against finite differences.
    #[test]
    fn gradients_equal_finite_differences() {
        let mut random = Random::new(12);
        let activations = [Activation::Silu, Activation::Identity, Activation::Relu, Activation::HardSigmoid];
        for activation in activations {
            for instructions in Instructions::available() {
                let plane = random.in_range(5, 60);
                let count = 2 * plane;
                let y: Vec<f32> = random.numbers(count).iter().map(|y| 2.0 * y + 0.7).collect();
                let (dz, [weight, bias]) = (random.numbers(count), [1.3, -0.2]);
                let eps = 1e-3;
                let loss = |y: &[f32], weight: f64, bias: f64| -> f64 {
                    let n = y.len() as f64;
                    let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / n;
                    let variance = y.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum::<f64>() / n;
                    let z = y.iter().map(|&y| weight * (f64::from(y) - mean) / (variance + eps).sqrt() + bias);
                    let z = z.map(|u| f64::from(activated(activation, u as f32)));
                    z.zip(&dz).map(|(z, &dz)| z * f64::from(dz)).sum()
                };

                let parts: Vec<_> = y.chunks(plane).map(|y| moments(instructions, y)).collect();
                let mean = (parts[0].0 + parts[1].0) / 2.0;
                let m2: f64 = parts.iter().map(|(m, s)| s + (m - mean).powi(2) * plane as f64).sum();
                let inverse = 1.0 / (m2 / count as f64 + eps);
                let scale = weight * inverse.sqrt();
                let affine = (scale as f32, (bias - mean * scale) as f32);
                let mut g = dz.clone();
                let mut sums = (0.0, 0.0);
                for (y, g) in y.chunks(plane).zip(g.chunks_mut(plane)) {
                    let part = activation_gradient(instructions, activation, affine, mean as f32, y, g);
                    sums = (sums.0 + part.0, sums.1 + part.1);
                }
                let n = count as f64;
                let b = -scale * inverse * sums.1 / n;
                let factors = [scale, b, -scale * sums.0 / n - b * mean].map(|x| x as f32);
                for (y, g) in y.chunks(plane).zip(g.chunks_mut(plane)) {
                    affine_gradient(instructions, factors, y, g);
                }

                let step = 1e-3;
                let numeric: Vec<f32> = (0..count)
                    .map(|i| {
                        let at = |step: f32| {
                            let mut y = y.clone();
                            y[i] += step;
                            loss(&y, weight, bias)
                        };
                        ((at(step) - at(-step)) / (2.0 * f64::from(step))) as f32
                    })
                    .collect();
                // Kinks of the activation lie within a step of few numbers; those are allowed for by their count.
                let wrong = g.iter().zip(&numeric).filter(|(a, b)| (**a - **b).abs() > 4e-3).count();
                assert!(wrong <= 1, "{activation:?} {instructions:?}: {wrong} of {count}");
                let step = f64::from(step);
                let by_bias = (loss(&y, weight, bias + step) - loss(&y, weight, bias - step)) / (2.0 * step);
                let by_weight = (loss(&y, weight + step, bias) - loss(&y, weight - step, bias)) / (2.0 * step);
                let found = [sums.0 as f32, (sums.1 * inverse.sqrt()) as f32];
                assert_close(&found, &[by_bias as f32, by_weight as f32], 2e-2, &format!("{activation:?}"));
            }
        }
    }

    #[test]
    fn normalises_and_adds() {
        let mut random = Random::new(13);
        for _ in 0..40 {
            let (count, activation) = (random.in_range(1, 100), random.activation());
            let (y, residual) = (random.numbers(count), random.numbers(count));
            let naive: Vec<f32> =
                y.iter().zip(&residual).map(|(y, r)| activated(activation, 1.5 * y - 0.3) + r).collect();
            for instructions in Instructions::available() {
                let mut out = vec![f32::NAN; count];
                normalise(instructions, activation, (1.5, -0.3), &y, Some(&residual), &mut out);
                assert_close(&out, &naive, 1e-6, &format!("{activation:?} {instructions:?}"));
            }
        }
    }

    /// `torch.nn.functional.hardsigmoid`'s slope is 1/6 between -3 and 3, without the ends.
    #[test]
    fn the_hard_sigmoid_is_flat_at_its_kinks_as_in_pytorch() {
        let mut gradient = [6.0; 4];
        let y = [-3.0, -2.9, 2.9, 3.0];
        let sums =
            activation_gradient(Instructions::best(), Activation::HardSigmoid, (1.0, 0.0), 0.5, &y, &mut gradient);
        assert_close(&gradient, &[0.0, 1.0, 1.0, 0.0], 1e-6, "gradient");
        assert_close(&[sums.0 as f32, sums.1 as f32], &[2.0, -1.0], 1e-6, "sums");
    }
}

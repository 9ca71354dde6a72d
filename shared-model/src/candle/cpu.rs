//! This project's kernels as operations of candle on the CPU, with their gradients: for what candle's own operations are
//! many times slower at (depthwise and pointwise convolutions, normalisation) or cannot differentiate rightly (see `plain`).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::kernels::block::Residual;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::parallel::Team;
use crate::kernels::pool_gradient::{max_pool_halving_gradient, max_pool_same_gradient, upsample_gradient};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};
use crate::lowering::{ConvKind, Convolution, ImagePlanes, TASK_ROWS};
use crate::model::graph::Activation;
use crate::training::{Moments, NormOrBias};

/// A tensor's numbers, one after another.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Calls `work` for every image's part of `out`: each on one thread, or, where there are fewer images than threads, one
/// after another on all of them.
fn for_each_image(images: usize, out: &mut [f32], work: impl Fn(&Team, usize, &mut [f32]) + Sync) {
    let len = out.len() / images;
    if images >= rayon::current_num_threads() {
        let parts = out.par_chunks_mut(len).enumerate();
        parts.for_each(|(image, out)| work(&Team::alone(), image, out));
    } else {
        Team::fork_join(|team| {
            out.chunks_mut(len).enumerate().for_each(|(image, out)| work(team, image, out));
        });
    }
}

/// An operation of one, two or three tensors without a gradient of its own: the gradients of others are made of them.
struct Plain<F>(&'static str, F);

impl<F: Fn(&[f32]) -> (Vec<f32>, Shape)> CustomOp1 for Plain<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = self.1(numbers(s, l)?);
        Ok((CpuStorage::F32(values), shape))
    }
}

impl<F: Fn(&[f32], &[f32]) -> (Vec<f32>, Shape)> CustomOp2 for Plain<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = self.1(numbers(s1, l1)?, numbers(s2, l2)?);
        Ok((CpuStorage::F32(values), shape))
    }
}

/// A convolution without bias and activation.
struct Convolve {
    convolution: Convolution,
    /// (batch, channels, height, width) of the input; of the stem: of the image.
    input: (usize, usize, usize, usize),
}

/// `x` (images x channels x height x width; of the stem: the image) convolved by `kernels`, all of its kernel tensors'
/// numbers one after another.
///
/// # Errors
/// Fails where the tensors are not on the CPU in single precision.
pub(super) fn convolve(convolution: &Convolution, x: &Tensor, kernels: &Tensor) -> Result<Tensor> {
    let op = Convolve { convolution: convolution.clone(), input: x.dims4()? };
    x.contiguous()?.apply_op2(&kernels.contiguous()?, op)
}

impl Convolve {
    /// Numbers of an image of the input and of the output, and the output's shape.
    fn sizes(&self) -> (usize, usize, Shape) {
        let (batch, channels, height, width) = self.input;
        let stride = if self.convolution.kind == ConvKind::Stem { 2 } else { self.convolution.stride };
        let (out_height, out_width) = (height / stride, width / stride);
        let out = self.convolution.channels * out_height * out_width;
        let shape = Shape::from((batch, self.convolution.channels, out_height, out_width));
        (channels * height * width, out, shape)
    }

    fn split<'a>(&self, kernels: &'a [f32]) -> Vec<&'a [f32]> {
        let Convolution { kind, channels, inputs, ref widths, .. } = self.convolution;
        let each = if kind == ConvKind::Depthwise { channels / widths.len() } else { channels * inputs };
        let mut rest = kernels;
        let lens = widths.iter().map(|k| each * k * k);
        lens.map(|len| rest.split_off(..len).expect("kernels have the numbers that their shape says")).collect()
    }

    fn kernels_gradient(&self, x: &[f32], gradient: &[f32], len: usize) -> Vec<f32> {
        let (of_x, of_gradient, _) = self.sizes();
        let (batch, _, height, width) = self.input;
        let Convolution { channels, inputs, .. } = self.convolution;
        let plane = of_gradient / channels;
        if self.convolution.sums_up_per_image(plane) {
            let mut parts = vec![0.0; batch * len];
            let all = x.par_chunks(of_x).zip(gradient.par_chunks(of_gradient)).zip(parts.par_chunks_mut(len));
            all.for_each(|((x, gradient), out)| {
                self.convolution.kernel_gradient(x, gradient, height, width, out);
            });
            let (sum, others) = parts.split_at_mut(len);
            for part in others.chunks(len) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            parts.truncate(len);
            return parts;
        }
        let mut out = vec![0.0; len];
        let gradient = ImagePlanes { numbers: gradient, start: 0, step: of_gradient };
        let x = ImagePlanes { numbers: x, start: 0, step: of_x };
        out.par_chunks_mut(TASK_ROWS * inputs).enumerate().for_each(|(i, out)| {
            self.convolution.pointwise_rows_gradient(batch, plane, i * TASK_ROWS, gradient, x, out);
        });
        out
    }
}

impl CustomOp2 for Convolve {
    fn name(&self) -> &'static str {
        "convolve"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, kernels) = (numbers(s1, l1)?, self.split(numbers(s2, l2)?));
        let (batch, _, height, width) = self.input;
        let (of_x, of_out, shape) = self.sizes();
        let no_bias = vec![0.0; self.convolution.channels];
        let weights = self.convolution.forward_weights(&kernels, &no_bias, Activation::Identity);
        let mut out = vec![0.0; batch * of_out];
        for_each_image(batch, &mut out, |team, i, out| {
            weights.run(team, &x[i * of_x..][..of_x], height, width, Residual::None, out);
        });
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernels: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (batch, _, height, width) = self.input;
        let (of_x, of_out, _) = self.sizes();
        // An image's gradient is nobody's: `Yolox` does not use this operation where it is.
        let of_input = if self.convolution.kind == ConvKind::Stem {
            None
        } else {
            let op = |gradient: &[f32], kernels: &[f32]| {
                let weights = self.convolution.input_gradient(&self.split(kernels));
                let mut out = vec![0.0; batch * of_x];
                for_each_image(batch, &mut out, |team, i, out| {
                    weights.run(team, &gradient[i * of_out..][..of_out], height, width, Residual::None, out);
                });
                (out, Shape::from(self.input))
            };
            Some(gradient.apply_op2_no_bwd(&kernels.contiguous()?, &Plain("convolve-input-gradient", op))?)
        };
        let len = kernels.elem_count();
        let op = |x: &[f32], gradient: &[f32]| (self.kernels_gradient(x, gradient, len), Shape::from(len));
        let of_kernels = x.apply_op2_no_bwd(&gradient, &Plain("convolve-kernel-gradient", op))?;
        Ok((of_input, Some(of_kernels.reshape(kernels.shape())?)))
    }
}

/// As [`convolve`], with a bias and the activation, for inference: nothing is recorded for gradients.
///
/// # Errors
/// As for [`convolve`].
pub(super) fn infer(
    convolution: &Convolution,
    x: &Tensor,
    kernels: &[&[f32]],
    bias: &[f32],
    activation: Activation,
) -> Result<Tensor> {
    let op = Convolve { convolution: convolution.clone(), input: x.dims4()? };
    let weights = convolution.forward_weights(kernels, bias, activation);
    let (of_x, of_out, shape) = op.sizes();
    let (batch, _, height, width) = op.input;
    let forward = |x: &[f32]| {
        let mut out = vec![0.0; batch * of_out];
        for_each_image(batch, &mut out, |team, i, out| {
            weights.run(team, &x[i * of_x..][..of_x], height, width, Residual::None, out);
        });
        (out, shape.clone())
    };
    x.contiguous()?.apply_op1_no_bwd(&Plain("convolution", forward))
}

/// What normalisation goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The batch's statistics; or there is a bias alone.
    Batch,
    /// The running statistics, while the batch's are observed.
    Running,
}

/// Batch normalisation (or a bias) and activation.
struct NormaliseOp {
    norm: Arc<Mutex<NormOrBias>>,
    activation: Activation,
    by: By,
    dims: (usize, usize, usize, usize),
}

/// `y` (images x channels x height x width) normalised; `parameters`: all that [`NormOrBias::load`] takes, as one array. The
/// gradient with respect to them is that of weights and biases, and 0 at statistics. Also returns the places of the running
/// statistics with the batch's, the variance as training or as observation takes it.
///
/// # Errors
/// Fails where the tensors are not on the CPU in single precision.
pub(super) fn normalised(
    y: &Tensor,
    parameters: &Tensor,
    norm: &NormOrBias,
    activation: Activation,
    by: By,
) -> Result<(Tensor, Vec<f32>)> {
    // Each call's own: there may be others before its gradient is asked for.
    let norm = Arc::new(Mutex::new(norm.clone()));
    let op = NormaliseOp { norm: norm.clone(), activation, by, dims: y.dims4()? };
    let z = y.contiguous()?.apply_op2(&parameters.contiguous()?, op)?;
    let mut statistics = vec![0.0; parameters.elem_count()];
    norm.lock().unwrap_or_else(PoisonError::into_inner).write_statistics(by == By::Batch, &mut statistics);
    Ok((z, statistics))
}

impl NormaliseOp {
    fn plane(&self) -> usize {
        self.dims.2 * self.dims.3
    }
}

impl CustomOp2 for NormaliseOp {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, parameters) = (numbers(s1, l1)?, numbers(s2, l2)?);
        let (instructions, plane, channels) = (Instructions::best(), self.plane(), self.dims.1);
        let mut norm = self.norm.lock().unwrap_or_else(PoisonError::into_inner);
        norm.load(parameters);
        if norm.is_batch() {
            let of = |y: &[f32]| {
                let (mean, m2) = moments(instructions, y);
                Moments { count: plane as f64, mean, m2 }
            };
            let parts: Vec<Moments> = y.par_chunks(plane).map(of).collect();
            norm.observe(&parts, self.by == By::Batch);
        }
        let (norm, mut out) = (&*norm, vec![0.0; y.len()]);
        out.par_chunks_mut(plane).zip(y.par_chunks(plane)).enumerate().for_each(|(i, (out, y))| {
            normalise(instructions, self.activation, norm.affine[i % channels], y, None, out);
        });
        Ok((CpuStorage::F32(out), Shape::from(self.dims)))
    }

    fn bwd(
        &self,
        y: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (instructions, plane, channels) = (Instructions::best(), self.plane(), self.dims.1);
        let (len, count) = (parameters.elem_count(), self.dims.0 * plane);
        let norm = self.norm.lock().unwrap_or_else(PoisonError::into_inner);
        // Both gradients in one array, that with respect to y first.
        let op = |y: &[f32], gradient: &[f32]| {
            let mut out = vec![0.0; y.len() + len];
            let (of_y, of_parameters) = out.split_at_mut(y.len());
            of_y.copy_from_slice(gradient);
            let parts: Vec<(f64, f64)> = of_y
                .par_chunks_mut(plane)
                .zip(y.par_chunks(plane))
                .enumerate()
                .map(|(i, (gradient, y))| {
                    let (affine, mean) = (norm.affine[i % channels], norm.mean[i % channels]);
                    activation_gradient(instructions, self.activation, affine, mean, y, gradient)
                })
                .collect();
            let factors = norm.backward(&parts, count, of_parameters);
            of_y.par_chunks_mut(plane).zip(y.par_chunks(plane)).enumerate().for_each(|(i, (gradient, y))| {
                affine_gradient(instructions, factors[i % channels], y, gradient);
            });
            let len = out.len();
            (out, Shape::from(len))
        };
        let both = y.apply_op2_no_bwd(&gradient.contiguous()?, &Plain("normalise-gradient", op))?;
        let of_y = both.narrow(0, 0, y.elem_count())?.reshape(y.shape())?;
        let of_parameters = both.narrow(0, y.elem_count(), len)?.reshape(parameters.shape())?;
        Ok((Some(of_y), Some(of_parameters)))
    }
}

/// Pooling under squares of this width with stride 1, padded so that the size stays.
struct MaxPoolSame(usize);

/// The greatest of every square of `kernel` (odd) pixels around a pixel of `x` (images x channels x height x width).
///
/// # Errors
/// Fails where the tensor is not on the CPU in single precision.
pub(super) fn max_pool_same(x: &Tensor, kernel: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPoolSame(kernel))
}

impl CustomOp1 for MaxPoolSame {
    fn name(&self) -> &'static str {
        "max-pool-same"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, _, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (vec![0.0; x.len()], x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            let x = &x[i * size..][..size];
            pool::max_pool_same(team, Instructions::best(), x, height, width, self.0, out);
        });
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (batch, _, height, width) = x.dims4()?;
        let op = |x: &[f32], gradient: &[f32]| {
            let (mut out, size) = (vec![0.0; x.len()], x.len() / batch);
            out.par_chunks_mut(size)
                .zip(x.par_chunks(size))
                .zip(gradient.par_chunks(size))
                .for_each(|((out, x), gradient)| max_pool_same_gradient(x, height, width, self.0, gradient, out));
            let len = out.len();
            (out, Shape::from(len))
        };
        let of_x = x.apply_op2_no_bwd(&gradient.contiguous()?, &Plain("max-pool-same-gradient", op))?;
        Ok(Some(of_x.reshape(x.shape())?))
    }
}

/// Pooling under squares of 2 x 2, with stride 2.
struct MaxPoolHalving;

/// The greatest of every square of 2 x 2 pixels of `x` (images x channels x height x width).
///
/// # Errors
/// Fails where the tensor is not on the CPU in single precision.
pub(super) fn max_pool_halving(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPoolHalving)
}

impl CustomOp1 for MaxPoolHalving {
    fn name(&self) -> &'static str {
        "max-pool-halving"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, channels, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (vec![0.0; x.len() / 4], x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            pool::max_pool_halving(team, Instructions::best(), &x[i * size..][..size], width, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, height / 2, width / 2))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, _, width) = x.dims4()?;
        let op = |x: &[f32], gradient: &[f32]| {
            let mut out = vec![0.0; x.len()];
            let rows = out.par_chunks_mut(2 * width).zip(x.par_chunks(2 * width)).zip(gradient.par_chunks(width / 2));
            rows.for_each(|((out, x), gradient)| max_pool_halving_gradient(x, width, gradient, out));
            let len = out.len();
            (out, Shape::from(len))
        };
        let of_x = x.apply_op2_no_bwd(&gradient.contiguous()?, &Plain("max-pool-halving-gradient", op))?;
        Ok(Some(of_x.reshape(x.shape())?))
    }
}

/// Every pixel becomes a square of 2 x 2.
struct Upsample;

/// `x` (images x channels x height x width) at twice the height and width, by nearest neighbours.
///
/// # Errors
/// Fails where the tensor is not on the CPU in single precision.
pub(super) fn upsample(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Upsample)
}

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, channels, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (vec![0.0; 4 * x.len()], x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            elementwise::upsample(team, &x[i * size..][..size], width, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, 2 * height, 2 * width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, _, width) = x.dims4()?;
        let op = |gradient: &[f32]| {
            let mut out = vec![0.0; gradient.len() / 4];
            out.par_chunks_mut(width).zip(gradient.par_chunks(4 * width)).for_each(|(out, gradient)| {
                upsample_gradient(width, gradient, out);
            });
            let len = out.len();
            (out, Shape::from(len))
        };
        let of_x = gradient.contiguous()?.apply_op1_no_bwd(&Plain("upsample-gradient", op))?;
        Ok(Some(of_x.reshape(x.shape())?))
    }
}

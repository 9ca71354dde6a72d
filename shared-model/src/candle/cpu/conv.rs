//! Convolutions with what follows them.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Plain, for_each_image, numbers, zeros};
use crate::kernels::block::Residual;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::simd::Instructions;
use crate::lowering::{ConvKind, Convolution, ImagePlanes, TASK_ROWS};
use crate::model::graph::Activation;
use crate::training::{Moments, NormOrBias};

/// A convolution of images of one size.
struct Convolve<'a> {
    convolution: &'a Convolution,
    /// (batch, channels, height, width) of the input; of the stem: of the image.
    input: (usize, usize, usize, usize),
}

impl Convolve<'_> {
    /// Numbers of an image of the input.
    fn of_x(&self) -> usize {
        let (_, channels, height, width) = self.input;
        channels * height * width
    }

    /// (batch, channels, height, width) of the output.
    fn output(&self) -> (usize, usize, usize, usize) {
        let (batch, _, height, width) = self.input;
        let stride = if self.convolution.kind == ConvKind::Stem { 2 } else { self.convolution.stride };
        (batch, self.convolution.channels, height / stride, width / stride)
    }

    /// Numbers of a channel of the output.
    fn plane(&self) -> usize {
        let (_, _, height, width) = self.output();
        height * width
    }

    /// Numbers of an image of the output.
    fn of_y(&self) -> usize {
        self.convolution.channels * self.plane()
    }

    fn split<'a>(&self, kernels: &'a [f32]) -> Vec<&'a [f32]> {
        let Convolution { kind, channels, inputs, ref widths, .. } = *self.convolution;
        let each = if kind == ConvKind::Depthwise { channels / widths.len() } else { channels * inputs };
        let mut rest = kernels;
        let lens = widths.iter().map(|k| each * k * k);
        lens.map(|len| rest.split_off(..len).expect("kernels have the numbers that their shape says")).collect()
    }

    fn forward(&self, x: &[f32], kernels: &[&[f32]], bias: &[f32], activation: Activation) -> Vec<f32> {
        let (batch, _, height, width) = self.input;
        let (of_x, weights) = (self.of_x(), self.convolution.forward_weights(kernels, bias, activation));
        let mut y = zeros(batch * self.of_y());
        for_each_image(batch, &mut y, |team, i, y| {
            weights.run(team, &x[i * of_x..][..of_x], height, width, Residual::None, y);
        });
        y
    }

    /// The gradient with respect to the input, from that with respect to the output, written to `of_x`.
    fn input_gradient(&self, gradient: &[f32], kernels: &[f32], of_x: &mut [f32]) {
        let (batch, _, height, width) = self.input;
        let (of_y, weights) = (self.of_y(), self.convolution.input_gradient(&self.split(kernels)));
        for_each_image(batch, of_x, |team, i, out| {
            weights.run(team, &gradient[i * of_y..][..of_y], height, width, Residual::None, out);
        });
    }

    /// The gradient with respect to the kernels, written to `out`, which is zero.
    fn kernels_gradient(&self, x: &[f32], gradient: &[f32], out: &mut [f32]) {
        let (batch, _, height, width) = self.input;
        let (of_x, of_y, plane, len) = (self.of_x(), self.of_y(), self.plane(), out.len());
        if self.convolution.sums_up_per_image(plane) {
            let mut parts = zeros(batch * len);
            let all = x.par_chunks(of_x).zip(gradient.par_chunks(of_y)).zip(parts.par_chunks_mut(len));
            all.for_each(|((x, gradient), out)| {
                self.convolution.kernel_gradient(x, gradient, height, width, out);
            });
            for part in parts.chunks(len) {
                out.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            return;
        }
        let gradient = ImagePlanes { numbers: gradient, start: 0, step: of_y };
        let x = ImagePlanes { numbers: x, start: 0, step: of_x };
        out.par_chunks_mut(TASK_ROWS * self.convolution.inputs).enumerate().for_each(|(i, out)| {
            self.convolution.pointwise_rows_gradient(batch, plane, i * TASK_ROWS, gradient, x, out);
        });
    }
}

/// A convolution of `x` (images x channels x height x width; of the stem: the image) with bias and activation, for inference:
/// nothing is recorded for gradients.
///
/// # Errors
/// Fails where the tensor is not on the CPU in single precision.
pub(in super::super) fn infer(
    convolution: &Convolution,
    x: &Tensor,
    kernels: &[&[f32]],
    bias: &[f32],
    activation: Activation,
) -> Result<Tensor> {
    let op = Convolve { convolution, input: x.dims4()? };
    let forward = |x: &[f32]| (op.forward(x, kernels, bias, activation), Shape::from(op.output()));
    x.contiguous()?.apply_op1_no_bwd(&Plain("convolution", forward))
}

/// What normalisation goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum By {
    /// The batch's statistics; or there is a bias alone.
    Batch,
    /// The running statistics, while the batch's are observed.
    Running,
}

/// A convolution, batch normalisation (or a bias) and activation: one operation, as each that candle records costs the
/// backward pass a tensor of zeros and an addition to it.
struct ConvNormAct {
    convolution: Convolution,
    activation: Activation,
    by: By,
    input: (usize, usize, usize, usize),
    between: Arc<Mutex<Between>>,
}

/// What the backward pass needs beside inputs and output.
struct Between {
    norm: NormOrBias,
    /// What the convolution computed.
    y: Vec<f32>,
}

/// `x` (images x channels x height x width; of the stem: the image) convolved by `kernels`, all of its kernel tensors'
/// numbers one after another, then normalised by `parameters`, all that [`NormOrBias::load`] takes, as one array. The
/// gradient with respect to them is that of weights and biases, and 0 at statistics. Also returns the places of the running
/// statistics with the batch's, the variance as training or as observation takes it.
///
/// # Errors
/// Fails where the tensors are not on the CPU in single precision.
pub(in super::super) fn conv_norm_act(
    convolution: &Convolution,
    x: &Tensor,
    kernels: &Tensor,
    parameters: &Tensor,
    (norm, activation, by): (&NormOrBias, Activation, By),
) -> Result<(Tensor, Vec<f32>)> {
    // Each call's own: there may be others before its gradient is asked for.
    let between = Arc::new(Mutex::new(Between { norm: norm.clone(), y: Vec::new() }));
    let convolution = convolution.clone();
    let op = ConvNormAct { convolution, activation, by, input: x.dims4()?, between: between.clone() };
    let z = x.contiguous()?.apply_op3(&kernels.contiguous()?, &parameters.contiguous()?, op)?;
    let mut statistics = vec![0.0; parameters.elem_count()];
    let between = between.lock().unwrap_or_else(PoisonError::into_inner);
    between.norm.write_statistics(by == By::Batch, &mut statistics);
    Ok((z, statistics))
}

impl ConvNormAct {
    fn convolve(&self) -> Convolve<'_> {
        Convolve { convolution: &self.convolution, input: self.input }
    }

    /// The gradient with respect to `y`, from that with respect to the output, and that with respect to normalisation's
    /// parameters, written to `of_parameters`.
    fn norm_gradient(&self, between: &Between, gradient: &[f32], of_parameters: &mut [f32]) -> Vec<f32> {
        let (instructions, plane, channels) =
            (Instructions::best(), self.convolve().plane(), self.convolution.channels);
        let Between { norm, y } = between;
        let mut of_y: Vec<f32> = gradient.par_iter().copied().collect();
        let parts: Vec<(f64, f64)> = of_y
            .par_chunks_mut(plane)
            .zip(y.par_chunks(plane))
            .enumerate()
            .map(|(i, (gradient, y))| {
                let (affine, mean) = (norm.affine[i % channels], norm.mean[i % channels]);
                activation_gradient(instructions, self.activation, affine, mean, y, gradient)
            })
            .collect();
        let factors = norm.backward(&parts, self.input.0 * plane, of_parameters);
        of_y.par_chunks_mut(plane).zip(y.par_chunks(plane)).enumerate().for_each(|(i, (gradient, y))| {
            affine_gradient(instructions, factors[i % channels], y, gradient);
        });
        of_y
    }
}

impl CustomOp3 for ConvNormAct {
    fn name(&self) -> &'static str {
        "conv-norm-act"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, kernels, parameters) = (numbers(s1, l1)?, numbers(s2, l2)?, numbers(s3, l3)?);
        let (op, instructions) = (self.convolve(), Instructions::best());
        let (plane, channels) = (op.plane(), self.convolution.channels);
        let y = op.forward(x, &op.split(kernels), &vec![0.0; channels], Activation::Identity);
        let mut between = self.between.lock().unwrap_or_else(PoisonError::into_inner);
        let norm = &mut between.norm;
        norm.load(parameters);
        if norm.is_batch() {
            let of = |y: &[f32]| {
                let (mean, m2) = moments(instructions, y);
                Moments { count: plane as f64, mean, m2 }
            };
            let parts: Vec<Moments> = y.par_chunks(plane).map(of).collect();
            norm.observe(&parts, self.by == By::Batch);
        }
        let (norm, mut out) = (&*norm, zeros(y.len()));
        out.par_chunks_mut(plane).zip(y.par_chunks(plane)).enumerate().for_each(|(i, (out, y))| {
            normalise(instructions, self.activation, norm.affine[i % channels], y, None, out);
        });
        between.y = y;
        Ok((CpuStorage::F32(out), Shape::from(op.output())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernels: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let conv = self.convolve();
        let between = self.between.lock().unwrap_or_else(PoisonError::into_inner);
        // An image's gradient is nobody's: `Yolox` does not use this operation where it is.
        let has_input_gradient = self.convolution.kind != ConvKind::Stem;
        let lens = [if has_input_gradient { x.elem_count() } else { 0 }, kernels.elem_count(), parameters.elem_count()];
        // All gradients in one array, as an operation of candle returns one tensor.
        let op = |x: &[f32], kernels: &[f32], gradient: &[f32]| {
            let mut out = zeros(lens.iter().sum());
            let (of_x, rest) = out.split_at_mut(lens[0]);
            let (of_kernels, of_parameters) = rest.split_at_mut(lens[1]);
            let of_y = self.norm_gradient(&between, gradient, of_parameters);
            conv.kernels_gradient(x, &of_y, of_kernels);
            if has_input_gradient {
                conv.input_gradient(&of_y, kernels, of_x);
            }
            let len = out.len();
            (out, Shape::from(len))
        };
        let plain = Plain("conv-norm-act-gradient", op);
        let all = x.apply_op3_no_bwd(&kernels.contiguous()?, &gradient.contiguous()?, &plain)?;
        let part = |i: usize, like: &Tensor| all.narrow(0, lens[..i].iter().sum(), lens[i])?.reshape(like.shape());
        let of_x = has_input_gradient.then(|| part(0, x)).transpose()?;
        Ok((of_x, Some(part(1, kernels)?), Some(part(2, parameters)?)))
    }
}

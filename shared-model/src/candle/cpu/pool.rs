//! Pooling and upsampling.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Plain, for_each_image, numbers, zeros};
use crate::kernels::pool_gradient::{max_pool_halving_gradient, max_pool_same_gradient, upsample_gradient};
use crate::kernels::simd::Instructions;
use crate::kernels::{elementwise, pool};

/// Pooling under squares of this width with stride 1, padded so that the size stays.
struct MaxPoolSame(usize);

/// The greatest of every square of `kernel` (odd) pixels around a pixel of `x` (images x channels x height x width).
///
/// # Errors
/// Fails where the tensor is not on the CPU in single precision.
pub(in super::super) fn max_pool_same(x: &Tensor, kernel: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPoolSame(kernel))
}

impl CustomOp1 for MaxPoolSame {
    fn name(&self) -> &'static str {
        "max-pool-same"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, _, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (zeros(x.len()), x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            let x = &x[i * size..][..size];
            pool::max_pool_same(team, Instructions::best(), x, height, width, self.0, out);
        });
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (batch, _, height, width) = x.dims4()?;
        let op = |x: &[f32], gradient: &[f32]| {
            let (mut out, size) = (zeros(x.len()), x.len() / batch);
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
pub(in super::super) fn max_pool_halving(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPoolHalving)
}

impl CustomOp1 for MaxPoolHalving {
    fn name(&self) -> &'static str {
        "max-pool-halving"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, channels, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (zeros(x.len() / 4), x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            pool::max_pool_halving(team, Instructions::best(), &x[i * size..][..size], width, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, height / 2, width / 2))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, _, width) = x.dims4()?;
        let op = |x: &[f32], gradient: &[f32]| {
            let mut out = zeros(x.len());
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
pub(in super::super) fn upsample(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Upsample)
}

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (batch, channels, height, width)) = (numbers(s, l)?, l.shape().dims4()?);
        let (mut out, size) = (zeros(4 * x.len()), x.len() / batch);
        for_each_image(batch, &mut out, |team, i, out| {
            elementwise::upsample(team, &x[i * size..][..size], width, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, 2 * height, 2 * width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, _, width) = x.dims4()?;
        let op = |gradient: &[f32]| {
            let mut out = zeros(gradient.len() / 4);
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

//! The network's operations made of candle's own, with their gradients: what is computed on GPUs, and on the CPU where a
//! gradient with respect to the image, or another precision, is asked for.

use candle_core::{Result, Tensor};

use crate::model::graph::{Activation, Conv, Kernel};

/// As [`crate::model::graph::Op::SpaceToDepth`].
pub(super) fn space_to_depth(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (height, width) = (height / 2, width / 2);
    let squares = x.reshape(&[batch, channels, height, 2, width, 2][..])?;
    squares.permute(vec![0, 5, 3, 1, 2, 4])?.contiguous()?.reshape((batch, 4 * channels, height, width))
}

/// The convolution alone; `kernels`: its kernel tensors.
pub(super) fn convolve(conv: &Conv, x: &Tensor, kernels: &[Tensor]) -> Result<Tensor> {
    match &conv.kernel {
        Kernel::Dense(k) => x.conv2d(&kernels[0], k / 2, conv.stride, 1, 1),
        Kernel::Depthwise(widths) => {
            // Each width has its share of the input's channels.
            let share = x.dim(1)? / widths.len();
            let part = |(i, (kernel, k)): (usize, (&Tensor, &usize))| {
                x.narrow(1, i * share, share)?.contiguous()?.conv2d(kernel, k / 2, conv.stride, 1, share)
            };
            let parts = kernels.iter().zip(widths).enumerate().map(part).collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, 1)
        }
    }
}

pub(super) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x.clone()),
        Activation::Silu => x.silu(),
        Activation::Relu => x.relu(),
        Activation::HardSigmoid => ((x + 3.0)?.clamp(0f32, 6f32)? / 6.0)?.to_dtype(x.dtype()),
    }
}

/// The greatest of every square of `kernel` (odd) pixels around a pixel. candle differentiates no pooling whose squares
/// overlap, so it is the greatest of shifted copies, along rows and then along columns. What lies beyond the border is the
/// border's pixel, which is in the square already.
pub(super) fn max_pool_same(x: &Tensor, kernel: usize) -> Result<Tensor> {
    let mut x = x.clone();
    for dim in [3, 2] {
        let size = x.dim(dim)?;
        let padded = x.pad_with_same(dim, kernel / 2, kernel / 2)?;
        x = padded.narrow(dim, 0, size)?;
        for shift in 1..kernel {
            x = x.maximum(&padded.narrow(dim, shift, size)?)?;
        }
    }
    Ok(x)
}

/// The greatest of every square of 2 x 2 pixels. The gradient of candle's own pooling is a quarter of what it should be (0.11.1: the
/// mask of the greatest is divided by the pixels of a square, not by how many are greatest).
pub(super) fn max_pool_halving(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    x.reshape((batch, channels, height / 2, 2, width / 2, 2))?.max(5)?.max(3)
}

/// Every pixel becomes a square of 2 x 2. candle's own upsampling forgets all but one of several consumers' gradients
/// (<https://github.com/huggingface/candle/issues/3507>).
pub(super) fn upsample(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let squares = x.reshape((batch, channels, height, 1, width, 1))?;
    let squares = squares.broadcast_as((batch, channels, height, 2, width, 2))?.contiguous()?;
    squares.reshape((batch, channels, 2 * height, 2 * width))
}

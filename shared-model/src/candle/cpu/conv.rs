//! A convolution of a batch, forward and backward, with what lies between its sums and its output.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Plain, for_each_image, zeros};
use crate::kernels::block::Residual;
use crate::kernels::norm::{activation_gradient, affine_gradient, moments, normalise};
use crate::kernels::parallel::Team;
use crate::kernels::simd::Instructions;
use crate::lowering::{ConvKind, Convolution, ImagePlanes, TASK_ROWS};
use crate::model::graph::Activation;
use crate::training::{Moments, NormMode, NormOrBias};

/// (batch, channels, height, width).
pub(super) type Sizes = (usize, usize, usize, usize);

/// What a convolution makes of an input of these sizes; of the stem: of the images.
pub(super) fn output_sizes(convolution: &Convolution, (batch, _, height, width): Sizes) -> Sizes {
    let stride = if convolution.kind == ConvKind::Stem { 2 } else { convolution.stride };
    (batch, convolution.channels, height / stride, width / stride)
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
    let input @ (batch, channels, height, width) = x.dims4()?;
    let output = Shape::from(output_sizes(convolution, input));
    let forward = |x: &[f32]| {
        let (of_x, weights) = (channels * height * width, convolution.forward_weights(kernels, bias, activation));
        let mut y = zeros(output.elem_count());
        for_each_image(batch, &mut y, |team, i, y| {
            weights.run(team, &x[i * of_x..][..of_x], height, width, Residual::None, y);
        });
        (y, output.clone())
    };
    x.contiguous()?.apply_op1_no_bwd(&Plain("convolution", forward))
}

/// A convolution, batch normalisation (or a bias) and activation in a pass that gradients may be asked of. An image is one
/// thread's task.
pub(super) struct ConvNormAct {
    convolution: Convolution,
    activation: Activation,
    norm: NormOrBias,
    input: Sizes,
    /// What the convolution computed.
    y: Vec<f32>,
}

impl ConvNormAct {
    /// For an input of these sizes; of the stem: for images.
    pub(super) fn new(convolution: Convolution, activation: Activation, norm: NormOrBias, input: Sizes) -> Self {
        Self { convolution, activation, norm, input, y: Vec::new() }
    }

    pub(super) fn output(&self) -> Sizes {
        output_sizes(&self.convolution, self.input)
    }

    /// Whether there is a gradient with respect to the input: not to an image.
    pub(super) fn has_input_gradient(&self) -> bool {
        self.convolution.kind != ConvKind::Stem
    }

    /// Numbers of an image of the input.
    fn of_x(&self) -> usize {
        let (_, channels, height, width) = self.input;
        channels * height * width
    }

    /// Numbers of a channel of the output.
    fn plane(&self) -> usize {
        let (_, _, height, width) = self.output();
        height * width
    }

    fn split<'a>(&self, kernels: &'a [f32]) -> Vec<&'a [f32]> {
        let Convolution { kind, channels, inputs, ref widths, .. } = self.convolution;
        let each = if kind == ConvKind::Depthwise { channels / widths.len() } else { channels * inputs };
        let mut rest = kernels;
        let lens = widths.iter().map(|k| each * k * k);
        lens.map(|len| rest.split_off(..len).expect("kernels have the numbers that their shape says")).collect()
    }

    /// The output, and `residual` added to it. `kernels`: the kernel tensors' numbers one after another; `parameters`: all that
    /// [`NormOrBias::load`] takes.
    pub(super) fn forward(
        &mut self,
        x: &[f32],
        kernels: &[f32],
        parameters: &[f32],
        mode: NormMode,
        residual: Option<&[f32]>,
    ) -> Vec<f32> {
        let (batch, _, height, width) = self.input;
        let (of_x, plane, channels, instructions) =
            (self.of_x(), self.plane(), self.convolution.channels, Instructions::best());
        let no_bias = vec![0.0; channels];
        let weights = self.convolution.forward_weights(&self.split(kernels), &no_bias, Activation::Identity);
        self.norm.load(parameters);
        let mut y = zeros(batch * channels * plane);
        let mut parts = vec![Moments::default(); batch * channels];
        let images = y.par_chunks_mut(channels * plane).zip(parts.par_chunks_mut(channels)).zip(x.par_chunks(of_x));
        images.for_each(|((y, parts), x)| {
            weights.run(&Team::alone(), x, height, width, Residual::None, y);
            if self.norm.is_batch() {
                for (part, y) in parts.iter_mut().zip(y.chunks(plane)) {
                    let (mean, m2) = moments(instructions, y);
                    *part = Moments { count: plane as f64, mean, m2 };
                }
            }
        });
        if self.norm.is_batch() {
            self.norm.observe(&parts, mode == NormMode::Batch);
        }
        let mut z = zeros(y.len());
        z.par_chunks_mut(plane).zip(y.par_chunks(plane)).enumerate().for_each(|(i, (z, y))| {
            let residual = residual.map(|residual| &residual[i * plane..][..plane]);
            normalise(instructions, self.activation, self.norm.affine[i % channels], y, residual, z);
        });
        self.y = y;
        z
    }

    /// Writes the batch's statistics to the places that the running ones have among the parameters: the variance as training
    /// or as observation takes it.
    pub(super) fn write_statistics(&self, mode: NormMode, statistics: &mut [f32]) {
        self.norm.write_statistics(mode == NormMode::Batch, statistics);
    }

    /// From the input `x` of the last forward pass and the `gradient` with respect to its output: those of kernels and of
    /// normalisation's parameters, written to `of_kernels` and `of_parameters`, which hold zeros, and that with respect to the
    /// input, written to `of_x` with `residual` added to it, where there is one. `gradient` becomes that with respect to `y`.
    pub(super) fn backward(
        &self,
        x: &[f32],
        kernels: &[f32],
        gradient: &mut [f32],
        of_x: (&mut [f32], Option<&[f32]>),
        [of_kernels, of_parameters]: [&mut [f32]; 2],
    ) {
        let (batch, _, height, width) = self.input;
        let (plane, channels, instructions) = (self.plane(), self.convolution.channels, Instructions::best());
        let mut sums = vec![(0.0, 0.0); batch * channels];
        let planes = gradient.par_chunks_mut(plane).zip(self.y.par_chunks(plane)).zip(&mut sums).enumerate();
        planes.for_each(|(i, ((gradient, y), sums))| {
            let (affine, mean) = (self.norm.affine[i % channels], self.norm.mean[i % channels]);
            *sums = activation_gradient(instructions, self.activation, affine, mean, y, gradient);
        });
        let factors = self.norm.backward(&sums, batch * plane, of_parameters);

        let weights = self.convolution.input_gradient(&self.split(kernels));
        let per_image = self.convolution.sums_up_per_image(plane);
        let mut parts = zeros(if per_image { batch * of_kernels.len() } else { 0 });
        let (of_x, residual) = of_x;
        let of_images = part_per_image(gradient, batch).into_par_iter().zip(part_per_image(of_x, batch));
        let of_images = of_images.zip(part_per_image(&mut parts, batch)).zip(x.par_chunks(self.of_x())).enumerate();
        of_images.for_each(|(i, (((gradient, of_x), of_kernels), x))| {
            for ((gradient, y), factors) in
                gradient.chunks_mut(plane).zip(self.y[i * channels * plane..].chunks(plane)).zip(&factors)
            {
                affine_gradient(instructions, *factors, y, gradient);
            }
            let residual = residual.map(|residual| &residual[i * of_x.len()..][..of_x.len()]);
            weights.run(&Team::alone(), gradient, height, width, residual.into(), of_x);
            if per_image {
                self.convolution.kernel_gradient(x, gradient, height, width, of_kernels);
            }
        });
        if per_image {
            for part in parts.chunks(of_kernels.len()) {
                of_kernels.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            return;
        }
        let gradient = ImagePlanes { numbers: gradient, start: 0, step: channels * plane };
        let x = ImagePlanes { numbers: x, start: 0, step: self.of_x() };
        of_kernels.par_chunks_mut(TASK_ROWS * self.convolution.inputs).enumerate().for_each(|(i, out)| {
            self.convolution.pointwise_rows_gradient(batch, plane, i * TASK_ROWS, gradient, x, out);
        });
    }
}

/// Each image's part of numbers, of which there may be none.
fn part_per_image(numbers: &mut [f32], batch: usize) -> Vec<&mut [f32]> {
    let (len, mut rest) = (numbers.len() / batch, numbers);
    (0..batch).map(|_| rest.split_off_mut(..len).expect("every image has as many numbers")).collect()
}

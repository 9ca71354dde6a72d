//! Convolutions behind one another as one operation of candle's: each that candle records costs the backward pass a tensor of
//! zeros and an addition to it, for the input and for every parameter.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::conv::{ConvNormAct, Sizes, output_sizes};
use super::{Plain, numbers, zeros};
use crate::lowering::Convolution;
use crate::model::graph::Activation;
use crate::training::{NormMode, NormOrBias};

/// A convolution of a chain, and where its kernels and parameters lie among all of the chain's.
struct Link {
    conv: ConvNormAct,
    kernels: Range<usize>,
    parameters: Range<usize>,
    /// Its input, unless that is the chain's.
    x: Vec<f32>,
}

struct Chain {
    input: Sizes,
    output: Sizes,
    has_input_gradient: bool,
    /// Whether the input is added to the output.
    adds_input: bool,
    mode: NormMode,
    /// What the backward pass needs beside inputs and output. Each call's own: there may be others before its gradient is
    /// asked for.
    links: Arc<Mutex<Vec<Link>>>,
}

/// What a convolution of a chain is.
pub(in super::super) struct LinkSpec<'a> {
    pub(in super::super) convolution: &'a Convolution,
    pub(in super::super) activation: Activation,
    pub(in super::super) norm: &'a NormOrBias,
    /// How many numbers its kernel tensors have.
    pub(in super::super) kernels: usize,
    /// How many numbers [`NormOrBias::load`] takes.
    pub(in super::super) parameters: usize,
}

/// `x` (images x channels x height x width; of the stem: the image) through one convolution after another, each with its
/// normalisation and activation; the input added to the last one's output if `adds_input`. `kernels` and `parameters`: all of
/// theirs, one array after another. The gradient with respect to the parameters is that of weights and biases, and 0 at
/// statistics. Also returns the places of the running statistics with the batch's, the variance as training or as observation
/// takes it.
///
/// # Errors
/// Fails where the tensors are not on the CPU in single precision.
pub(in super::super) fn chain(
    specs: &[LinkSpec],
    x: &Tensor,
    kernels: &Tensor,
    parameters: &Tensor,
    (mode, adds_input): (NormMode, bool),
) -> Result<(Tensor, Vec<f32>)> {
    let input = x.dims4()?;
    let (mut sizes, mut kernel, mut parameter) = (input, 0, 0);
    let link = |spec: &LinkSpec| {
        let conv = ConvNormAct::new(spec.convolution.clone(), spec.activation, spec.norm.clone(), sizes);
        sizes = output_sizes(spec.convolution, sizes);
        let (of_kernels, of_parameters) = (kernel..kernel + spec.kernels, parameter..parameter + spec.parameters);
        (kernel, parameter) = (of_kernels.end, of_parameters.end);
        Link { conv, kernels: of_kernels, parameters: of_parameters, x: Vec::new() }
    };
    let links: Vec<Link> = specs.iter().map(link).collect();
    let has_input_gradient = links[0].conv.has_input_gradient();
    let links = Arc::new(Mutex::new(links));
    let op = Chain { input, output: sizes, has_input_gradient, adds_input, mode, links: links.clone() };
    let z = x.contiguous()?.apply_op3(&kernels.contiguous()?, &parameters.contiguous()?, op)?;
    let mut statistics = vec![0.0; parameters.elem_count()];
    for link in links.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        link.conv.write_statistics(mode, &mut statistics[link.parameters.clone()]);
    }
    Ok((z, statistics))
}

impl Chain {
    fn forward(&self, x: &[f32], kernels: &[f32], parameters: &[f32]) -> Vec<f32> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let last = links.len() - 1;
        let mut z = Vec::new();
        for (i, link) in links.iter_mut().enumerate() {
            link.x = z;
            let from = if i == 0 { x } else { &link.x };
            let residual = (self.adds_input && i == last).then_some(x);
            let (kernels, parameters) = (&kernels[link.kernels.clone()], &parameters[link.parameters.clone()]);
            z = link.conv.forward(from, kernels, parameters, self.mode, residual);
        }
        z
    }

    /// All gradients in one array, as an operation of candle returns one tensor: with respect to the input, if there is one,
    /// to the kernels, and to the parameters, as many numbers each as `lens` says.
    fn backward(&self, x: &[f32], kernels: &[f32], gradient: &[f32], lens: [usize; 3]) -> Vec<f32> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = zeros(lens.iter().sum());
        let (of_input, rest) = out.split_at_mut(lens[0]);
        let (of_kernels, of_parameters) = rest.split_at_mut(lens[1]);
        let mut of_z: Vec<f32> = gradient.par_iter().copied().collect();
        for (i, link) in links.iter().enumerate().rev() {
            let from = if i == 0 { x } else { &link.x };
            let mut of_from = zeros(if i == 0 { 0 } else { from.len() });
            let of_x = match i {
                0 => (&mut *of_input, self.adds_input.then_some(gradient)),
                _ => (&mut of_from[..], None),
            };
            let of_both = [&mut of_kernels[link.kernels.clone()], &mut of_parameters[link.parameters.clone()]];
            link.conv.backward(from, &kernels[link.kernels.clone()], &mut of_z, of_x, of_both);
            of_z = of_from;
        }
        out
    }
}

impl CustomOp3 for Chain {
    fn name(&self) -> &'static str {
        "convolutions"
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
        let z = self.forward(numbers(s1, l1)?, numbers(s2, l2)?, numbers(s3, l3)?);
        Ok((CpuStorage::F32(z), Shape::from(self.output)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernels: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, channels, height, width) = self.input;
        // An image's gradient is nobody's: `Yolox` does not use this operation where it is.
        let of_x = if self.has_input_gradient { batch * channels * height * width } else { 0 };
        let lens = [of_x, kernels.elem_count(), parameters.elem_count()];
        let op = |x: &[f32], kernels: &[f32], gradient: &[f32]| {
            let out = self.backward(x, kernels, gradient, lens);
            let len = out.len();
            (out, Shape::from(len))
        };
        let plain = Plain("gradients-of-convolutions", op);
        let all = x.apply_op3_no_bwd(&kernels.contiguous()?, &gradient.contiguous()?, &plain)?;
        let part = |i: usize, like: &Tensor| all.narrow(0, lens[..i].iter().sum(), lens[i])?.reshape(like.shape());
        let of_x = self.has_input_gradient.then(|| part(0, x)).transpose()?;
        Ok((of_x, Some(part(1, kernels)?), Some(part(2, parameters)?)))
    }
}

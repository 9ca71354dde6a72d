//! A convolution with what follows it, as candle's users know it: tensors by their names in PyTorch, batch normalisation of
//! candle-nn.

use std::ops::Range;

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::{BatchNorm, BatchNormConfig, Init, ModuleT, VarBuilder, batch_norm};

use super::cpu::{self, By};
use super::plain;
use crate::lowering::{Convolution, Lowered};
use crate::model::fuse::multiply;
use crate::model::graph::{Affine, BN_EPS, Conv, Graph, Node, NormState, Op};
use crate::training::{NormMode, NormOrBias};

/// How far running statistics follow a batch's: PyTorch's momentum of batch normalisation, as YOLOX sets it.
const MOMENTUM: f64 = 0.03;

/// A convolution, batch normalisation or bias, and activation.
#[derive(Debug)]
pub(super) struct CandleConv {
    conv: Conv,
    convolution: Convolution,
    kernels: Vec<Tensor>,
    affine: Follows,
    norm: NormOrBias,
}

#[derive(Debug)]
enum Follows {
    Bias(Tensor),
    BatchNorm(BatchNorm),
}

impl CandleConv {
    /// That of layer `node`, with the tensors of `vb`, or with new ones as PyTorch initialises them; `None` where it is no
    /// convolution. `prior`: what its bias begins with, where that is not random.
    ///
    /// # Errors
    /// Fails where tensors are missing or have other shapes.
    pub(super) fn new(
        graph: &Graph,
        node: Node,
        lowered: &Lowered,
        prior: Option<f32>,
        vb: &VarBuilder,
    ) -> Result<Option<Self>> {
        let layer = graph.layer(node);
        let (Op::Conv(conv), Lowered::Conv { convolution, .. }) = (&layer.op, lowered) else { return Ok(None) };
        let convolution = convolution.clone();
        let (_, bias) = layer.parameter_names();
        // Weights for inference have batch normalisation multiplied into the kernels.
        let fused = conv.affine == Affine::Bias || vb.contains_tensor(&bias);
        let norm = if fused { NormState::Fused } else { NormState::Separate };
        let (mut bound, mut kernels) = (0.0, Vec::new());
        for parameter in graph.layer_parameters(layer, norm).iter().filter(|parameter| parameter.shape.len() == 4) {
            bound = 1.0 / (parameter.shape[1..].iter().product::<usize>() as f64).sqrt();
            let init = Init::Uniform { lo: -bound, up: bound };
            kernels.push(vb.get_with_hints(parameter.shape.as_slice(), &parameter.name, init)?);
        }
        let affine = if fused {
            let init = prior.map_or(Init::Uniform { lo: -bound, up: bound }, |value| Init::Const(value.into()));
            Follows::Bias(vb.get_with_hints(layer.channels, &bias, init)?)
        } else {
            let config = BatchNormConfig { eps: BN_EPS.into(), momentum: MOMENTUM, ..BatchNormConfig::default() };
            Follows::BatchNorm(batch_norm(layer.channels, config, vb.pp(format!("{}.bn", layer.name)))?)
        };
        let norm = NormOrBias::new(
            layer,
            if fused { Affine::Bias } else { Affine::BatchNorm },
            "bias",
            ranges(layer.channels),
        );
        Ok(Some(Self { conv: conv.clone(), convolution, kernels, affine, norm }))
    }

    /// By this project's kernels, on the CPU; `x` is the input, of the stem the image.
    pub(super) fn forward_cpu(&self, x: &Tensor, mode: NormMode) -> Result<Tensor> {
        if mode == NormMode::Running {
            return self.infer(x);
        }
        let kernels = match &self.kernels[..] {
            [kernel] => kernel.clone(),
            several => {
                let flat = several.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
                Tensor::cat(&flat, 0)?
            }
        };
        let by = if mode == NormMode::Batch { By::Batch } else { By::Running };
        let follows = (&self.norm, self.conv.activation, by);
        match &self.affine {
            Follows::Bias(bias) => Ok(cpu::conv_norm_act(&self.convolution, x, &kernels, bias, follows)?.0),
            Follows::BatchNorm(norm) => {
                let (mean, variance) = (norm.running_mean(), norm.running_var());
                let (weight, bias) = affine(norm);
                let parameters = Tensor::cat(&[weight, bias, &mean.detach(), &variance.detach()], 0)?;
                let (z, statistics) = cpu::conv_norm_act(&self.convolution, x, &kernels, &parameters, follows)?;
                let channels = self.convolution.channels;
                let statistics = Tensor::from_vec(statistics, 4 * channels, x.device())?;
                let [new_mean, new_variance] = [2, 3].map(|part| statistics.narrow(0, part * channels, channels));
                let momentum = if mode == NormMode::Batch { norm.momentum() } else { 1.0 };
                follow(mean, &new_mean?, momentum)?;
                follow(variance, &new_variance?, momentum)?;
                Ok(z)
            }
        }
    }

    /// Normalisation multiplied into the kernels, bias and activation in the kernels' last step.
    fn infer(&self, x: &Tensor) -> Result<Tensor> {
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let mut kernels = self.kernels.iter().map(values).collect::<Result<Vec<_>>>()?;
        let bias = match &self.affine {
            Follows::Bias(bias) => values(bias)?,
            Follows::BatchNorm(norm) => {
                let (weight, bias) = affine(norm);
                let gain = (weight / (norm.running_var() + norm.eps())?.sqrt()?)?;
                let bias = values(&(bias - (norm.running_mean() * &gain)?)?)?;
                multiply(&mut kernels, &values(&gain)?);
                bias
            }
        };
        let kernels: Vec<&[f32]> = kernels.iter().map(Vec::as_slice).collect();
        cpu::infer(&self.convolution, x, &kernels, &bias, self.conv.activation)
    }

    /// By candle's operations, on any device.
    pub(super) fn forward_plain(&self, x: &Tensor, mode: NormMode) -> Result<Tensor> {
        let y = plain::convolve(&self.conv, x, &self.kernels)?;
        let z = match &self.affine {
            Follows::Bias(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?,
            Follows::BatchNorm(norm) => {
                let z = norm.forward_t(&y, mode == NormMode::Batch)?;
                if mode == NormMode::Observe {
                    let channels = y.transpose(0, 1)?.flatten_from(1)?.to_dtype(DType::F32)?;
                    let mean = channels.mean_keepdim(1)?;
                    let variance = channels.broadcast_sub(&mean)?.sqr()?.mean(1)?;
                    follow(norm.running_mean(), &mean.squeeze(1)?, 1.0)?;
                    follow(norm.running_var(), &variance, 1.0)?;
                }
                z
            }
        };
        plain::activate(self.conv.activation, &z)
    }

    /// Running statistics follow the batch's by this part of the way from now on.
    pub(super) fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        let Follows::BatchNorm(norm) = &self.affine else { return Ok(()) };
        let (mean, variance) = (norm.running_mean().clone(), norm.running_var().clone());
        let ((weight, bias), eps) = (affine(norm), norm.eps());
        let (weight, bias) = (weight.clone(), bias.clone());
        let channels = self.convolution.channels;
        let norm = BatchNorm::new_with_momentum(channels, mean, variance, weight, bias, eps, momentum)?;
        self.affine = Follows::BatchNorm(norm);
        Ok(())
    }
}

fn affine(norm: &BatchNorm) -> (&Tensor, &Tensor) {
    norm.weight_and_bias().expect("it was made with them")
}

/// Running statistics become `momentum` new and else what they were.
fn follow(running: &Tensor, new: &Tensor, momentum: f64) -> Result<()> {
    let new = ((running.detach() * (1.0 - momentum))? + (new * momentum)?)?;
    Var::from_tensor(running)?.set(&new)
}

/// Where [`NormOrBias`] finds a layer's parameters in an array of them alone: weights, biases, running means, running variances, or
/// just biases.
fn ranges(channels: usize) -> impl Fn(&str) -> Range<usize> {
    move |name| {
        let fields = [".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"];
        let field = fields.iter().position(|field| name.ends_with(field)).unwrap_or(0);
        field * channels..(field + 1) * channels
    }
}

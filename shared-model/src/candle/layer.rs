//! A convolution with what follows it, as candle's users know it: tensors by their names in PyTorch, batch normalisation of
//! candle-nn.

use std::ops::Range;

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::{BatchNorm, BatchNormConfig, Init, ModuleT, VarBuilder, batch_norm};

use super::cpu::{self, LinkSpec};
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

    /// By this project's kernels, on the CPU, for inference; `x` is the input, of the stem the image. Normalisation is multiplied
    /// into the kernels, bias and activation are in the kernels' last step.
    pub(super) fn infer_cpu(&self, x: &Tensor) -> Result<Tensor> {
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

    fn link(&self) -> LinkSpec<'_> {
        let channels = self.convolution.channels;
        LinkSpec {
            convolution: &self.convolution,
            activation: self.conv.activation,
            norm: &self.norm,
            kernels: self.kernels.iter().map(Tensor::elem_count).sum(),
            parameters: match self.affine {
                Follows::Bias(_) => channels,
                Follows::BatchNorm(_) => 4 * channels,
            },
        }
    }

    /// What [`NormOrBias::load`] takes, array after array.
    fn parameters(&self) -> Vec<Tensor> {
        match &self.affine {
            Follows::Bias(bias) => vec![bias.clone()],
            Follows::BatchNorm(norm) => {
                let (weight, bias) = affine(norm);
                vec![weight.clone(), bias.clone(), norm.running_mean().detach(), norm.running_var().detach()]
            }
        }
    }

    /// Running statistics follow those of a batch, which have their places among the parameters.
    fn follow(&self, batch: &Tensor, mode: NormMode) -> Result<()> {
        let Follows::BatchNorm(norm) = &self.affine else { return Ok(()) };
        let channels = self.convolution.channels;
        let momentum = if mode == NormMode::Batch { norm.momentum() } else { 1.0 };
        follow(norm.running_mean(), &batch.narrow(0, 2 * channels, channels)?, momentum)?;
        follow(norm.running_var(), &batch.narrow(0, 3 * channels, channels)?, momentum)
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

/// Convolutions behind one another by this project's kernels, on the CPU, with gradients; `x` is the first one's input, of the
/// stem the image. It is added to the last one's output if `adds_input`.
///
/// # Errors
/// Fails where a tensor is not on the CPU in single precision.
pub(super) fn chain_cpu(convs: &[&CandleConv], x: &Tensor, mode: NormMode, adds_input: bool) -> Result<Tensor> {
    let links: Vec<LinkSpec> = convs.iter().map(|conv| conv.link()).collect();
    let kernels = convs.iter().flat_map(|conv| &conv.kernels).map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    let parameters: Vec<Tensor> = convs.iter().flat_map(|conv| conv.parameters()).collect();
    let (kernels, parameters) = (Tensor::cat(&kernels, 0)?, Tensor::cat(&parameters, 0)?);
    let (z, statistics) = cpu::chain(&links, x, &kernels, &parameters, (mode, adds_input))?;
    let statistics = Tensor::new(statistics, x.device())?;
    let mut start = 0;
    for (conv, link) in convs.iter().zip(&links) {
        conv.follow(&statistics.narrow(0, start, link.parameters)?, mode)?;
        start += link.parameters;
    }
    Ok(z)
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

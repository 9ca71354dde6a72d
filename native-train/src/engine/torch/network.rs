//! A graph as operations of libtorch.

use shared_model::Graph;
use shared_model::graph::{Activation, Affine, BN_EPS, Conv, HeadLevel, Kernel, Node, Op};
use tch::{Kind, TchError, Tensor};

use super::parameters::ParameterPlan;

/// A network's layers, and where their parameters are among those of [`ParameterPlan`].
#[derive(Debug)]
pub(super) struct TorchNetwork {
    graph: Graph,
    /// For each layer, how many kernels, affine parameters and statistics come before its own.
    first: Vec<First>,
    /// For each layer, the outputs that no later one reads.
    finished: Vec<Vec<Node>>,
    /// What activations and kernels are computed in.
    kind: Kind,
    /// Whether a pixel's channels lie side by side in memory.
    channels_last: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct First {
    kernel: usize,
    affine: usize,
    statistic: usize,
}

/// The tensors of each section of [`ParameterPlan`].
#[derive(Debug)]
pub(super) struct Parameters {
    kernels: Vec<Tensor>,
    affine: Vec<Tensor>,
    statistics: Vec<Tensor>,
}

/// What a forward pass normalises by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Normalisation<'a> {
    /// The batch's statistics, mean and unbiased variance of which are written to these tensors, which hold zeros.
    Batch(&'a [Tensor]),
    /// The running statistics.
    Running,
    /// The running statistics; mean and biased variance of the batch are written to these tensors.
    Observe(&'a [Tensor]),
}

impl Normalisation<'_> {
    /// The mode of a layer whose statistics come after `first` others.
    fn from(self, first: usize) -> Self {
        match self {
            Self::Batch(statistics) => Self::Batch(&statistics[first..]),
            Self::Running => self,
            Self::Observe(statistics) => Self::Observe(&statistics[first..]),
        }
    }
}

impl TorchNetwork {
    pub(super) fn new(graph: &Graph, kind: Kind, channels_last: bool) -> Self {
        let mut next = First::default();
        let mut first = Vec::new();
        let mut finished = vec![Vec::new(); graph.layers.len()];
        for (i, layer) in graph.layers.iter().enumerate() {
            first.push(next);
            if let Op::Conv(conv) = &layer.op {
                next.kernel += layer.parameter_names().0.len();
                next.affine += if conv.affine == Affine::Bias { 1 } else { 2 };
                next.statistic += if conv.affine == Affine::Bias { 0 } else { 2 };
            }
            let node = Node(i);
            let is_output = graph.head.iter().any(|level| [level.reg, level.obj, level.cls].contains(&node));
            let last = graph.layers.iter().rposition(|layer| layer.inputs.contains(&node));
            if let Some(last) = last.filter(|_| !is_output) {
                finished[last].push(node);
            }
        }
        Self { graph: graph.clone(), first, finished, kind, channels_last }
    }

    pub(super) fn classes(&self) -> usize {
        self.graph.classes
    }

    /// Takes the sections of `places` apart; kernels become what they are computed in.
    pub(super) fn parameters(
        &self,
        ranges: &ParameterPlan,
        [kernels, affine, statistics]: [&Tensor; 3],
    ) -> Result<Parameters, TchError> {
        Ok(Parameters {
            kernels: ranges.kernels.tensors(&kernels.f_to_kind(self.kind)?)?,
            affine: ranges.affine.tensors(affine)?,
            statistics: ranges.statistics.tensors(statistics)?,
        })
    }

    /// From `pixels` (images x 3 x height x width, of any type) to the raw head output: images x anchors x (5 +
    /// classes), of type [`Kind::Float`].
    pub(super) fn forward(
        &self,
        pixels: &Tensor,
        parameters: &Parameters,
        mode: Normalisation,
    ) -> Result<Tensor, TchError> {
        let mut outputs: Vec<Option<Tensor>> = Vec::new();
        for (i, layer) in self.graph.layers.iter().enumerate() {
            let inputs: Vec<&Tensor> =
                layer.inputs.iter().map(|&Node(input)| outputs[input].as_ref().expect("it is still needed")).collect();
            let output = match &layer.op {
                Op::Input => pixels.f_to_kind(self.kind)?,
                Op::SpaceToDepth => self.space_to_depth(inputs[0])?,
                Op::Conv(conv) => self.conv(Node(i), conv, inputs[0], parameters, mode)?,
                Op::MaxPool { kernel, stride } => {
                    let (kernel, stride) = (*kernel as i64, *stride as i64);
                    let padding = if stride == 1 { kernel / 2 } else { 0 };
                    inputs[0].f_max_pool2d([kernel; 2], [stride; 2], [padding; 2], [1; 2], false)?
                }
                Op::GlobalAvgPool => inputs[0].f_mean_dim([2_i64, 3].as_slice(), true, None)?,
                Op::Upsample => {
                    let (_, _, height, width) = inputs[0].size4()?;
                    inputs[0].f_upsample_nearest2d([2 * height, 2 * width], None, None)?
                }
                Op::Concat => Tensor::f_cat(&inputs, 1)?,
                Op::Add => inputs[0].f_add(inputs[1])?,
                Op::Scale => inputs[0].f_mul(inputs[1])?,
            };
            outputs.push(Some(output));
            for &Node(input) in &self.finished[i] {
                outputs[input] = None;
            }
        }
        let output = |Node(node): Node| outputs[node].as_ref().expect("outputs are kept");
        let level = |level: &HeadLevel| {
            let rows = Tensor::f_cat(&[output(level.reg), output(level.obj), output(level.cls)], 1)?;
            rows.f_flatten(2, 3)?.f_transpose(1, 2)
        };
        let levels = self.graph.head.iter().map(level).collect::<Result<Vec<_>, _>>()?;
        Tensor::f_cat(&levels, 1)?.f_to_kind(Kind::Float)
    }

    /// In YOLOX's order: top-left, bottom-left, top-right, bottom-right.
    fn space_to_depth(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (images, channels, height, width) = x.size4()?;
        let (height, width) = (height / 2, width / 2);
        let squares = x.f_view([images, channels, height, 2, width, 2])?;
        if self.channels_last {
            let pixels = squares.f_permute([0, 2, 4, 5, 3, 1])?.f_reshape([images, height, width, 4 * channels])?;
            pixels.f_permute([0, 3, 1, 2])
        } else {
            squares.f_permute([0, 5, 3, 1, 2, 4])?.f_reshape([images, 4 * channels, height, width])
        }
    }

    fn conv(
        &self,
        node: Node,
        conv: &Conv,
        x: &Tensor,
        parameters: &Parameters,
        mode: Normalisation,
    ) -> Result<Tensor, TchError> {
        let First { kernel, affine, statistic } = self.first[node.0];
        let kernels = &parameters.kernels[kernel..];
        let affine = &parameters.affine[affine..];
        let bias = if conv.affine == Affine::Bias { Some(affine[0].f_to_kind(self.kind)?) } else { None };
        let stride = [conv.stride as i64; 2];
        let convolve = |x: &Tensor, kernel: &Tensor, groups: i64| {
            let padding = kernel.size()[2] / 2;
            x.f_conv2d(kernel, bias.as_ref(), stride, [padding; 2], [1; 2], groups)
        };
        let sums = match &conv.kernel {
            Kernel::Dense(_) => convolve(x, &kernels[0], 1)?,
            Kernel::Depthwise(widths) => {
                // Each width has its share of the input's channels.
                let share = x.size()[1] / widths.len() as i64;
                let part = |i: usize| {
                    let x = if widths.len() == 1 { x.shallow_clone() } else { x.f_narrow(1, i as i64 * share, share)? };
                    convolve(&x, &kernels[i], share)
                };
                let mut parts = (0..widths.len()).map(part).collect::<Result<Vec<_>, _>>()?;
                if parts.len() == 1 { parts.remove(0) } else { Tensor::f_cat(&parts, 1)? }
            }
        };
        let normalised = match conv.affine {
            Affine::Bias => sums,
            Affine::BatchNorm => normalise(&sums, affine, &parameters.statistics[statistic..], mode.from(statistic))?,
        };
        match conv.activation {
            Activation::Identity => Ok(normalised),
            Activation::Silu => normalised.f_silu(),
            Activation::Relu => normalised.f_relu(),
            Activation::HardSigmoid => normalised.f_hardsigmoid(),
        }
    }
}

/// Batch normalisation of `sums`; of each slice the first tensors count: weight and bias, mean and variance.
fn normalise(sums: &Tensor, affine: &[Tensor], running: &[Tensor], mode: Normalisation) -> Result<Tensor, TchError> {
    let by = |mean: &Tensor, variance: &Tensor, is_training: bool, momentum: f64| {
        let (weight, bias) = (&affine[0], &affine[1]);
        let eps = f64::from(BN_EPS);
        sums.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), is_training, momentum, eps, true)
    };
    match mode {
        // With a momentum of 1 the batch's statistics take the running ones' place, at no cost.
        Normalisation::Batch(statistics) => {
            let (images, _, height, width) = sums.size4()?;
            // A single number's unbiased variance is 0 by 0 in libtorch, and goes where nobody reads it.
            let is_single = images * height * width == 1;
            let variance = if is_single { statistics[1].f_zeros_like()? } else { statistics[1].shallow_clone() };
            by(&statistics[0], &variance, true, 1.0)
        }
        Normalisation::Running => by(&running[0], &running[1], false, 0.0),
        Normalisation::Observe(statistics) => {
            let (variance, mean) =
                sums.f_to_kind(Kind::Float)?.f_var_mean_correction([0_i64, 2, 3].as_slice(), 0, false)?;
            statistics[0].shallow_clone().f_copy_(&mean)?;
            statistics[1].shallow_clone().f_copy_(&variance)?;
            by(&running[0], &running[1], false, 0.0)
        }
    }
}

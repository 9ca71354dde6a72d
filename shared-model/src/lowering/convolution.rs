//! Which kernels compute a convolution, forward and backward.

use candle_core::{Result, bail};

use crate::kernels::block::Residual;
use crate::kernels::depthwise::{DepthwiseWeights, depthwise};
use crate::kernels::depthwise_gradient::{DepthwiseShape, kernel_gradient};
use crate::kernels::gemm::PackedWeights;
use crate::kernels::parallel::Team;
use crate::kernels::pointwise::pointwise;
use crate::kernels::products::{Planes, Stretches, add_products};
use crate::kernels::simd::{Instructions, MOST_LANES};
use crate::kernels::stem::{StemWeights, stem};
use crate::kernels::stem_gradient::stem_gradient;
use crate::model::graph::{Activation, Conv, Graph, Kernel, Node, Op};

/// Planes of fewer pixels are summed up over all images at once: each alone is too short for a tile of products.
const SMALL: usize = 1024;

/// Numbers of all channels of input and output whose products are summed up at once: they stay in a core's own cache.
const STRETCH: usize = 1 << 17;

/// Rows of a weight matrix that are one task.
pub(crate) const TASK_ROWS: usize = 8;

/// A convolution's shape, and what computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// What computes it.
    pub kind: ConvKind,
    /// Output channels.
    pub channels: usize,
    /// Input channels.
    pub inputs: usize,
    /// Pixels between neighbouring output values.
    pub stride: usize,
    /// Width of each kernel tensor's kernels.
    pub widths: Vec<usize>,
}

/// A kind of convolution that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvKind {
    /// Space-to-depth and a dense 3x3 in one: computed from the image.
    Stem,
    /// Dense 1x1.
    Pointwise,
    /// One input channel an output channel: 3, 5, 7 or 9 wide, stride 1 or 2.
    Depthwise,
}

/// Kernels, bias and activation as a forward pass takes them.
pub(crate) enum ForwardWeights {
    Stem(StemWeights),
    Pointwise(PackedWeights),
    Depthwise(DepthwiseWeights),
}

/// Kernels as the gradient with respect to the input takes them.
pub(crate) enum InputGradient {
    /// An image needs none.
    Stem,
    Pointwise(PackedWeights),
    Depthwise(Vec<DepthwiseWeights>),
}

impl Convolution {
    /// That of layer `node`, which is `conv`.
    ///
    /// # Errors
    /// Fails for a convolution that has no kernel.
    pub(super) fn of(graph: &Graph, node: Node, conv: &Conv) -> Result<Self> {
        let layer = graph.layer(node);
        let after_space_to_depth = graph.layer(layer.inputs[0]).op == Op::SpaceToDepth;
        let (kind, widths) = match &conv.kernel {
            Kernel::Depthwise(widths)
                if widths.iter().all(|k| [3, 5, 7, 9].contains(k)) && [1, 2].contains(&conv.stride) =>
            {
                (ConvKind::Depthwise, widths.clone())
            }
            Kernel::Dense(3) if conv.stride == 1 && after_space_to_depth => (ConvKind::Stem, vec![3]),
            Kernel::Dense(1) if conv.stride == 1 && !after_space_to_depth => (ConvKind::Pointwise, vec![1]),
            _ => bail!("{}: there is no kernel for {}", layer.name, layer.op),
        };
        let (channels, inputs) = (layer.channels, graph.channels_in(layer));
        Ok(Self { kind, channels, inputs, stride: conv.stride, widths })
    }

    /// `kernels`: the numbers of each kernel tensor; `bias`: one number an output channel.
    pub(crate) fn forward_weights(&self, kernels: &[&[f32]], bias: &[f32], activation: Activation) -> ForwardWeights {
        let instructions = Instructions::best();
        match self.kind {
            ConvKind::Stem => ForwardWeights::Stem(StemWeights::new(kernels[0], bias, activation, instructions)),
            ConvKind::Pointwise => {
                ForwardWeights::Pointwise(PackedWeights::new(kernels[0], bias, activation, instructions))
            }
            ConvKind::Depthwise => {
                let kernels = self.widths.iter().copied().zip(kernels.iter().map(|values| values.to_vec())).collect();
                let weights = DepthwiseWeights::new(kernels, bias.to_vec(), activation, self.stride, instructions);
                ForwardWeights::Depthwise(weights)
            }
        }
    }

    /// `kernels` as in [`Convolution::forward_weights`].
    pub(crate) fn input_gradient(&self, kernels: &[&[f32]]) -> InputGradient {
        let instructions = Instructions::best();
        match self.kind {
            ConvKind::Stem => InputGradient::Stem,
            ConvKind::Pointwise => {
                let mut transposed = vec![0.0; kernels[0].len()];
                for (o, row) in kernels[0].chunks_exact(self.inputs).enumerate() {
                    for (c, &value) in row.iter().enumerate() {
                        transposed[c * self.channels + o] = value;
                    }
                }
                let no_bias = vec![0.0; self.inputs];
                let linear = Activation::Identity;
                InputGradient::Pointwise(PackedWeights::new(&transposed, &no_bias, linear, instructions))
            }
            ConvKind::Depthwise => {
                let kernels: Vec<(usize, &[f32])> = self.widths.iter().copied().zip(kernels.iter().copied()).collect();
                let weights = DepthwiseWeights::of_input_gradient(&kernels, self.inputs, self.stride, instructions);
                InputGradient::Depthwise(weights)
            }
        }
    }

    /// Whether each image's share of the kernels' gradient is computed with the image, where output planes have `plane`
    /// numbers.
    pub(crate) fn sums_up_per_image(&self, plane: usize) -> bool {
        self.kind != ConvKind::Pointwise || plane >= SMALL
    }

    /// Writes one image's share of the kernels' gradient (tensor after tensor) to `out`, which holds zeros; from its input
    /// `x` (of the stem: the image) of `height` x `width` pixels and the `gradient` with respect to its output.
    pub(crate) fn kernel_gradient(&self, x: &[f32], gradient: &[f32], height: usize, width: usize, out: &mut [f32]) {
        let instructions = Instructions::best();
        match self.kind {
            ConvKind::Stem => stem_gradient(instructions, x, height, width, gradient, out),
            ConvKind::Pointwise => {
                let plane = height * width;
                let starts = |channels: usize, at: usize| (0..channels).map(|c| c * plane + at).collect::<Vec<_>>();
                let parts = (plane * (self.channels + self.inputs)).div_ceil(STRETCH);
                // In whole vectors, so that those of the next part begin where cache lines do.
                let len = plane.div_ceil(parts).next_multiple_of(MOST_LANES);
                for at in (0..plane).step_by(len) {
                    let (rows, columns) = (starts(self.channels, at), starts(self.inputs, at));
                    let stretches = Stretches { count: 1, len: len.min(plane - at), steps: (0, 0) };
                    let rows = Planes { numbers: gradient, starts: &rows };
                    let columns = Planes { numbers: x, starts: &columns };
                    add_products(instructions, rows, columns, stretches, out);
                }
            }
            ConvKind::Depthwise => {
                let (widths, stride, inputs, outputs) = (&self.widths[..], self.stride, self.inputs, self.channels);
                let shape = DepthwiseShape { widths, stride, inputs, outputs, height, width };
                kernel_gradient(instructions, shape, x, gradient, out);
            }
        }
    }

    /// Of a pointwise convolution, the gradient of the kernel's rows from `first` on, from all `images` at once: `out` (rows x
    /// inputs). Of each image, `gradient` and `x` tell where its planes of `plane` numbers begin, and how many numbers
    /// from an image to the next.
    pub(crate) fn pointwise_rows_gradient(
        &self,
        images: usize,
        plane: usize,
        first: usize,
        gradient: ImagePlanes,
        x: ImagePlanes,
        out: &mut [f32],
    ) {
        let rows: Vec<usize> = (first..first + out.len() / self.inputs).map(|o| gradient.start + o * plane).collect();
        let columns: Vec<usize> = (0..self.inputs).map(|c| x.start + c * plane).collect();
        let stretches = Stretches { count: images, len: plane, steps: (gradient.step, x.step) };
        out.fill(0.0);
        let rows = Planes { numbers: gradient.numbers, starts: &rows };
        let columns = Planes { numbers: x.numbers, starts: &columns };
        add_products(Instructions::best(), rows, columns, stretches, out);
    }
}

/// Planes of the images of a batch.
#[derive(Clone, Copy)]
pub(crate) struct ImagePlanes<'a> {
    pub(crate) numbers: &'a [f32],
    /// The first image's first plane.
    pub(crate) start: usize,
    /// Numbers from an image to the next.
    pub(crate) step: usize,
}

impl ForwardWeights {
    /// Computes one image: `x` (of the stem: the image) of `height` x `width` pixels.
    ///
    /// # Panics
    /// Panics where the stem shall add something: it has no residual.
    pub(crate) fn run(&self, team: &Team, x: &[f32], height: usize, width: usize, residual: Residual, out: &mut [f32]) {
        match self {
            Self::Stem(weights) => {
                assert!(matches!(residual, Residual::None), "nothing is added to the first convolution");
                stem(team, weights, x, height, width, out);
            }
            Self::Pointwise(weights) => pointwise(team, weights, x, residual, out),
            Self::Depthwise(weights) => depthwise(team, weights, x, height, width, residual, out),
        }
    }
}

impl InputGradient {
    /// From the `gradient` with respect to the output of one image that with respect to the input, `of_input`, whose size is
    /// `height` x `width`.
    pub(crate) fn run(
        &self,
        team: &Team,
        gradient: &[f32],
        height: usize,
        width: usize,
        residual: Residual,
        of_input: &mut [f32],
    ) {
        match self {
            Self::Stem => {}
            Self::Pointwise(weights) => pointwise(team, weights, gradient, residual, of_input),
            Self::Depthwise(weights) => {
                for (i, weights) in weights.iter().enumerate() {
                    let residual = if i > 0 { Residual::Accumulate } else { residual };
                    depthwise(team, weights, gradient, height, width, residual, of_input);
                }
            }
        }
    }
}

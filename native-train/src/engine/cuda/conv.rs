//! The commands of a convolution with normalisation and activation.

use shared_model::NormRanges;
use shared_model::graph::Node;
use shared_model::training::NormMode;

use super::device::{Argument, Offset, Product, Transposed};
use super::layers::{CudaConv, CudaKernel, DepthwiseGroup};
use super::memory::Memory;
use super::programs::{Builder, LITTLE};
use Argument::{At, Int, Nothing};

/// Output channels of a block of the stem's kernels, and the weights of each (`kernels/stem.cu`).
const STEM_GROUP: usize = 16;
const STEM_TAPS: usize = 108;
/// Pixels of the image's half that a block of the stem deals with at least.
const STEM_PIXELS: usize = 2048;
/// Blocks for the gradient of the stem's weights, at most: the last one adds up what all of them leave.
const STEM_BLOCKS: usize = 528;

/// Numbers that a block leaves of a channel's moments (`Part` in `kernels/moments.cu`).
const MOMENTS: usize = 4;

impl Builder<'_> {
    pub(super) fn conv_forward(&mut self, node: Node, conv: &CudaConv, mode: NormMode) {
        let (count, channels) = (self.count(node), conv.channels);
        let (x, sums) = (self.out(conv.input), self.sums(node));
        let memory = self.memory;
        match &conv.kind {
            CudaKernel::Stem(weights) => {
                let groups = channels.div_ceil(STEM_GROUP);
                let grid = self.grid(count, groups, STEM_PIXELS);
                let arguments = [At(memory.pixels), At(memory.parameters + weights), At(sums), Int(channels as i32)];
                let moments = self.moments(conv, 0, mode, (grid.0, channels));
                let sizes = self.sizes(self.plan.height, self.plan.width);
                self.launch("stem", grid, arguments.into_iter().chain(sizes).chain(moments).collect());
            }
            CudaKernel::Pointwise(weights) => {
                let product = Product {
                    left: (memory.parameters + weights, Transposed::No),
                    right: (x, Transposed::No),
                    out: sums,
                    rows: channels,
                    columns: count,
                    inner: conv.inputs,
                    accumulates: false,
                };
                self.product(product);
                if mode != NormMode::Running && matches!(conv.norm, NormRanges::BatchNorm { .. }) {
                    let grid = self.sums_grid(count, channels);
                    let moments = self.moments(conv, 0, mode, grid);
                    self.launch("moments", grid, [At(sums), Int(count as i32)].into_iter().chain(moments).collect());
                }
            }
            CudaKernel::Depthwise { multiplier, groups } => {
                let (height, width) = self.size(conv.input);
                for group in groups {
                    let grid = self.sums_grid(count, group.channels.len());
                    let arguments = [
                        self.input_of(conv.input, x, group, *multiplier),
                        At(memory.parameters + group.weights),
                        self.channel_of(node, sums, group.channels.start),
                        Int(*multiplier as i32),
                    ];
                    let moments = self.moments(conv, group.channels.start, mode, grid);
                    let sizes = self.sizes(height, width);
                    let kernel = format!("depthwise_{}_{}", group.kernel, conv.stride);
                    self.launch(&kernel, grid, arguments.into_iter().chain(sizes).chain(moments).collect());
                }
            }
        }
        let shortcut = conv.shortcut.map_or(Nothing, |shortcut| At(self.out(shortcut)));
        let (count, activation) = (Int(count as i32), Int(conv.activation));
        let arguments = vec![At(sums), self.channel(conv, 0), shortcut, At(self.out(node)), count, activation];
        self.launch("normalise", self.elementwise_grid(node, channels), arguments);
    }

    /// From the gradient with respect to the output, those of the parameters and of the input; the latter is added to
    /// what lies there if it `accumulates`.
    pub(super) fn conv_backward(&mut self, node: Node, conv: &CudaConv, accumulates: bool) {
        let (count, channels) = (self.count(node), conv.channels);
        let (sums, gradient, states) = (self.sums(node), self.gradient(node), self.channel(conv, 0));
        let memory = self.memory;
        let grid = self.sums_grid(count, channels);
        let (of_weight, of_bias) = match &conv.norm {
            NormRanges::Bias(bias) => (Nothing, At(memory.update + bias.start)),
            NormRanges::BatchNorm { weight, bias, .. } => {
                (At(memory.update + weight.start), At(memory.update + bias.start))
            }
        };
        let parts = self.parts(grid, 2);
        let (length, activation) = (Int(count as i32), Int(conv.activation));
        let counters = At(memory.counters);
        let arguments = vec![At(sums), At(gradient), states, length, activation, parts, counters, of_weight, of_bias];
        self.launch("normalise_backward_sums", grid, arguments);
        if !conv.is_linear() {
            let arguments = vec![At(sums), At(gradient), states, length, activation];
            self.launch("normalise_backward", self.elementwise_grid(node, channels), arguments);
        }

        let (x, of_x) = (self.out(conv.input), self.gradient(conv.input));
        match &conv.kind {
            CudaKernel::Stem(weights) => {
                let groups = channels.div_ceil(STEM_GROUP);
                let grid = (STEM_BLOCKS.min(count.div_ceil(STEM_PIXELS)), groups);
                let parts = self.parts(grid, STEM_GROUP * STEM_TAPS);
                let arguments = [At(memory.pixels), At(gradient), At(memory.update + weights), Int(channels as i32)];
                let sizes = self.sizes(self.plan.height, self.plan.width);
                let arguments = arguments.into_iter().chain(sizes).chain([parts, counters]).collect();
                self.launch("stem_weight_gradient", grid, arguments);
            }
            CudaKernel::Pointwise(weights) => {
                self.product(Product {
                    left: (memory.parameters + weights, Transposed::Yes),
                    right: (gradient, Transposed::No),
                    out: of_x,
                    rows: conv.inputs,
                    columns: count,
                    inner: channels,
                    accumulates,
                });
                self.product(Product {
                    left: (gradient, Transposed::No),
                    right: (x, Transposed::Yes),
                    out: memory.update + weights,
                    rows: channels,
                    columns: conv.inputs,
                    inner: count,
                    accumulates: false,
                });
            }
            CudaKernel::Depthwise { multiplier, groups } => {
                for group in groups {
                    self.depthwise_backward(node, conv, *multiplier, group, accumulates);
                }
            }
        }
    }

    fn depthwise_backward(
        &mut self,
        node: Node,
        conv: &CudaConv,
        multiplier: usize,
        group: &DepthwiseGroup,
        accumulates: bool,
    ) {
        let memory = self.memory;
        let (height, width) = self.size(conv.input);
        let (count, count_in) = (self.count(node), self.count(conv.input));
        let (channels, inputs) = (group.channels.len(), group.channels.len() / multiplier);
        let gradient = self.channel_of(node, self.gradient(node), group.channels.start);
        let x = self.input_of(conv.input, self.out(conv.input), group, multiplier);
        let of_x = self.input_of(conv.input, self.gradient(conv.input), group, multiplier);
        let sizes = self.sizes(height, width);
        let (k, stride, multiplier) = (group.kernel, conv.stride, Int(multiplier as i32));

        let grid = self.grid(count_in, inputs, LITTLE);
        let arguments = [gradient, At(memory.parameters + group.weights), of_x, multiplier];
        let arguments = arguments.into_iter().chain(sizes).chain([Int(accumulates.into())]).collect();
        self.launch(&format!("depthwise_input_gradient_{k}_{stride}"), grid, arguments);

        let grid = self.sums_grid(count, channels);
        let parts = self.parts(grid, k * k);
        let arguments = [x, gradient, At(memory.update + group.weights), multiplier];
        let arguments = arguments.into_iter().chain(sizes).chain([parts, At(memory.counters)]).collect();
        self.launch(&format!("depthwise_weight_gradient_{k}_{stride}"), grid, arguments);
    }

    /// The kernels' `MOMENTS_PARAMETERS` for the channels from `first` on.
    fn moments(&mut self, conv: &CudaConv, first: usize, mode: NormMode, grid: (usize, usize)) -> [Argument; 8] {
        let Memory { parameters, update, counters, .. } = *self.memory;
        let NormRanges::BatchNorm { weight, bias, running_mean, running_var } = &conv.norm else {
            return [Int(0), Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
        };
        let parameter = |offset: usize| At(parameters + offset + first);
        [
            Int(mode as i32),
            self.parts(grid, MOMENTS),
            At(counters),
            parameter(weight.start),
            parameter(bias.start),
            At(update + running_mean.start + first),
            At(update + running_var.start + first),
            self.channel(conv, first),
        ]
    }

    fn sizes(&self, height: usize, width: usize) -> [Argument; 3] {
        [self.images, height, width].map(|n| Int(n as i32))
    }

    fn elementwise_grid(&self, node: Node, channels: usize) -> (usize, usize) {
        self.grid(self.count(node), channels, LITTLE)
    }

    /// The channels of `values`, which are layer `node`'s, from `channel` on.
    fn channel_of(&self, node: Node, values: Offset, channel: usize) -> Argument {
        At(values + channel * self.count(node))
    }

    /// The channels of the input that a group reads.
    fn input_of(&self, input: Node, values: Offset, group: &DepthwiseGroup, multiplier: usize) -> Argument {
        self.channel_of(input, values, group.channels.start / multiplier)
    }
}

//! The commands that compute a network's passes for batches of one size.

use anyhow::{Result, ensure};
use shared_model::Graph;
use shared_model::graph::{HeadColumns, Node};
use shared_model::lowering::{Lowered, out_of_place};
use shared_model::training::{GradientMove, NormMode, TrainingPlan};

use super::device::{Argument, Command, Launch, Offset, Product, Program, THREADS};
use super::layers::CudaConv;
use super::memory::{CHANNEL, Memory};
use Argument::{At, Int, Nothing};

/// Numbers that a block of a kernel deals with at least, where one number is little work.
pub(super) const LITTLE: usize = 4 * THREADS;
/// Numbers that a block adds up at least.
const SUMMED: usize = 16 * THREADS;
/// Blocks that keep every GPU busy.
const MANY_BLOCKS: usize = 4096;
/// Shared memory that every GPU has for a block, in bytes.
const SHARED: usize = 48 << 10;
/// Numbers of a value's channel: indices have 32 bits, and loops go beyond the last number.
const MOST_NUMBERS: usize = 1 << 29;

/// Writes the commands of one pass.
pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    lowered: &'a [Lowered],
    pub(super) convolutions: &'a [Option<CudaConv>],
    pub(super) plan: &'a TrainingPlan,
    pub(super) memory: &'a Memory,
    pub(super) images: usize,
    /// Tapped layers, in order of execution.
    pub(super) taps: &'a [Node],
    pub(super) commands: Vec<Command>,
    /// Numbers that the kernels' parts take at most.
    pub(super) most_parts: usize,
}

/// The programs of a size, and what memory they take in all.
pub(super) struct Programs {
    pub(super) forward: [Program; 3],
    pub(super) backward: Program,
    /// Backward with gradients that begin at tapped layers.
    pub(super) backward_tapped: Program,
    /// Forward and backward of a lesson, without what is behind the last tap and with it.
    pub(super) lessons: [(Program, Program); 2],
    /// The loss of tapped layers against the teacher's, outside lessons and in one.
    pub(super) feature_loss: [Program; 2],
    pub(super) memory: usize,
}

impl Programs {
    /// # Errors
    /// Fails for batches too large to be counted with 32 bits.
    pub(super) fn new(
        graph: &Graph,
        lowered: &[Lowered],
        convolutions: &[Option<CudaConv>],
        plan: &TrainingPlan,
        memory: &Memory,
        images: usize,
        taps: &[Node],
    ) -> Result<Self> {
        let numbers = images * plan.height * plan.width;
        ensure!(
            numbers <= MOST_NUMBERS,
            "{images} images of {} x {} pixels are too many for one batch: give a smaller --batch",
            plan.width,
            plan.height
        );
        for (i, layer) in graph.layers.iter().enumerate() {
            let (h, w) = layer.resolution.size(plan.height, plan.width);
            let pools = matches!(lowered[i], Lowered::MaxPoolSame(_));
            ensure!(
                !pools || 4 * h * w <= SHARED,
                "{}: the GPU has no room for {h} x {w} numbers of layer {i}: give a smaller --size",
                layer.name
            );
        }
        let mut most_parts = 0;
        let mut write = |pass: &dyn Fn(&mut Builder)| {
            let (commands, most) = (Vec::new(), 0);
            let mut builder =
                Builder { graph, lowered, convolutions, plan, memory, images, taps, commands, most_parts: most };
            pass(&mut builder);
            most_parts = most_parts.max(builder.most_parts);
            Program::new(builder.commands)
        };
        let modes = [NormMode::Running, NormMode::Batch, NormMode::Observe];
        let forward = modes.map(|mode| write(&|builder| builder.forward(mode, TapUse::Unused, graph.layers.len())));
        let backward = write(&|builder| builder.backward(TapUse::Unused, graph.layers.len()));
        let backward_tapped = write(&|builder| builder.backward(TapUse::Read, graph.layers.len()));
        let last = taps.last().map_or(0, |last| last.0 + 1);
        let lessons = [last, graph.layers.len()].map(|layers| {
            let forward = write(&|builder| builder.forward(NormMode::Batch, TapUse::Taught, layers));
            (forward, write(&|builder| builder.backward(TapUse::Taught, layers)))
        });
        let feature_loss = [false, true].map(|is_lesson| write(&|builder| builder.feature_loss(is_lesson)));
        Ok(Self { forward, backward, backward_tapped, lessons, feature_loss, memory: memory.parts + most_parts })
    }
}

/// What tapped layers have to do with a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TapUse {
    /// Nothing.
    Unused,
    /// Gradients begin there, in addition to those from behind.
    Read,
    /// Their outputs are replaced, and nothing comes back from behind.
    Taught,
}

impl Builder<'_> {
    /// The first `layers` layers.
    fn forward(&mut self, mode: NormMode, taps: TapUse, layers: usize) {
        let channels: usize = self.convolutions.iter().flatten().map(|conv| conv.channels).sum();
        let Memory { channel_offsets, parameters, channels: states, .. } = *self.memory;
        let arguments = vec![At(channel_offsets), At(parameters), At(states), Int(channels as i32)];
        self.launch("prepare_channels", (channels.div_ceil(THREADS), 1), arguments);
        for (i, conv) in self.convolutions.iter().enumerate().take(layers) {
            match conv {
                Some(conv) => {
                    self.conv_forward(Node(i), conv, mode);
                    self.prediction("gather_predictions", Node(i));
                }
                None => self.simple_forward(Node(i)),
            }
            if let (TapUse::Taught, Some(offset)) = (taps, self.tap(Node(i))) {
                self.move_numbers(self.out(Node(i)), self.memory.found + offset, Node(i), false);
                self.move_numbers(self.memory.taught + offset, self.out(Node(i)), Node(i), false);
            }
        }
    }

    /// Where the numbers of a tapped layer begin among those of all.
    fn tap(&self, node: Node) -> Option<Offset> {
        let position = self.taps.iter().position(|&tap| tap == node)?;
        Some(self.taps[..position].iter().map(|&tap| self.graph.channels(tap) * self.count(tap)).sum())
    }

    /// Copies or adds as many numbers as a layer's output has.
    fn move_numbers(&mut self, from: Offset, to: Offset, node: Node, adds: bool) {
        let count = self.graph.channels(node) * self.count(node);
        let arguments = vec![At(from), At(to), Int(count as i32), Int(adds.into())];
        self.launch("copy", self.grid(count, 1, LITTLE), arguments);
    }

    /// Makes gradients of the teacher's features.
    fn feature_loss(&mut self, is_lesson: bool) {
        let Memory { found, taught, tap_channels, feature_weight, counters, .. } = *self.memory;
        let all: usize = self.taps.iter().map(|&tap| self.graph.channels(tap)).sum();
        let (mut offset, mut first) = (0, 0);
        for &tap in self.taps {
            let (channels, count) = (self.graph.channels(tap), self.count(tap));
            let theirs = At(taught + offset);
            let ours = if is_lesson { found + offset } else { self.out(tap) };
            let [means, variances, losses] = [0, 1, 2].map(|i| At(tap_channels + i * all + first));
            let grid = self.sums_grid(count, channels);
            let parts = self.parts(grid, 4);
            let observe = NormMode::Observe as i32;
            let moments = [Int(observe), parts, At(counters), Nothing, Nothing, means, variances, Nothing];
            self.launch("moments", grid, [theirs, Int(count as i32)].into_iter().chain(moments).collect());
            let arguments =
                vec![At(ours), theirs, variances, At(feature_weight), Int(count as i32), parts, At(counters), losses];
            self.launch("feature_loss", grid, arguments);
            offset += channels * count;
            first += channels;
        }
    }

    /// The first `layers` layers.
    fn backward(&mut self, taps: TapUse, layers: usize) {
        // Whose gradient has been begun, so that the next share is added.
        let mut begun = vec![false; self.graph.layers.len()];
        for (i, conv) in self.convolutions.iter().enumerate().take(layers).rev() {
            let layer = self.graph.layer(Node(i));
            if let (TapUse::Read | TapUse::Taught, Some(offset)) = (taps, self.tap(Node(i))) {
                let adds = begun[i] && taps == TapUse::Read;
                self.move_numbers(self.memory.taught + offset, self.gradient(Node(i)), Node(i), adds);
                begun[i] = true;
            }
            match conv {
                Some(conv) => {
                    let Node(input) = layer.inputs[0];
                    self.prediction("scatter_predictions", Node(i));
                    self.conv_backward(Node(i), conv, begun[input]);
                    begun[input] = true;
                }
                None if self.lowered[i].has_gradient() => self.simple_backward(Node(i), &mut begun),
                None => {}
            }
        }
    }

    /// If `node` is a prediction, moves it into its columns of the raw head output; with the kernel `scatter_predictions`, from
    /// its columns of the raw output's gradient into its own.
    fn prediction(&mut self, kernel: &str, node: Node) {
        let anchors = self.graph.anchors(self.plan.height, self.plan.width);
        let columns = self.graph.head_columns(self.plan.height, self.plan.width);
        let Some(columns) = columns.into_iter().find(|columns| columns.node == node) else { return };
        let HeadColumns { anchor, anchors: plane, first, .. } = columns;
        let channels = self.graph.channels(node);
        let (from, to) = match kernel {
            "gather_predictions" => (self.out(node), self.memory.raw),
            _ => (self.memory.raw, self.gradient(node)),
        };
        let counts = [self.images, plane, anchors, anchor, 5 + self.graph.classes, first].map(|n| Int(n as i32));
        let grid = self.grid(self.images * plane, channels, LITTLE);
        self.launch(kernel, grid, [At(from), At(to)].into_iter().chain(counts).collect());
    }

    fn simple_forward(&mut self, node: Node) {
        let lowered = &self.lowered[node.0];
        if let Lowered::Image | Lowered::Added = lowered {
            return;
        }
        let layer = self.graph.layer(node);
        let range = |node: Node| self.plan.ranges[node.0].out.clone();
        let to = range(node);
        let input = layer.inputs[0];
        let (x, y) = (At(self.out(input)), At(self.out(node)));
        let (height, width) = self.size(input);
        let plane = Int(self.plane(input) as i32);
        let each_plane = (self.images, layer.channels);
        match lowered {
            Lowered::Concat => {
                // Most inputs were written here in the first place.
                let copies: Vec<_> = out_of_place(layer.inputs.iter().map(|&input| range(input)), to.start).collect();
                for (from, at) in copies {
                    self.copy(from.start, at, from.len(), false);
                }
            }
            Lowered::Add => {
                let count = to.len() * self.images;
                let arguments = vec![x, At(self.out(layer.inputs[1])), y, Int(count as i32)];
                self.launch("add", self.grid(count, 1, LITTLE), arguments);
            }
            Lowered::MaxPoolSame(kernel) => {
                let arguments = vec![x, y, Int(*kernel as i32), Int(height as i32), Int(width as i32)];
                self.launch("max_pool_same", each_plane, arguments);
            }
            Lowered::MaxPoolHalving => {
                let count = self.count(node);
                let arguments = vec![x, y, Int(count as i32), Int(width as i32 / 2)];
                self.launch("max_pool_halving", self.grid(count, layer.channels, LITTLE), arguments);
            }
            Lowered::Upsample => {
                let count = self.count(input);
                let arguments = vec![x, y, Int(count as i32), Int(width as i32)];
                self.launch("upsample", self.grid(4 * count, layer.channels, LITTLE), arguments);
            }
            Lowered::GlobalMean => self.launch("global_mean", each_plane, vec![x, y, plane]),
            Lowered::Scale => self.launch("scale", each_plane, vec![x, At(self.out(layer.inputs[1])), y, plane]),
            Lowered::Image | Lowered::Added | Lowered::Conv { .. } => unreachable!("dealt with elsewhere"),
        }
    }

    /// Adds the shares of layer `node`'s inputs in its gradient to theirs; `begun` says whose gradients have been begun.
    fn simple_backward(&mut self, node: Node, begun: &mut [bool]) {
        let layer = self.graph.layer(node);
        let input = layer.inputs[0];
        let (height, width) = self.size(input);
        let plane = Int(self.plane(input) as i32);
        let (x, gradient, of_x) = (At(self.out(input)), At(self.gradient(node)), At(self.gradient(input)));
        let accumulates = |begun: &[bool], Node(input): Node| Int(begun[input].into());
        let adds = accumulates(begun, input);
        let each_plane = (self.images, self.graph.channels(input));
        match self.lowered[node.0] {
            Lowered::Concat | Lowered::Add | Lowered::Added => {
                for GradientMove { input, from, to } in self.plan.gradient_moves(layer, node) {
                    let Node(input) = layer.inputs[input];
                    self.copy(from.start, to.start, to.len(), begun[input]);
                    begun[input] = true;
                }
            }
            Lowered::MaxPoolSame(kernel) => {
                let sizes = [kernel, height, width].map(|n| Int(n as i32));
                let arguments = [x, gradient, of_x].into_iter().chain(sizes).chain([adds]).collect();
                let launch = self.command("max_pool_same_gradient", each_plane, arguments);
                // The position of the greatest number of each square.
                let shared_bytes = (4 * height * width) as u32;
                self.commands.push(Command::Launch(Launch { shared_bytes, ..launch }));
            }
            Lowered::MaxPoolHalving => {
                let count = self.count(node);
                let arguments = vec![x, gradient, of_x, Int(count as i32), Int(width as i32 / 2), adds];
                self.launch("max_pool_halving_gradient", self.grid(count, layer.channels, LITTLE), arguments);
            }
            Lowered::Upsample => {
                let count = self.count(input);
                let arguments = vec![gradient, of_x, Int(count as i32), Int(width as i32), adds];
                self.launch("upsample_gradient", self.grid(count, layer.channels, LITTLE), arguments);
            }
            Lowered::GlobalMean => {
                self.launch("global_mean_gradient", each_plane, vec![gradient, of_x, plane, adds]);
            }
            Lowered::Scale => {
                let factors = layer.inputs[1];
                let arguments = vec![
                    x,
                    At(self.out(factors)),
                    gradient,
                    of_x,
                    At(self.gradient(factors)),
                    plane,
                    adds,
                    accumulates(begun, factors),
                ];
                self.launch("scale_gradient", each_plane, arguments);
            }
            Lowered::Image | Lowered::Conv { .. } => unreachable!("dealt with elsewhere"),
        }
        for input in &layer.inputs {
            begun[input.0] = true;
        }
    }

    /// Copies or adds values: offsets and length are those of the plan.
    fn copy(&mut self, from: usize, to: usize, len: usize, accumulates: bool) {
        let count = len * self.images;
        let arguments = vec![At(self.value(from)), At(self.value(to)), Int(count as i32), Int(accumulates.into())];
        self.launch("copy", self.grid(count, 1, LITTLE), arguments);
    }

    /// Height and width of a layer's output.
    pub(super) fn size(&self, node: Node) -> (usize, usize) {
        self.graph.layer(node).resolution.size(self.plan.height, self.plan.width)
    }

    /// Pixels of a layer's output.
    pub(super) fn plane(&self, node: Node) -> usize {
        let (height, width) = self.size(node);
        height * width
    }

    /// Numbers of a channel of a layer's output, in all images.
    pub(super) fn count(&self, node: Node) -> usize {
        self.images * self.plane(node)
    }

    /// Where the value lies that begins here in the plan.
    fn value(&self, start: usize) -> Offset {
        self.memory.arena + self.images * start
    }

    pub(super) fn out(&self, node: Node) -> Offset {
        self.value(self.plan.ranges[node.0].out.start)
    }

    pub(super) fn sums(&self, node: Node) -> Offset {
        self.value(self.plan.ranges[node.0].sums.start)
    }

    pub(super) fn gradient(&self, node: Node) -> Offset {
        self.value(self.plan.ranges[node.0].gradient.start)
    }

    /// The state of a channel of a convolution.
    pub(super) fn channel(&self, conv: &CudaConv, channel: usize) -> Argument {
        At(self.memory.channels + CHANNEL * (conv.first_channel + channel))
    }

    /// A grid for `count` numbers of each of `channels`, of which a block takes at least `least`.
    pub(super) fn grid(&self, count: usize, channels: usize, least: usize) -> (usize, usize) {
        (count.div_ceil(least).min((MANY_BLOCKS / channels).max(1)).max(1), channels)
    }

    /// As [`Builder::grid`], for kernels whose blocks' sums are put together.
    pub(super) fn sums_grid(&self, count: usize, channels: usize) -> (usize, usize) {
        self.grid(count, channels, SUMMED)
    }

    /// Room for what the blocks of `grid` leave: so many numbers each.
    pub(super) fn parts(&mut self, grid: (usize, usize), numbers: usize) -> Argument {
        self.most_parts = self.most_parts.max(grid.0 * grid.1 * numbers);
        At(self.memory.parts)
    }

    pub(super) fn launch(&mut self, kernel: &str, grid: (usize, usize), arguments: Vec<Argument>) {
        let launch = self.command(kernel, grid, arguments);
        self.commands.push(Command::Launch(launch));
    }

    fn command(&self, kernel: &str, grid: (usize, usize), arguments: Vec<Argument>) -> Launch {
        let grid = (grid.0 as u32, grid.1 as u32);
        Launch { kernel: kernel.into(), grid, shared_bytes: 0, arguments }
    }

    pub(super) fn product(&mut self, product: Product) {
        self.commands.push(Command::Product(product));
    }
}

//! The network as data: layers in order of execution, each with its operation, its inputs, the shape of its output
//! and the PyTorch-style name of its parameters.
//!
//! Everything that must know the network reads this one definition: the inference runtime, training, the cost table,
//! weight files, ONNX import and export, pruning, and the page.

use std::fmt;

/// A layer of a [`Graph`], by its position in [`Graph::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub usize);

/// How large a layer's output is next to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Height and width of the image divided by this number of pixels.
    Stride(usize),
    /// One value per channel, whatever the image's size (squeeze-and-excitation).
    Global,
}

impl Resolution {
    /// Height and width of the output for an image of `height` x `width` pixels.
    pub fn size(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::Stride(stride) => (height / stride, width / stride),
            Self::Global => (1, 1),
        }
    }
}

/// The function that follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `x * sigmoid(x)`
    Silu,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x + 3, 0), 6) / 6`
    HardSigmoid,
}

/// What turns a convolution's sums into its output, before the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affine {
    /// Batch normalisation ([`BN_EPS`]); the convolution itself has no bias.
    BatchNorm,
    /// A bias per channel.
    Bias,
}

/// Added to the variance in batch normalisation, as in YOLOX (`exps/default/yolox_nano.py`).
pub const BN_EPS: f32 = 1e-3;

/// Which input channels and pixels an output value is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// All input channels under a square of this width; width 1 is a pointwise convolution.
    Dense(usize),
    /// One input channel an output channel. The output channels fall into equal contiguous chunks, one for each width
    /// (one width: ordinary depthwise; several: mixed depthwise, <https://arxiv.org/abs/1907.09595>). With `m` times
    /// as many output as input channels, output `o` reads input `o / m`.
    Depthwise(Vec<usize>),
}

/// A convolution with "same" padding (`width / 2` on every side), what follows it, and its stride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Shape of the kernels.
    pub kernel: Kernel,
    /// Pixels between neighbouring output values: 1 or 2.
    pub stride: usize,
    /// Batch normalisation or bias.
    pub affine: Affine,
    /// What is applied to the convolution's normalised sums.
    pub activation: Activation,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The image: 3 channels, BGR, 0-255.
    Input,
    /// Every 2 x 2 square of pixels becomes one pixel of four times the channels, in the order top-left, bottom-left,
    /// top-right, bottom-right (YOLOX's "Focus").
    SpaceToDepth,
    /// Convolution, batch normalisation or bias, activation.
    Conv(Conv),
    /// Greatest value under a square; padding (`kernel / 2` where stride is 1, else none) never wins.
    MaxPool {
        /// Width of the square.
        kernel: usize,
        /// Pixels between neighbouring squares.
        stride: usize,
    },
    /// Mean of every channel.
    GlobalAvgPool,
    /// Every pixel becomes a square of 2 x 2 (nearest neighbour).
    Upsample,
    /// The inputs' channels, one input after the other.
    Concat,
    /// Element-wise sum of two inputs.
    Add,
    /// The first input times the second, which has one value per channel.
    Scale,
}

/// A part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// From the picture to features at strides 4 to 32.
    Backbone,
    /// The feature pyramid: up to stride 8 and down again.
    Pyramid,
    /// Predictions at strides 8, 16 and 32.
    Head,
}

/// Which layers a layer belongs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The part of the network.
    pub part: Part,
    /// The block in it, as the official code names it: a stage of the backbone (`dark3`), a block of the pyramid (`C3_p4`), or
    /// the head of a level (`head 0`). The picture is a block of its own.
    pub block: &'static str,
}

/// One operation of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Prefix of the parameters' names, as in the official PyTorch code; for layers without parameters, a label.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its input comes from; always earlier layers.
    pub inputs: Vec<Node>,
    /// Channels of its output.
    pub channels: usize,
    /// Size of its output.
    pub resolution: Resolution,
    /// Where it belongs.
    pub scope: Scope,
}

/// The layers whose outputs, one after another, are the network's output at one level of the pyramid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLevel {
    /// Pixels of the image between neighbouring anchors.
    pub stride: usize,
    /// Four channels: offset of the centre (x, y) and log of the size (w, h), in strides.
    pub reg: Node,
    /// One channel: logit of "there is an object".
    pub obj: Node,
    /// One channel a class: logit of the class.
    pub cls: Node,
}

/// Where a prediction's values are in the raw head output, whose rows are anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadColumns {
    /// The layer that predicts.
    pub node: Node,
    /// Its level's first anchor.
    pub anchor: usize,
    /// Anchors of the level.
    pub anchors: usize,
    /// The place of its first channel in a row; the others follow.
    pub first: usize,
}

/// The last layer of a part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `dark2` to `dark5` in the backbone, `C3_p4`, `C3_p3`, `C3_n3` and `C3_n4` in the neck, as in the official code.
    pub name: &'static str,
    /// The layer whose output it is.
    pub node: Node,
}

/// A tensor of parameters or statistics that a network needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in a weight file.
    pub name: String,
    /// As PyTorch has it: output channels first.
    pub shape: Vec<usize>,
    /// False for running statistics, which are saved with the weights but follow no gradient.
    pub trainable: bool,
}

/// Whether a weight file holds batch normalisation, or its effect multiplied into the convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormState {
    /// `conv.weight` without bias, then `bn.weight`, `bn.bias`, `bn.running_mean`, `bn.running_var`.
    Separate,
    /// `conv.weight` and `conv.bias` alone: what inference needs.
    #[serde(rename = "folded")]
    Fused,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Layers in order of execution; the first is [`Op::Input`].
    pub layers: Vec<Layer>,
    /// Number of classes.
    pub classes: usize,
    /// Outputs of the backbone's and the neck's parts, in order of execution. Every variant has the same ones, of the same
    /// channels and size, whatever is inside: there one network can learn from another.
    pub stages: Vec<Stage>,
    /// The feature pyramid's outputs, which the head reads: strides 8, 16, 32.
    pub pyramid: Vec<Node>,
    /// The network's outputs, in the order of their anchors: strides 8, 16, 32.
    pub head: Vec<HeadLevel>,
    /// That of the next layers.
    scope: Scope,
}

/// The image's sides must be multiples of this number of pixels.
pub const SIZE_MULTIPLE: usize = 32;

impl Graph {
    /// A graph with nothing but the image.
    pub fn new(classes: usize) -> Self {
        let scope = Scope { part: Part::Backbone, block: "images" };
        let input = Layer {
            name: "images".into(),
            op: Op::Input,
            inputs: Vec::new(),
            channels: 3,
            resolution: Resolution::Stride(1),
            scope,
        };
        Self { layers: vec![input], classes, stages: Vec::new(), pyramid: Vec::new(), head: Vec::new(), scope }
    }

    /// The image.
    pub fn input(&self) -> Node {
        Node(0)
    }

    /// The layer `node` stands for.
    pub fn layer(&self, node: Node) -> &Layer {
        &self.layers[node.0]
    }

    /// Channels of `node`'s output.
    pub fn channels(&self, node: Node) -> usize {
        self.layer(node).channels
    }

    /// Channels that each layer reads, added over its inputs.
    pub fn channels_in(&self, layer: &Layer) -> usize {
        layer.inputs.iter().map(|&input| self.channels(input)).sum()
    }

    /// Number of anchors for an image of `height` x `width` pixels.
    pub fn anchors(&self, height: usize, width: usize) -> usize {
        self.head.iter().map(|level| (height / level.stride) * (width / level.stride)).sum()
    }

    /// Where each prediction goes in the raw head output for an image of `height` x `width` pixels.
    pub fn head_columns(&self, height: usize, width: usize) -> Vec<HeadColumns> {
        let mut anchor = 0;
        let mut columns = Vec::new();
        for level in &self.head {
            let anchors = (height / level.stride) * (width / level.stride);
            let predictions = [(level.reg, 0), (level.obj, 4), (level.cls, 5)];
            columns.extend(predictions.map(|(node, first)| HeadColumns { node, anchor, anchors, first }));
            anchor += anchors;
        }
        columns
    }

    /// Appends what `build` does as layers of one block.
    pub(crate) fn in_block<T>(&mut self, part: Part, block: &'static str, build: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.scope, Scope { part, block });
        let built = build(self);
        self.scope = outer;
        built
    }

    /// Appends a layer; its channels and resolution follow from the operation and its inputs (`channels` counts for
    /// convolutions only).
    pub(crate) fn push(&mut self, name: String, op: Op, inputs: &[Node], channels: usize) -> Node {
        let first = inputs.first().map(|&node| self.layer(node).clone());
        let first = first.expect("every layer but the picture has an input");
        let scaled = |by: usize| match first.resolution {
            Resolution::Stride(stride) => Resolution::Stride(stride * by),
            Resolution::Global => Resolution::Global,
        };
        let (channels, resolution) = match &op {
            Op::Input => unreachable!("the picture is there from the start"),
            Op::SpaceToDepth => (first.channels * 4, scaled(2)),
            Op::Conv(conv) => (channels, scaled(conv.stride)),
            Op::MaxPool { stride, .. } => (first.channels, scaled(*stride)),
            Op::GlobalAvgPool => (first.channels, Resolution::Global),
            Op::Upsample => match first.resolution {
                Resolution::Stride(stride) => (first.channels, Resolution::Stride(stride / 2)),
                Resolution::Global => unreachable!("single values are scaled, not upsampled"),
            },
            Op::Concat => (inputs.iter().map(|&input| self.channels(input)).sum(), first.resolution),
            Op::Add | Op::Scale => (first.channels, first.resolution),
        };
        if matches!(op, Op::Concat | Op::Add) {
            debug_assert!(
                inputs.iter().all(|&input| self.layer(input).resolution == first.resolution),
                "{name}: sizes differ"
            );
        }
        self.layers.push(Layer { name, op, inputs: inputs.to_vec(), channels, resolution, scope: self.scope });
        Node(self.layers.len() - 1)
    }

    /// Every tensor a weight file of this network holds, in order of execution.
    pub fn parameters(&self, norm: NormState) -> Vec<Parameter> {
        self.layers.iter().flat_map(|layer| self.layer_parameters(layer, norm)).collect()
    }

    /// The tensors of one layer: kernels (one for each width), then batch normalisation or bias.
    pub fn layer_parameters(&self, layer: &Layer, norm: NormState) -> Vec<Parameter> {
        let Op::Conv(conv) = &layer.op else { return Vec::new() };
        let mut parameters = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, trainable: bool| {
            parameters.push(Parameter { name, shape, trainable });
        };
        // As PyTorch's modules are nested in the official code: predictions are bare convolutions, mixed kernels a
        // list of convolutions under one batch normalisation, all others a convolution beside its normalisation.
        let (kernels, bias) = layer.parameter_names();
        match &conv.kernel {
            Kernel::Dense(k) => add(kernels[0].clone(), vec![layer.channels, self.channels_in(layer), *k, *k], true),
            Kernel::Depthwise(widths) => {
                for (name, &k) in kernels.iter().zip(widths) {
                    add(name.clone(), vec![layer.channels / widths.len(), 1, k, k], true);
                }
            }
        }
        if conv.affine == Affine::Bias || norm == NormState::Fused {
            add(bias, vec![layer.channels], true);
        } else {
            for (field, trainable) in
                [("weight", true), ("bias", true), ("running_mean", false), ("running_var", false)]
            {
                add(format!("{}.bn.{field}", layer.name), vec![layer.channels], trainable);
            }
        }
        parameters
    }
}

impl Layer {
    /// Names of a convolution's kernels, one for each width, and of its bias (as such, or batch normalisation folded).
    pub fn parameter_names(&self) -> (Vec<String>, String) {
        let name = &self.name;
        match &self.op {
            Op::Conv(Conv { affine: Affine::Bias, .. }) => (vec![format!("{name}.weight")], format!("{name}.bias")),
            Op::Conv(Conv { kernel: Kernel::Depthwise(widths), .. }) if widths.len() > 1 => {
                ((0..widths.len()).map(|i| format!("{name}.layers.{i}.weight")).collect(), format!("{name}.bias"))
            }
            _ => (vec![format!("{name}.conv.weight")], format!("{name}.conv.bias")),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => write!(f, "picture"),
            Self::SpaceToDepth => write!(f, "space to depth"),
            Self::Conv(conv) => {
                match &conv.kernel {
                    Kernel::Dense(k) => write!(f, "conv {k}x{k}")?,
                    Kernel::Depthwise(widths) => {
                        let widths: Vec<_> = widths.iter().map(|k| format!("{k}x{k}")).collect();
                        write!(f, "depthwise {}", widths.join("+"))?;
                    }
                }
                if conv.stride > 1 { write!(f, " /{}", conv.stride) } else { Ok(()) }
            }
            Self::MaxPool { kernel, stride: 1 } => write!(f, "max pool {kernel}x{kernel}"),
            Self::MaxPool { kernel, stride } => write!(f, "max pool {kernel}x{kernel} /{stride}"),
            Self::GlobalAvgPool => write!(f, "global mean"),
            Self::Upsample => write!(f, "upsample x2"),
            Self::Concat => write!(f, "concat"),
            Self::Add => write!(f, "add"),
            Self::Scale => write!(f, "scale"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VARIANTS;

    /// `backbone.backbone.dark3.1.m.2.conv2.dconv`, `backbone.C3_p4.m.0.conv1`, `head.reg_convs.2.0.dconv`: the official code
    /// nests its modules as layers belong together.
    #[test]
    fn scopes_are_what_the_names_of_parameters_say() {
        for variant in &VARIANTS {
            for layer in variant.graph(20).layers {
                let words: Vec<&str> = layer.name.split('.').collect();
                let (part, block) = match words[..] {
                    ["head", _, level, ..] => (Part::Head, format!("head {level}")),
                    ["backbone", "backbone", stage, ..] => (Part::Backbone, stage.into()),
                    ["backbone", block, ..] => (Part::Pyramid, block.into()),
                    _ => (Part::Backbone, "images".into()),
                };
                assert_eq!((layer.scope.part, layer.scope.block), (part, &*block), "{}: {}", variant.name, layer.name);
            }
        }
    }
}

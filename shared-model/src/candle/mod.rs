//! Every variant as a module for programs that use [candle](https://github.com/huggingface/candle): built from the same
//! [`Graph`], with tensors that are called as in the official PyTorch code, on any device that candle has.
//!
//! ```no_run
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, VarBuilder};
//! use shared_model::{Variant, candle::Yolox};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::Cpu;
//! // SAFETY: nobody writes to the file while it is mapped.
//! let weights = unsafe { VarBuilder::from_mmaped_safetensors(&["final-voc.safetensors"], DType::F32, &device)? };
//! let network = Yolox::new(Variant::named("final")?, 20, weights)?;
//! let raw = network.forward(&Tensor::zeros((1, 3, 416, 416), DType::F32, &device)?)?; // (1, 3549, 25)
//! # Ok(())
//! # }
//! ```
//!
//! On the CPU, in single precision, this project's kernels do the work, as operations with gradients; everywhere else
//! candle's own operations do. `examples/candle.rs` detects and trains with it.

mod cpu;
mod layer;
mod plain;

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::lowering::{Lowered, lower};
use crate::model::graph::{Graph, HeadLevel, Node, Op, SIZE_MULTIPLE};
use crate::model::init::PRIOR;
use crate::model::variant::Variant;
use crate::training::NormMode;
use layer::{CandleConv, chain_cpu};

/// A network of one of the variants.
///
/// It infers until [`Yolox::set_training`] says otherwise. (As every [`Module`], it also is a `ModuleT`, which passes no
/// mode on: that of `set_training` counts.)
#[derive(Debug)]
pub struct Yolox {
    graph: Graph,
    /// One for each layer of the graph that is a convolution.
    convs: Vec<Option<CandleConv>>,
    /// Convolutions that are one operation where gradients may be asked for on the CPU; at the first one's place.
    chains: Vec<Option<ChainSpan>>,
    /// For each layer, the outputs that no later one reads.
    finished: Vec<Vec<Node>>,
    training: bool,
    /// Whether candle's operations are taken on the CPU, too.
    plain: bool,
}

impl Yolox {
    /// The network with the tensors of `vb`: as training keeps them, or as inference needs them (batch normalisation
    /// multiplied into the kernels; then it is trained without). Tensors that a `VarMap` has not are made as PyTorch and
    /// YOLOX do, from candle's random numbers.
    ///
    /// # Errors
    /// Fails where a tensor is missing or has another shape.
    pub fn new(variant: &Variant, classes: usize, vb: VarBuilder) -> Result<Self> {
        Self::of_graph(variant.graph(classes), vb)
    }

    /// As [`Yolox::new`], of a network that may be pruned ([`crate::Weights::graph`]).
    ///
    /// # Errors
    /// As for [`Yolox::new`].
    pub fn of_graph(graph: Graph, vb: VarBuilder) -> Result<Self> {
        let prior = |node: Node| {
            let is_likelihood = graph.head.iter().any(|level| node == level.obj || node == level.cls);
            is_likelihood.then(|| -((1.0 - PRIOR) / PRIOR).ln())
        };
        let lowered = lower(&graph)?;
        let conv = |(i, lowered)| CandleConv::new(&graph, Node(i), lowered, prior(Node(i)), &vb);
        let convs = lowered.iter().enumerate().map(conv).collect::<Result<_>>()?;
        let (chains, finished) = (chains(&graph, &lowered), finished(&graph));
        Ok(Self { graph, convs, chains, finished, training: false, plain: false })
    }

    /// The network's definition.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether the network trains: normalises by the batch's statistics, lets the running ones follow, and records what
    /// gradients need. Else it normalises by the running ones and records nothing.
    pub fn set_training(&mut self, training: bool) {
        self.training = training;
    }

    /// Running statistics follow a batch's by this part of the way: 0.03 if nothing is said, as in YOLOX.
    ///
    /// # Errors
    /// Fails where it is not within 0 and 1.
    pub fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        self.convs.iter_mut().flatten().try_for_each(|conv| conv.set_momentum(momentum))
    }

    /// Computes by candle's operations alone, on the CPU, too: many times slower, to compare with. (A training network does so
    /// by itself where a gradient with respect to the image may be asked for.)
    pub fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// In a pass that normalises by the running statistics (of `images`, as in [`Module::forward`]), each layer's become
    /// those of what it has normalised, with the biased variance.
    ///
    /// # Errors
    /// As for [`Module::forward`].
    pub fn calibrate(&self, images: &Tensor) -> Result<()> {
        self.run(images, NormMode::Observe).map(|_| ())
    }

    fn run(&self, images: &Tensor, mode: NormMode) -> Result<Tensor> {
        let (batch, channels, height, width) = images.dims4()?;
        if batch == 0
            || channels != 3
            || [height, width].iter().any(|side| *side == 0 || !side.is_multiple_of(SIZE_MULTIPLE))
        {
            bail!(
                "the network takes (batch, 3, height, width) with one or more images with sides in multiples of {SIZE_MULTIPLE} pixels, not {:?}",
                images.shape()
            );
        }
        let is_ours = matches!(images.device(), Device::Cpu) && images.dtype() == DType::F32;
        let plain = self.plain || !is_ours || (mode == NormMode::Batch && images.track_op());
        let chained = !plain && mode != NormMode::Running;
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(self.graph.layers.len());
        while let Some(layer) = self.graph.layers.get(outputs.len()) {
            let i = outputs.len();
            let inputs: Vec<&Tensor> =
                layer.inputs.iter().map(|&Node(input)| outputs[input].as_ref().expect("it is still needed")).collect();
            let chain = self.chains[i].filter(|_| chained);
            let output = match chain {
                Some(chain) => {
                    let convs: Vec<&CandleConv> = self.convs[i..][..chain.convs].iter().flatten().collect();
                    chain_cpu(&convs, inputs[0], mode, chain.adds_input)?
                }
                None => self.layer(i, images, &inputs, mode, plain)?,
            };
            // Nobody else reads what a chain has computed on the way.
            let last = i + chain.map_or(1, |chain| chain.layers()) - 1;
            outputs.resize(last, None);
            outputs.push(Some(if mode == NormMode::Batch { output } else { output.detach() }));
            for &Node(input) in self.finished[i..=last].iter().flatten() {
                outputs[input] = None;
            }
        }
        let output = |Node(node): Node| outputs[node].as_ref().expect("outputs are kept");
        let level = |level: &HeadLevel| {
            let rows = Tensor::cat(&[output(level.reg), output(level.obj), output(level.cls)], 1)?;
            rows.flatten_from(2)?.transpose(1, 2)
        };
        let levels = self.graph.head.iter().map(level).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&levels, 1)
    }

    /// What layer `i` makes of its inputs.
    fn layer(&self, i: usize, images: &Tensor, inputs: &[&Tensor], mode: NormMode, plain: bool) -> Result<Tensor> {
        let layer = &self.graph.layers[i];
        match (&layer.op, &self.convs[i]) {
            (Op::Input, _) => Ok(images.clone()),
            // The kernel of the first convolution reads the image itself.
            (Op::SpaceToDepth, _) if !plain => Ok(inputs[0].clone()),
            (Op::SpaceToDepth, _) => plain::space_to_depth(inputs[0]),
            (Op::Conv(_), Some(conv)) if plain => conv.forward_plain(inputs[0], mode),
            (Op::Conv(_), Some(conv)) => conv.infer_cpu(inputs[0]),
            (Op::Conv(_), None) => unreachable!("every convolution has its layer"),
            (&Op::MaxPool { kernel, stride: 1 }, _) if plain => plain::max_pool_same(inputs[0], kernel),
            (&Op::MaxPool { kernel, stride: 1 }, _) => cpu::max_pool_same(inputs[0], kernel),
            (Op::MaxPool { kernel: 2, stride: 2 }, _) if plain => plain::max_pool_halving(inputs[0]),
            (Op::MaxPool { kernel: 2, stride: 2 }, _) => cpu::max_pool_halving(inputs[0]),
            (op @ Op::MaxPool { .. }, _) => bail!("{}: there is no operation for {op}", layer.name),
            (Op::GlobalAvgPool, _) => inputs[0].mean_keepdim((2, 3)),
            (Op::Upsample, _) if plain => plain::upsample(inputs[0]),
            (Op::Upsample, _) => cpu::upsample(inputs[0]),
            (Op::Concat, _) => Tensor::cat(inputs, 1),
            (Op::Add, _) => inputs[0] + inputs[1],
            (Op::Scale, _) => inputs[0].broadcast_mul(inputs[1]),
        }
    }
}

/// Convolutions behind one another, none of whose outputs but the last one's is read by anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChainSpan {
    /// How many.
    convs: usize,
    /// Whether the next layer adds the first one's input.
    adds_input: bool,
}

impl ChainSpan {
    /// How many layers the chain computes.
    fn layers(self) -> usize {
        self.convs + usize::from(self.adds_input)
    }
}

/// Every convolution's chain, at the place of its first.
fn chains(graph: &Graph, lowered: &[Lowered]) -> Vec<Option<ChainSpan>> {
    let is_conv = |i: usize| matches!(lowered.get(i), Some(Lowered::Conv { .. }));
    let readers = |node: Node| graph.layers.iter().filter(|layer| layer.inputs.contains(&node)).count();
    let goes_on = |i: usize| is_conv(i + 1) && graph.layers[i + 1].inputs == [Node(i)] && readers(Node(i)) == 1;
    let mut chains = vec![None; lowered.len()];
    let mut first = 0;
    while first < lowered.len() {
        if !is_conv(first) {
            first += 1;
            continue;
        }
        let last = (first..).find(|&i| !goes_on(i)).expect("the layers end");
        let shortcut = match &lowered[last] {
            Lowered::Conv { shortcut, .. } => *shortcut,
            _ => None,
        };
        let chain =
            ChainSpan { convs: last + 1 - first, adds_input: shortcut == graph.layers[first].inputs.first().copied() };
        chains[first] = Some(chain);
        first += chain.layers();
    }
    chains
}

impl Module for Yolox {
    /// From `images` (batch, 3, height, width; blue, green, red; 0-255; sides multiples of 32) to the raw head output:
    /// (batch, anchors, 5 + classes), `[x, y, w, h, obj, cls...]` before any sigmoid, as [`crate::decode`] takes it.
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.run(images, if self.training { NormMode::Batch } else { NormMode::Running })
    }
}

/// For each layer, the outputs that no later one reads, those of the head left out.
fn finished(graph: &Graph) -> Vec<Vec<Node>> {
    let kept: Vec<Node> = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]).collect();
    let mut finished = vec![Vec::new(); graph.layers.len()];
    for node in (0..graph.layers.len()).map(Node).filter(|node| !kept.contains(node)) {
        let last = graph.layers.iter().rposition(|layer| layer.inputs.contains(&node));
        finished[last.unwrap_or(node.0)].push(node);
    }
    finished
}

#[cfg(test)]
mod tests;

//! Inference.

use candle_core::{Result, Tensor};

use crate::graph::{Graph, Node};
use crate::weights::Weights;

/// A network ready to run: batch normalisation folded into the convolutions, weights packed for the kernels.
pub struct Network {
    graph: Graph,
}

impl Network {
    /// Prepares `graph` with `weights`.
    ///
    /// # Errors
    /// Fails where the weights do not fit the graph.
    pub fn new(graph: &Graph, weights: &Weights) -> Result<Self> {
        weights.check(graph).map_err(candle_core::Error::wrap)?;
        Ok(Self { graph: graph.clone() })
    }

    /// The network's definition.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs the network on `images`: (batch, 3, height, width), 0-255, sides multiples of 32. Returns the raw head
    /// output: (batch, anchors, 5 + classes), `[reg 4, obj 1, cls n]`, before any sigmoid.
    ///
    /// # Errors
    /// Fails where the shape is not as above.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.forward_observed(images, &mut |_, _| {})
    }

    /// As [`Network::forward`]; calls `observe` after every layer of every picture with the layer's output
    /// (channels x height x width). Time between calls is the layer's.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_observed(&self, _images: &Tensor, _observe: &mut dyn FnMut(Node, &[f32])) -> Result<Tensor> {
        todo!()
    }
}

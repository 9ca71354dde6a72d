//! A network with its weights: an image in, boxes out.

use candle_core::{Device, Tensor};

use crate::detection::{Detection, decode, to_image};
use crate::model::graph::SIZE_MULTIPLE;
use crate::model::weights::{Metadata, Weights};
use crate::pixels::letterbox::{Image, Letterbox, letterbox};
use crate::runtime::Network;

/// A network ready to look at images.
pub struct Detector {
    network: Network,
    metadata: Metadata,
    input_size: usize,
}

/// An image fitted into the network's input.
pub struct Input {
    tensor: Tensor,
    fit: Letterbox,
}

impl Input {
    /// The network's input: (1, 3, side, side), 0-255.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }
}

impl Detector {
    /// Prepares the network for inference on the CPU.
    ///
    /// # Errors
    /// Fails where the weights do not fit their variant.
    pub fn new(weights: &Weights) -> candle_core::Result<Self> {
        let graph = weights.graph().map_err(candle_core::Error::wrap)?;
        let network = Network::new(&graph, weights)?;
        Ok(Self { network, metadata: weights.metadata.clone(), input_size: weights.metadata.input_size })
    }

    /// Side in pixels of the square that images are fitted into.
    pub fn input_size(&self) -> usize {
        self.input_size
    }

    /// Fits images into another square than the weights' own.
    ///
    /// # Errors
    /// Fails where `side` is not a multiple of 32 pixels.
    pub fn set_input_size(&mut self, side: usize) -> candle_core::Result<()> {
        if side == 0 || !side.is_multiple_of(SIZE_MULTIPLE) {
            candle_core::bail!("the input size must be a multiple of {SIZE_MULTIPLE} pixels, not {side}");
        }
        self.input_size = side;
        Ok(())
    }

    /// What the weight file says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What computes the boxes, for its costs and times.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Step 1 of 3: fits an image into the network's input.
    ///
    /// # Errors
    /// Fails where memory for the input cannot be had.
    pub fn preprocess(&self, image: Image<'_>) -> candle_core::Result<Input> {
        let side = self.input_size;
        let (planes, fit) = letterbox(image, side, self.metadata.colour_order);
        let tensor = Tensor::from_vec(planes, (1, 3, side, side), &Device::Cpu)?;
        Ok(Input { tensor, fit })
    }

    /// Step 2 of 3: runs the network; the raw head output, (1, anchors, 5 + classes).
    ///
    /// # Errors
    /// Passes on the runtime's errors.
    pub fn forward(&self, input: &Input) -> candle_core::Result<Tensor> {
        self.network.forward(&input.tensor)
    }

    /// Step 3 of 3: the boxes with at least `min_score`, in pixels of the image. Overlapping ones are still among them
    /// (see [`crate::nms`]), and they may reach beyond the image (see [`crate::clip`]).
    ///
    /// # Errors
    /// Fails where the output cannot be read back.
    pub fn candidates(&self, input: &Input, raw: &Tensor, min_score: f32) -> candle_core::Result<Vec<Detection>> {
        let raw = raw.flatten_all()?.to_vec1::<f32>()?;
        let mut found = decode(self.network.graph(), &raw, self.input_size, self.input_size, min_score);
        to_image(&mut found, input.fit);
        Ok(found)
    }

    /// All three steps, and non-maximum suppression: boxes in order of falling score, which may reach beyond the image
    /// (see [`crate::clip`]).
    ///
    /// # Errors
    /// Passes on the runtime's errors.
    pub fn detect(&self, image: Image<'_>, min_score: f32, max_iou: f32) -> candle_core::Result<Vec<Detection>> {
        let input = self.preprocess(image)?;
        let raw = self.forward(&input)?;
        Ok(crate::nms(&self.candidates(&input, &raw, min_score)?, max_iou))
    }
}

//! What computes networks, forward and backward: a processor, a GPU, libtorch, candle. Training lies above, and knows [`Engine`] alone.

mod candle;
mod choice;
mod cpu;
pub mod cuda;
#[cfg(any(feature = "torch", test))]
mod libtorch_errors;
#[cfg(feature = "torch")]
mod torch;

use std::any::Any;

use anyhow::{Result, bail};
use shared_model::graph::Node;
use shared_model::training::Features;
use shared_model::{ParameterLayout, Weights};

pub use candle::CandleEngine;
pub use choice::{DeviceName, EngineChoice, EngineName, Precision};
pub use cpu::CpuEngine;
#[cfg(feature = "torch")]
pub use torch::TorchEngine;

/// Images as the network takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// images x 3 x height x width; blue, green, red; 0-255.
    pub pixels: Vec<u8>,
    pub images: usize,
    /// In pixels: a multiple of 32.
    pub height: usize,
    /// In pixels: a multiple of 32.
    pub width: usize,
}

/// What the network says about a batch: for every image and anchor a row of `[x, y, w, h, obj, cls...]`, undecoded and
/// without sigmoid (`xy = (p + grid) * stride`, `wh = exp(p) * stride`), anchors in the order of [`shared_model::Graph::head`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutput {
    /// images x anchors x (5 + classes).
    pub values: Vec<f32>,
    pub images: usize,
    pub classes: usize,
    /// Height of the images, in pixels.
    pub height: usize,
    /// Width of the images, in pixels.
    pub width: usize,
}

impl HeadOutput {
    /// Numbers in an anchor's row.
    pub fn row(&self) -> usize {
        5 + self.classes
    }

    /// Anchors of an image.
    pub fn anchors(&self) -> usize {
        self.values.len() / (self.images * self.row()).max(1)
    }

    /// The rows of image `i`: anchors x (5 + classes).
    pub fn image(&self, i: usize) -> &[f32] {
        let size = self.anchors() * self.row();
        &self.values[i * size..][..size]
    }
}

/// What a network computes on a batch, in one piece: the head's output and the outputs of the tapped layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// No values where the pass did not go on to the head.
    pub head: HeadOutput,
    /// In the order of the taps.
    pub features: Features,
}

/// The gradient of a loss with respect to [`Outputs`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputGradients {
    /// Laid out as [`HeadOutput::values`]; empty where the pass did not go on to the head.
    pub head: Vec<f32>,
    /// Laid out as [`Outputs::features`].
    pub features: Features,
}

/// Whether a lesson goes on behind the last tap.
pub type WithHead = bool;

/// A pass in which every part of the network computes on the teacher's features in place of those of the parts before it.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// The teacher's outputs of the tapped layers.
    pub features: &'a Features,
    /// Whether the pass goes on behind the last tap.
    pub with_head: bool,
}

/// One network on one device. Everything else about training lives outside it.
///
/// Parameters, gradients and statistics are flat arrays in the order of
/// [`shared_model::Graph::parameters`]`(NormState::Separate)`: see [`shared_model::ParameterLayout`].
pub trait Engine: Any {
    /// Takes over these parameters and running statistics for the steps and inferences that follow.
    ///
    /// # Errors
    /// Fails where the device does.
    fn load(&mut self, parameters: &[f32]) -> Result<()>;

    /// As [`Engine::load`], for weights, in training or inference form, that are not trained: what follows are inferences
    /// alone.
    ///
    /// # Errors
    /// Fails where the weights do not fit their variant, or the device fails.
    fn freeze(&mut self, weights: &Weights) -> Result<()> {
        let graph = weights.graph()?;
        self.load(&ParameterLayout::new(&graph).flatten(&weights.unfused()?))
    }

    /// Forward in training mode (batch normalisation by the batch's statistics); `loss` maps the raw head output to its
    /// gradient (same shape); backward. Fills `update`, which is laid out as the parameters: for trainable ones the
    /// gradient of the loss, for running statistics the batch's mean and unbiased variance.
    ///
    /// # Errors
    /// Fails where `loss` or the device does.
    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()>;

    /// Forward with the running statistics: what the trained network will say.
    ///
    /// # Errors
    /// Fails where the device does.
    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput>;

    /// Per layer with batch normalisation, mean and biased variance of what it normalises (the convolution's sums) over
    /// this batch, in a forward pass *with the running statistics*: fills the places of `running_mean` and
    /// `running_var` in `statistics`, which is laid out as the parameters; leaves the others alone.
    ///
    /// # Errors
    /// Fails where the device does.
    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()>;

    /// From now on the outputs of these layers (in order of execution) are to be had, and learned from, by the next two.
    ///
    /// # Errors
    /// Fails where the engine has no such thing.
    fn tap(&mut self, _layers: &[Node]) -> Result<()> {
        bail!(
            "this engine cannot look inside a network: take --engine native, or leave features out with --distill-features 0 \
             and --fit-steps 0"
        )
    }

    /// As [`Engine::infer`], with the outputs of the tapped layers.
    ///
    /// # Errors
    /// Fails where the device does.
    fn infer_features(&mut self, batch: &Batch) -> Result<Outputs> {
        Ok(Outputs { head: self.infer(batch)?, features: Features::new() })
    }

    /// As [`Engine::step`] with a loss of the tapped layers' outputs, too. In a `lesson` gradients end at taps, and where it
    /// leaves out the head, layers behind the last tap get 0 everywhere in `update`.
    ///
    /// # Errors
    /// Fails where `loss` or the device does, or the features are not those of the taps.
    fn step_features(
        &mut self,
        _batch: &Batch,
        _lesson: Option<Lesson>,
        _loss: &mut dyn FnMut(&Outputs) -> Result<OutputGradients>,
        _update: &mut [f32],
    ) -> Result<()> {
        bail!("this engine taps no layers")
    }

    /// As [`Engine::step_features`] with [`feature_loss`](crate::train::distill::feature_loss), times `weight`, of the tapped layers
    /// against `teacher`'s, all of it where both networks are; `loss` maps the raw head outputs of this network and of the
    /// teacher to the gradient of the first. Returns the feature loss of each tapped layer, not yet times `weight`.
    ///
    /// In a lesson (`with_head` says whether it goes on behind the last tap) each part learns from the teacher's features.
    /// `loss` is not asked where the head is left out.
    ///
    /// `None`, and nothing is done, where the two are not on one device that can do this.
    ///
    /// # Errors
    /// As for [`Engine::step_features`].
    fn step_beside(
        &mut self,
        _teacher: &mut dyn Engine,
        _batch: &Batch,
        _lesson: Option<WithHead>,
        _weight: f32,
        _loss: &mut dyn FnMut(&HeadOutput, HeadOutput) -> Result<Vec<f32>>,
        _update: &mut [f32],
    ) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }
}

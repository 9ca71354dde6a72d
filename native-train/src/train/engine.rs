//! The seam between training and whatever computes the network.

use anyhow::Result;

/// Pictures as the network takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// pictures x 3 x height x width; blue, green, red; 0-255.
    pub pixels: Vec<u8>,
    /// Number of pictures.
    pub pictures: usize,
    /// In pixels: a multiple of 32.
    pub height: usize,
    /// In pixels: a multiple of 32.
    pub width: usize,
}

/// What the network says about a batch: for every picture and anchor a row of `[x, y, w, h, obj, cls...]`, undecoded and
/// without sigmoid (`xy = (p + grid) * stride`, `wh = exp(p) * stride`), anchors in the order of [`shared_model::Graph::head`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutput {
    /// pictures x anchors x (5 + classes).
    pub values: Vec<f32>,
    /// Number of pictures.
    pub pictures: usize,
    /// Number of classes.
    pub classes: usize,
    /// Height of the pictures, in pixels.
    pub height: usize,
    /// Width of the pictures, in pixels.
    pub width: usize,
}

impl HeadOutput {
    /// Numbers in an anchor's row.
    pub fn row(&self) -> usize {
        5 + self.classes
    }

    /// Anchors of a picture.
    pub fn anchors(&self) -> usize {
        self.values.len() / (self.pictures * self.row()).max(1)
    }

    /// The rows of picture `i`: anchors x (5 + classes).
    pub fn picture(&self, i: usize) -> &[f32] {
        let size = self.anchors() * self.row();
        &self.values[i * size..][..size]
    }
}

/// One network on one device. Everything else about training lives outside it.
///
/// Parameters, gradients and statistics are flat arrays in the order of
/// [`shared_model::Graph::parameters`]`(NormState::Separate)`: see [`shared_model::ParameterLayout`].
pub trait Engine {
    /// Takes over these parameters and running statistics for the steps and inferences that follow.
    ///
    /// # Errors
    /// Fails where the device does.
    fn load(&mut self, parameters: &[f32]) -> Result<()>;

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
}

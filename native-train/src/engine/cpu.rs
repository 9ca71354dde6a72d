//! The engine of this project's own kernels: [`shared_model::Training`] on the CPU.

use anyhow::Result;
use rayon::prelude::*;
use shared_model::graph::Node;
use shared_model::{Graph, Network, Training, Weights};

use super::{Batch, Engine, HeadOutput, Lesson, OutputGradients, Outputs};

/// Computes on the CPU, with the threads of rayon's pool. Results do not depend on their number.
pub struct CpuEngine {
    training: Training,
    /// In place of it, the network as it is used, where nothing is trained: it computes less and keeps nothing.
    frozen: Option<Network>,
    taps: Vec<Node>,
    classes: usize,
    /// The last batch's pixels, as the kernels take them.
    pixels: Vec<f32>,
}

/// Pixels that a thread converts at a time.
const CHUNK: usize = 1 << 14;

impl CpuEngine {
    /// An engine for `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for a network with an operation that cannot be trained.
    pub fn new(graph: &Graph) -> Result<Self> {
        let training = Training::new(graph)?;
        Ok(Self { training, frozen: None, taps: Vec::new(), classes: graph.classes, pixels: Vec::new() })
    }

    fn convert(&mut self, batch: &Batch) {
        self.pixels.resize(batch.pixels.len(), 0.0);
        let chunks = self.pixels.par_chunks_mut(CHUNK).zip(batch.pixels.par_chunks(CHUNK));
        chunks.for_each(|(out, bytes)| out.iter_mut().zip(bytes).for_each(|(out, &byte)| *out = f32::from(byte)));
    }

    fn output(&self, batch: &Batch, values: Vec<f32>) -> HeadOutput {
        let &Batch { images, height, width, .. } = batch;
        HeadOutput { values, images, classes: self.classes, height, width }
    }
}

impl Engine for CpuEngine {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        self.frozen = None;
        Ok(self.training.load(parameters)?)
    }

    fn freeze(&mut self, weights: &Weights) -> Result<()> {
        self.frozen = Some(Network::new(&weights.graph()?, weights)?);
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        self.convert(batch);
        let values = self.training.forward(&self.pixels, batch.height, batch.width)?;
        let gradient = loss(&self.output(batch, values))?;
        Ok(self.training.backward(&gradient, update)?)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.convert(batch);
        let (height, width) = (batch.height, batch.width);
        let values = match &self.frozen {
            Some(network) => network.features(&self.pixels, height, width, &[])?.0,
            None => self.training.infer(&self.pixels, height, width)?,
        };
        Ok(self.output(batch, values))
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        self.convert(batch);
        Ok(self.training.observe(&self.pixels, batch.height, batch.width, statistics)?)
    }

    fn tap(&mut self, layers: &[Node]) -> Result<()> {
        self.taps = layers.to_vec();
        Ok(self.training.tap(layers)?)
    }

    fn infer_features(&mut self, batch: &Batch) -> Result<Outputs> {
        self.convert(batch);
        let (height, width) = (batch.height, batch.width);
        let (values, features) = match &self.frozen {
            Some(network) => network.features(&self.pixels, height, width, &self.taps)?,
            None => (self.training.infer(&self.pixels, height, width)?, self.training.features()?),
        };
        Ok(Outputs { head: self.output(batch, values), features })
    }

    fn step_features(
        &mut self,
        batch: &Batch,
        lesson: Option<Lesson>,
        loss: &mut dyn FnMut(&Outputs) -> Result<OutputGradients>,
        update: &mut [f32],
    ) -> Result<()> {
        self.convert(batch);
        let (height, width) = (batch.height, batch.width);
        let (values, features) = match lesson {
            Some(Lesson { features, with_head }) => {
                self.training.forward_taught(&self.pixels, height, width, features, with_head)?
            }
            None => (self.training.forward(&self.pixels, height, width)?, self.training.features()?),
        };
        let with_head = lesson.is_none_or(|lesson| lesson.with_head);
        let gradients = loss(&Outputs { head: self.output(batch, values), features })?;
        let of_head = with_head.then_some(gradients.head.as_slice());
        Ok(self.training.backward_taught(of_head, Some(&gradients.features), update)?)
    }
}

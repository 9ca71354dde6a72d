//! The engine of this project's own kernels: [`shared_model::Training`] on the CPU.

use anyhow::Result;
use shared_model::{Graph, Training};

use super::{Batch, Engine, HeadOutput};

/// Computes on the CPU, with the threads of rayon's pool. Results do not depend on their number.
pub struct NativeEngine {
    training: Training,
    classes: usize,
}

impl NativeEngine {
    /// An engine for `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for a network with an operation that cannot be trained.
    pub fn new(graph: &Graph) -> Result<Self> {
        Ok(Self { training: Training::new(graph)?, classes: graph.classes })
    }

    fn output(&self, batch: &Batch, values: Vec<f32>) -> HeadOutput {
        let &Batch { pictures, height, width, .. } = batch;
        HeadOutput { values, pictures, classes: self.classes, height, width }
    }
}

impl Engine for NativeEngine {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        Ok(self.training.load(parameters)?)
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        let values = self.training.forward(&batch.pixels, batch.height, batch.width)?;
        let gradient = loss(&self.output(batch, values))?;
        Ok(self.training.backward(&gradient, update)?)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        let values = self.training.infer(&batch.pixels, batch.height, batch.width)?;
        Ok(self.output(batch, values))
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        Ok(self.training.observe(&batch.pixels, batch.height, batch.width, statistics)?)
    }
}

//! The engine of candle's automatic differentiation: [`shared_model::candle::Yolox`] on the CPU. It is slower than the native
//! one; each checks the other.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use shared_model::candle::Yolox;
use shared_model::graph::Parameter;
use shared_model::{Graph, ParameterLayout};

use super::{Batch, Engine, HeadOutput};

/// Computes with candle, differentiating automatically.
pub struct CandleEngine {
    network: Yolox,
    layout: ParameterLayout,
    /// The network's tensors, in the order of the layout.
    variables: Vec<Var>,
    loaded: bool,
}

impl CandleEngine {
    /// An engine for `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for a network with an operation that there are no kernels for.
    pub fn new(graph: &Graph) -> Result<Self> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let mut network = Yolox::of_graph(graph.clone(), vb)?;
        // The batch's statistics take the running ones' place, where they are read.
        network.set_momentum(1.0)?;
        let layout = ParameterLayout::new(graph);
        let all = variables.data().lock().expect("nobody else has it");
        let named = |name: &str| all.get(name).cloned().with_context(|| format!("candle's network has no {name}"));
        let variables = layout.entries.iter().map(|(parameter, _)| named(&parameter.name)).collect::<Result<_>>()?;
        drop(all);
        Ok(Self { network, layout, variables, loaded: false })
    }

    fn images(&self, batch: &Batch) -> Result<Tensor> {
        ensure!(self.loaded, "parameters are loaded before anything is computed with them");
        let &Batch { ref pixels, images, height, width } = batch;
        ensure!(
            images > 0 && pixels.len() == images * 3 * height * width,
            "{} numbers are not {images} images of 3 x {height} x {width}, with sides in multiples of 32",
            pixels.len()
        );
        let pixels: Vec<f32> = pixels.iter().map(|&byte| f32::from(byte)).collect();
        Ok(Tensor::from_vec(pixels, (images, 3, height, width), &Device::Cpu)?)
    }

    fn head_output(batch: &Batch, raw: &Tensor) -> Result<HeadOutput> {
        let classes = raw.dim(2)? - 5;
        let values = raw.flatten_all()?.to_vec1()?;
        Ok(HeadOutput { values, images: batch.images, classes, height: batch.height, width: batch.width })
    }

    /// Statistics from the network's running ones.
    fn read_statistics(&self, statistics: &mut [f32]) -> Result<()> {
        for ((parameter, place), variable) in self.layout.entries.iter().zip(&self.variables) {
            if !parameter.trainable {
                statistics[place.clone()].copy_from_slice(&variable.to_vec1::<f32>()?);
            }
        }
        Ok(())
    }
}

impl Engine for CandleEngine {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        let expected = self.layout.len;
        ensure!(parameters.len() == expected, "{} parameters for a network that has {expected}", parameters.len());
        for ((parameter, place), variable) in self.layout.entries.iter().zip(&self.variables) {
            let values = parameters[place.clone()].to_vec();
            variable.set(&Tensor::from_vec(values, &parameter.shape[..], &Device::Cpu)?)?;
        }
        self.loaded = true;
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        let expected = self.layout.len;
        ensure!(update.len() == expected, "an update of {expected} numbers is needed, not {}", update.len());
        self.network.set_training(true);
        let raw = self.network.forward(&self.images(batch)?)?;
        let gradient = loss(&Self::head_output(batch, &raw)?)?;
        let expected = raw.elem_count();
        ensure!(gradient.len() == expected, "a gradient of {expected} numbers is needed, not {}", gradient.len());
        // A number whose gradient with respect to the output is the given one.
        let objective = (&raw * Tensor::from_vec(gradient, raw.shape(), &Device::Cpu)?)?.sum_all()?;
        let gradients = objective.backward()?;
        for ((parameter, place), variable) in self.layout.entries.iter().zip(&self.variables) {
            if parameter.trainable {
                let gradient =
                    gradients.get(variable).with_context(|| format!("{} has no gradient", parameter.name))?;
                update[place.clone()].copy_from_slice(&gradient.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        self.read_statistics(update)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.network.set_training(false);
        Self::head_output(batch, &self.network.forward(&self.images(batch)?)?)
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        let is_statistic = |(parameter, _): &&(Parameter, _)| !parameter.trainable;
        let running: Vec<&Var> = self
            .layout
            .entries
            .iter()
            .zip(&self.variables)
            .filter(|(entry, _)| is_statistic(entry))
            .map(|(_, v)| v)
            .collect();
        // The next pass goes by the running statistics from before.
        let before = running.iter().map(|variable| variable.copy()).collect::<candle_core::Result<Vec<_>>>()?;
        self.network.calibrate(&self.images(batch)?)?;
        self.read_statistics(statistics)?;
        running.iter().zip(&before).try_for_each(|(variable, before)| Ok(variable.set(before)?))
    }
}

//! What all comparisons of networks begin with: random images, random weights, the CPU's engine.

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Graph, ParameterLayout, Variant, Weights};

use super::Checked;
use crate::engine::{Batch, CpuEngine, Engine};

const CLASSES: usize = 3;

pub(super) struct CheckCase {
    pub(super) graph: Graph,
    pub(super) layout: ParameterLayout,
    pub(super) batch: Batch,
    pub(super) native: CpuEngine,
    pub(super) rng: Pcg64Mcg,
    random: Vec<f32>,
}

impl CheckCase {
    pub(super) fn new(variant: &Variant, (images, height, width): (usize, usize, usize), seed: u64) -> Result<Self> {
        let graph = variant.graph(CLASSES);
        let layout = ParameterLayout::new(&graph);
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let pixels = (0..images * 3 * height * width).map(|_| rng.random()).collect();
        let batch = Batch { pixels, images, height, width };
        let random = layout.flatten(&Weights::random(variant, CLASSES, 1));
        Ok(Self { native: CpuEngine::new(&graph)?, graph, layout, batch, rng, random })
    }

    /// Random parameters with a normalisation that does something, also by its running statistics.
    pub(super) fn random_parameters(&mut self) -> Vec<f32> {
        let mut parameters = self.random.clone();
        for (parameter, offset) in self.layout.entries.iter().filter(|(parameter, _)| parameter.name.contains(".bn.")) {
            let low = if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
            parameters[offset.clone()].iter_mut().for_each(|value| *value = self.rng.random_range(low..1.0));
        }
        parameters
    }

    /// The parameters with running statistics near those of the batch, as they are in the middle of a training, but not its very
    /// own: deep networks that are not normalised well enlarge rounding.
    ///
    /// # Errors
    /// Fails where the engine does.
    pub(super) fn settled(&mut self, parameters: &[f32]) -> Result<Vec<f32>> {
        let mut settled = parameters.to_vec();
        self.native.load(parameters)?;
        let mut update = vec![0.0; self.layout.len];
        self.native.step(&self.batch, &mut |output| Ok(output.values.clone()), &mut update)?;
        let statistics: Vec<_> = self.layout.entries.iter().filter(|(parameter, _)| !parameter.trainable).collect();
        // Means and variances take turns.
        for pair in statistics.chunks_exact(2) {
            for (mean, variance) in pair[0].1.clone().zip(pair[1].1.clone()) {
                settled[mean] = update[mean] + self.rng.random_range(-0.3..0.3) * update[variance].sqrt();
                settled[variance] = update[variance] * self.rng.random_range(0.8..1.25);
            }
        }
        Ok(settled)
    }

    /// Of an update, what belongs to parameters that are `trainable`, or not.
    pub(super) fn of_kind(&self, update: &[f32], trainable: bool) -> Vec<f32> {
        let entries = self.layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
        entries.flat_map(|(_, offset)| update[offset.clone()].to_vec()).collect()
    }
}

/// Two vectors, by the length of their difference.
pub(super) fn compared(what: String, found: &[f32], expected: &[f32], tolerance: f64) -> Checked {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let difference = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let error = difference / length(&mut expected.iter().copied()).max(f64::MIN_POSITIVE);
    let error = if error.is_nan() || found.len() != expected.len() { f64::INFINITY } else { error };
    Checked { what, error, tolerance }
}

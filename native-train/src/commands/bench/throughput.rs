//! How fast a GPU trains and infers.

use std::time::Instant;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use shared_model::{ParameterLayout, Variant, Weights};

use super::train::measure_steps;
use super::{CLASSES, SEED, spread};
use crate::engine::cuda::device::Device;
use crate::engine::cuda::{Cuda, CudaEngine};
use crate::engine::{Batch, DeviceName, EngineChoice, EngineName};

/// Runs before the measured ones: launches are recorded in the second one.
const WARM_UP: u32 = 3;

/// Times of one network with one size of batch.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct Measured {
    pub(in crate::commands) variant: &'static str,
    /// Device, engine and precision.
    pub(in crate::commands) computed_by: String,
    pub(in crate::commands) batch: usize,
    pub(in crate::commands) images_per_second: f64,
    /// Median of a whole step, or of an inference with both transfers.
    pub(in crate::commands) ms: f64,
    /// Median of the engine's part of a step: all but losses and optimizer.
    engine_ms: Option<f64>,
    /// Of the GPU, as far as the engine knows.
    memory_gib: Option<f64>,
    /// Kernels and matrix products that a step starts, as far as the engine knows.
    launches: Option<usize>,
    /// Its rate against PyTorch's for a step, where that was measured.
    pub(in crate::commands) times_pytorch: Option<f64>,
}

impl Measured {
    pub(in crate::commands) fn training_row(&self) -> [String; 7] {
        let shown = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        [
            format!("{}, {}", self.variant, self.computed_by),
            self.batch.to_string(),
            format!("{:.0}", self.images_per_second),
            format!("{:.2}", self.ms),
            shown(self.engine_ms),
            shown(self.memory_gib),
            self.launches.map_or(String::new(), |launches| launches.to_string()),
        ]
    }

    pub(in crate::commands) fn inference_row(&self) -> [String; 4] {
        let [variant, batch, rate, ms, ..] = self.training_row();
        [variant, batch, rate, ms]
    }
}

/// Times of whole steps of training.
///
/// # Errors
/// Fails where the engine does.
pub(in crate::commands) fn training(
    choice: EngineChoice,
    variant: &'static Variant,
    batch: usize,
    size: usize,
    runs: u32,
) -> Result<Measured> {
    let graph = variant.graph(CLASSES);
    let (parts, memory_gib, launches) = match choice {
        EngineChoice { engine: EngineName::Native, device: DeviceName::Cuda(index), precision } => {
            let mut engine = CudaEngine::new(&graph, Cuda::open(index, precision)?)?;
            let parts = measure_steps(&mut engine, variant, batch, size, runs)?;
            let memory = 4.0 * engine.device().capacity() as f64 / f64::from(1 << 30);
            (parts, Some(memory), Some(engine.commands_of_a_step(batch, size, size)))
        }
        _ => (measure_steps(choice.engine(&graph)?.as_mut(), variant, batch, size, runs)?, None, None),
    };
    let ms = parts.step.median;
    Ok(Measured {
        variant: variant.name,
        computed_by: choice.to_string(),
        batch,
        images_per_second: 1e3 * batch as f64 / ms,
        ms,
        engine_ms: Some(parts.forward.median + parts.backward.median),
        memory_gib,
        launches,
        times_pytorch: None,
    })
}

/// Times of inference, pixels and results being transferred.
///
/// # Errors
/// Fails where the engine does.
pub(in crate::commands) fn inference(
    choice: EngineChoice,
    variant: &'static Variant,
    images: usize,
    size: usize,
    runs: u32,
) -> Result<Measured> {
    let graph = variant.graph(CLASSES);
    let mut engine = choice.engine(&graph)?;
    engine.load(&ParameterLayout::new(&graph).flatten(&Weights::random(variant, CLASSES, SEED)))?;
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let pixels = (0..images * 3 * size * size).map(|_| rng.random()).collect();
    let batch = Batch { pixels, images, height: size, width: size };
    let mut times = Vec::new();
    for run in 0..WARM_UP + runs {
        let start = Instant::now();
        engine.infer(&batch)?;
        if run >= WARM_UP {
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
    }
    let ms = spread(times).median;
    Ok(Measured {
        variant: variant.name,
        computed_by: choice.to_string(),
        batch: images,
        images_per_second: 1e3 * images as f64 / ms,
        ms,
        engine_ms: None,
        memory_gib: None,
        launches: None,
        times_pytorch: None,
    })
}

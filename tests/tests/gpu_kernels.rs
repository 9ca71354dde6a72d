//! The GPU's kernels and the engine that runs them against the CPU's engine, on the emulator: for every variant, and for single
//! operations at odd sizes.

#![cfg(emulator)]

use integration_tests::emulator::Emulator;
use native_train::gpu::GpuEngine;
use native_train::gpu::device::Device;
use native_train::train::{Batch, Engine, HeadOutput, NativeEngine};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Graph, ParameterLayout, VARIANTS, Variant, Weights};

const CLASSES: usize = 3;

struct Case {
    graph: Graph,
    layout: ParameterLayout,
    parameters: Vec<f32>,
    rng: Pcg64Mcg,
}

fn uniform(rng: &mut Pcg64Mcg, count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

impl Case {
    /// A variant with random weights, and normalisation that does something, also by its running statistics.
    fn new(variant: &Variant) -> Self {
        let graph = variant.graph(CLASSES);
        let layout = ParameterLayout::new(&graph);
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut parameters = layout.flatten(&Weights::random(variant, CLASSES, 1));
        for (parameter, place) in &layout.entries {
            if parameter.name.contains(".bn.") {
                let low =
                    if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
                parameters[place.clone()].copy_from_slice(&uniform(&mut rng, place.len(), low, 1.0));
            }
        }
        Self { graph, layout, parameters, rng }
    }

    fn batch(&mut self, pictures: usize, height: usize, width: usize) -> Batch {
        let pixels = (0..pictures * 3 * height * width).map(|_| self.rng.random()).collect();
        Batch { pixels, pictures, height, width }
    }

    /// The parameters with running statistics near those of a batch, as they are in the middle of a training, but not its very own.
    fn settled(&mut self, batch: &Batch) -> Vec<f32> {
        let mut parameters = self.parameters.clone();
        let mut engine = NativeEngine::new(&self.graph).unwrap();
        engine.load(&self.parameters).unwrap();
        let mut update = vec![0.0; self.layout.len];
        engine.step(batch, &mut |output| Ok(output.values.clone()), &mut update).unwrap();
        let statistics: Vec<_> = self.layout.entries.iter().filter(|(parameter, _)| !parameter.trainable).collect();
        // Means and variances take turns.
        for pair in statistics.chunks_exact(2) {
            for (mean, variance) in pair[0].1.clone().zip(pair[1].1.clone()) {
                parameters[mean] = update[mean] + self.rng.random_range(-0.3..0.3) * update[variance].sqrt();
                parameters[variance] = update[variance] * self.rng.random_range(0.8..1.25);
            }
        }
        parameters
    }
}

/// What an engine makes of a batch.
#[derive(PartialEq)]
struct Found {
    inferred: HeadOutput,
    trained: HeadOutput,
    update: Vec<f32>,
    observed: Vec<f32>,
}

/// The gradient of the output is the output, so that all of it matters. Inference is by `case`'s statistics, training by those
/// that are `settled`: deep networks that are not normalised well enlarge rounding.
fn found(engine: &mut dyn Engine, case: &Case, settled: &[f32], batch: &Batch) -> Found {
    engine.load(&case.parameters).unwrap();
    let inferred = engine.infer(batch).unwrap();
    engine.load(settled).unwrap();
    let mut trained = HeadOutput::default();
    let mut update = vec![f32::NAN; case.layout.len];
    let mut loss = |output: &HeadOutput| {
        trained = output.clone();
        Ok(output.values.clone())
    };
    engine.step(batch, &mut loss, &mut update).unwrap();
    let mut observed = vec![0.0; case.layout.len];
    engine.observe(batch, &mut observed).unwrap();
    Found { inferred, trained, update, observed }
}

fn check_output(what: &str, found: &HeadOutput, expected: &HeadOutput) {
    assert_eq!(found.values.len(), expected.values.len(), "{what}");
    let errors = found.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs() / (1.0 + b.abs()));
    let worst = errors.fold(0.0, |worst: f32, error| if error.is_nan() { f32::INFINITY } else { worst.max(error) });
    println!("{what}: {worst:.1e}");
    assert!(worst <= 1e-4, "{what}: {worst}");
}

/// Per tensor, the length of the difference against the length.
fn check_tensors(what: &str, layout: &ParameterLayout, found: &[f32], expected: &[f32], trainable: Option<bool>) {
    let length = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let mut worst = (0.0, "");
    let mut all = 0.0_f64;
    for (parameter, place) in &layout.entries {
        all = all.max(length(&expected[place.clone()]));
        if trainable.is_some_and(|trainable| trainable != parameter.trainable) {
            continue;
        }
        let (found, expected) = (&found[place.clone()], &expected[place.clone()]);
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(expected).max(1e-6 * all);
        assert!(error.is_finite(), "{what}: {}", parameter.name);
        if error > worst.0 {
            worst = (error, &parameter.name);
        }
    }
    println!("{what}: {:.1e} {}", worst.0, worst.1);
    assert!(worst.0 <= 1e-3, "{what}: {worst:?}");
}

#[test]
fn every_variant_computes_what_the_cpu_does() {
    for variant in &VARIANTS {
        let mut case = Case::new(variant);
        let batch = case.batch(2, 64, 96);
        let settled = case.settled(&batch);
        let expected = found(&mut NativeEngine::new(&case.graph).unwrap(), &case, &settled, &batch);
        let mut gpu = GpuEngine::new(&case.graph, Emulator::new(false)).unwrap();
        let found = found(&mut gpu, &case, &settled, &batch);
        let name = variant.name;
        check_output(&format!("{name}, inference"), &found.inferred, &expected.inferred);
        check_output(&format!("{name}, training"), &found.trained, &expected.trained);
        check_tensors(&format!("{name}, update"), &case.layout, &found.update, &expected.update, None);
        let observed = format!("{name}, observed");
        check_tensors(&observed, &case.layout, &found.observed, &expected.observed, Some(false));
    }
}

/// Whatever a thread needs of another must wait at a barrier: then it does not matter who goes first.
#[test]
fn the_order_of_threads_changes_nothing() {
    // These have all kernels.
    for name in ["final", "ghost"] {
        let mut case = Case::new(Variant::named(name).unwrap());
        let batch = case.batch(1, 64, 32);
        let settled = case.parameters.clone();
        let run = |backwards| {
            let mut gpu = GpuEngine::new(&case.graph, Emulator::new(backwards)).unwrap();
            found(&mut gpu, &case, &settled, &batch)
        };
        assert!(run(false) == run(true), "{name}");
    }
}

/// One engine meets batches of all sizes: its memory grows, its programs are kept, and nothing of one is left over in another.
#[test]
fn sizes_may_change_from_step_to_step() {
    let mut case = Case::new(Variant::named("fpn2").unwrap());
    let mut gpu = GpuEngine::new(&case.graph, Emulator::new(false)).unwrap();
    let sizes = [(1, 32, 64), (3, 64, 32), (1, 32, 64), (2, 96, 32)];
    for (pictures, height, width) in sizes {
        let batch = case.batch(pictures, height, width);
        let settled = case.settled(&batch);
        let mut fresh = GpuEngine::new(&case.graph, Emulator::new(false)).unwrap();
        assert!(found(&mut gpu, &case, &settled, &batch) == found(&mut fresh, &case, &settled, &batch));
    }
}

#[test]
fn bad_batches_and_full_memory_are_explained() {
    let mut case = Case::new(&VARIANTS[0]);
    let batch = case.batch(4, 64, 64);
    let mut gpu = GpuEngine::new(&case.graph, Emulator::new(false)).unwrap();
    assert!(gpu.infer(&batch).unwrap_err().to_string().contains("parameters are loaded before"));
    assert!(gpu.load(&case.parameters[1..]).is_err());
    gpu.load(&case.parameters).unwrap();
    for (height, width) in [(64, 48), (0, 64), (64, 128)] {
        let error = gpu.infer(&Batch { height, width, ..batch.clone() }).unwrap_err().to_string();
        assert!(error.contains("multiples of 32"), "{error}");
    }
    gpu.infer(&batch).unwrap();

    let needed = gpu.device().capacity();
    let with_room = |room| {
        let mut device = Emulator::new(false);
        device.room = room;
        let mut gpu = GpuEngine::new(&case.graph, device).unwrap();
        gpu.load(&case.parameters).unwrap();
        gpu.infer(&batch).map(|_| ())
    };
    with_room(needed).unwrap();
    let error = with_room(needed - 1).unwrap_err().to_string();
    assert!(error.contains("--batch 3 would fit") && error.contains("4 pictures of 64 x 64"), "{error}");
    assert!(with_room(1000).unwrap_err().to_string().contains("smaller --size"));
}

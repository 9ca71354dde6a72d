//! The GPU's kernels and the engine that runs them against the CPU's engine, on the emulator: for every variant, and for single
//! operations at odd sizes.

#![cfg(emulator)]

use integration_tests::emulator::Emulator;
use native_train::gpu::GpuEngine;
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
}

/// What an engine makes of a batch.
#[derive(PartialEq)]
struct Found {
    trained: HeadOutput,
    update: Vec<f32>,
    inferred: HeadOutput,
    observed: Vec<f32>,
}

/// The gradient of the output is the output, so that all of it matters.
fn found(engine: &mut dyn Engine, case: &Case, batch: &Batch) -> Found {
    engine.load(&case.parameters).unwrap();
    let mut trained = HeadOutput::default();
    let mut update = vec![f32::NAN; case.layout.len];
    let mut loss = |output: &HeadOutput| {
        trained = output.clone();
        Ok(output.values.clone())
    };
    engine.step(batch, &mut loss, &mut update).unwrap();
    let inferred = engine.infer(batch).unwrap();
    let mut observed = vec![0.0; case.layout.len];
    engine.observe(batch, &mut observed).unwrap();
    Found { trained, update, inferred, observed }
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
        let expected = found(&mut NativeEngine::new(&case.graph).unwrap(), &case, &batch);
        let mut gpu = GpuEngine::new(&case.graph, Emulator::new(false)).unwrap();
        let found = found(&mut gpu, &case, &batch);
        let name = variant.name;
        check_output(&format!("{name}, training"), &found.trained, &expected.trained);
        check_output(&format!("{name}, inference"), &found.inferred, &expected.inferred);
        check_tensors(&format!("{name}, update"), &case.layout, &found.update, &expected.update, None);
        let observed = format!("{name}, observed");
        check_tensors(&observed, &case.layout, &found.observed, &expected.observed, Some(false));
    }
}

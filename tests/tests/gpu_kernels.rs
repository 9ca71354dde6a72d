//! The GPU's kernels and the engine that runs them, on the emulator: every operation at odd sizes, every variant against the CPU's
//! engine, and what a GPU cannot be asked for.

#![cfg(emulator)]

use integration_tests::emulator::Emulator;
use native_train::engine::cuda::CudaEngine;
use native_train::engine::cuda::check::{Checked, check_beside, check_operations, check_taps, check_variant};
use native_train::engine::cuda::device::Device;
use native_train::engine::{Batch, Engine, HeadOutput};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Graph, ParameterLayout, VARIANTS, Variant, Weights};

const CLASSES: usize = 3;

fn assert_passed(all: &[Checked]) {
    for checked in all {
        println!("{:.1e} of {:.0e}: {}", checked.error, checked.tolerance, checked.what);
    }
    let failed: Vec<_> = all.iter().filter(|checked| !checked.is_passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_operation_computes_what_its_reference_does() {
    assert_passed(&check_operations(&mut Emulator::new(false), 4, 1.0).unwrap());
}

#[test]
fn every_variant_computes_what_the_cpu_does() {
    for variant in &VARIANTS {
        let mut make = |graph: &Graph| -> anyhow::Result<Box<dyn Engine>> {
            Ok(Box::new(CudaEngine::new(graph, Emulator::new(false))?))
        };
        assert_passed(&check_variant(variant, (2, 64, 96), 1.0, &mut make).unwrap());
        assert_passed(&check_taps(variant, (2, 64, 96), 1.0, &mut make).unwrap());
        assert_passed(&check_beside(variant, (2, 64, 96), 1.0, &mut make).unwrap());
    }
}

struct Case {
    graph: Graph,
    parameters: Vec<f32>,
    rng: Pcg64Mcg,
}

impl Case {
    fn new(variant: &Variant) -> Self {
        let graph = variant.graph(CLASSES);
        let parameters = ParameterLayout::new(&graph).flatten(&Weights::random(variant, CLASSES, 1));
        Self { graph, parameters, rng: Pcg64Mcg::seed_from_u64(7) }
    }

    fn batch(&mut self, images: usize, height: usize, width: usize) -> Batch {
        let pixels = (0..images * 3 * height * width).map(|_| self.rng.random()).collect();
        Batch { pixels, images, height, width }
    }

    fn engine(&self, backwards: bool) -> CudaEngine<Emulator> {
        let mut gpu = CudaEngine::new(&self.graph, Emulator::new(backwards)).unwrap();
        gpu.load(&self.parameters).unwrap();
        gpu
    }
}

/// The output of a step, and its update.
fn step(engine: &mut dyn Engine, batch: &Batch, parameters: usize) -> (HeadOutput, Vec<f32>) {
    let mut trained = HeadOutput::default();
    let mut update = vec![0.0; parameters];
    let mut loss = |output: &HeadOutput| {
        trained = output.clone();
        Ok(output.values.clone())
    };
    engine.step(batch, &mut loss, &mut update).unwrap();
    (trained, update)
}

/// Whatever a thread needs of another must wait at a barrier, and what a block needs of others must wait for the last of them: then
/// it does not matter who goes first.
#[test]
fn the_order_of_threads_and_blocks_changes_nothing() {
    let operations = |backwards| check_operations(&mut Emulator::new(backwards), 2, 1.0).unwrap();
    assert_eq!(operations(false), operations(true));
    // These have all kernels.
    for name in ["final", "ghost"] {
        let mut case = Case::new(Variant::named(name).unwrap());
        let batch = case.batch(1, 64, 32);
        let run = |backwards| step(&mut case.engine(backwards), &batch, case.parameters.len());
        assert!(run(false) == run(true), "{name}");
    }
}

/// One engine meets batches of all sizes: its memory grows, its programs are kept, and nothing of one is left over in another.
#[test]
fn sizes_may_change_from_step_to_step() {
    let mut case = Case::new(Variant::named("fpn2").unwrap());
    let mut gpu = case.engine(false);
    for (images, height, width) in [(1, 32, 64), (3, 64, 32), (1, 32, 64)] {
        let batch = case.batch(images, height, width);
        let parameters = case.parameters.len();
        assert!(step(&mut gpu, &batch, parameters) == step(&mut case.engine(false), &batch, parameters));
    }
}

#[test]
fn bad_batches_and_full_memory_are_explained() {
    let mut case = Case::new(&VARIANTS[0]);
    let batch = case.batch(4, 64, 64);
    let mut gpu = CudaEngine::new(&case.graph, Emulator::new(false)).unwrap();
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
        let mut gpu = CudaEngine::new(&case.graph, device).unwrap();
        gpu.load(&case.parameters).unwrap();
        gpu.infer(&batch).map(|_| ())
    };
    with_room(needed).unwrap();
    let error = with_room(needed - 1).unwrap_err().to_string();
    assert!(error.contains("--batch 3 would fit") && error.contains("4 images of 64 x 64"), "{error}");
    assert!(with_room(1000).unwrap_err().to_string().contains("smaller --size"));
}

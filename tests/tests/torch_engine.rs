//! The engine of libtorch computes what the project's own does: for every variant one step, inference and observed
//! statistics; and ten steps of training on real photographs.

use std::sync::Arc;

use integration_tests::{repository, shared};
use native_train::augment::Augmentation;
use native_train::data::{Source, TrainingSet};
use native_train::train::loader::{BatchPlan, Loader, LoaderSettings};
use native_train::train::{
    Batch, Engine, HeadOutput, LabelledBatch, LossSettings, NativeEngine, Object, Precision, Sgd, TorchDevice,
    TorchEngine, loss, recreate_norm, unfolded,
};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Graph, ParameterLayout, VARIANTS, Variant, Weights};

const CLASSES: usize = 3;

struct Case {
    native: NativeEngine,
    torch: TorchEngine,
    layout: ParameterLayout,
    parameters: Vec<f32>,
    rng: Pcg64Mcg,
}

fn torch(graph: &Graph, precision: Precision) -> TorchEngine {
    TorchEngine::new(graph, TorchDevice::Cpu, precision).unwrap()
}

fn uniform(rng: &mut Pcg64Mcg, count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

fn random_batch(rng: &mut Pcg64Mcg, pictures: usize, height: usize, width: usize) -> Batch {
    let pixels = (0..pictures * 3 * height * width).map(|_| rng.random::<u8>().into()).collect();
    Batch { pixels, pictures, height, width }
}

impl Case {
    /// Both engines, with the same random parameters.
    fn new(variant: &Variant, precision: Precision) -> Self {
        let graph = variant.graph(CLASSES);
        let layout = ParameterLayout::new(&graph);
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut parameters = layout.flatten(&Weights::random(variant, CLASSES, 1));
        // Normalisation that does something, also by its running statistics.
        for (parameter, place) in &layout.entries {
            if parameter.name.contains(".bn.") {
                let low =
                    if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
                parameters[place.clone()].copy_from_slice(&uniform(&mut rng, place.len(), low, 1.0));
            }
        }
        let (mut native, mut torch) = (NativeEngine::new(&graph).unwrap(), torch(&graph, precision));
        native.load(&parameters).unwrap();
        torch.load(&parameters).unwrap();
        Self { native, torch, layout, parameters, rng }
    }
}

/// A step whose loss is the sum of the outputs times random numbers: what the network says, and the update.
fn step(engine: &mut dyn Engine, batch: &Batch, len: usize) -> (HeadOutput, Vec<f32>) {
    let mut said = HeadOutput::default();
    let mut update = vec![f32::NAN; len];
    let mut head = |output: &HeadOutput| {
        said = output.clone();
        Ok(uniform(&mut Pcg64Mcg::seed_from_u64(8), output.values.len(), -1.0, 1.0))
    };
    engine.step(batch, &mut head, &mut update).unwrap();
    (said, update)
}

/// Greatest difference of two arrays' numbers, relative to one more than their size.
fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|value| value.is_finite()), "every place is filled");
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

fn worst_output(found: &HeadOutput, expected: &HeadOutput) -> f32 {
    let shape = |output: &HeadOutput| (output.pictures, output.classes, output.height, output.width);
    assert_eq!(shape(found), shape(expected));
    worst(&found.values, &expected.values)
}

/// The greatest relative error of a tensor, by Euclidean norms, and its name; of trainable tensors or of statistics.
fn worst_tensor(layout: &ParameterLayout, trainable: bool, found: &[f32], expected: &[f32]) -> (f64, String) {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let tensors = layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
    let errors = tensors.map(|(parameter, place)| {
        let (found, expected) = (&found[place.clone()], &expected[place.clone()]);
        let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let error = difference / norm(&mut expected.iter().copied()).max(1e-9);
        (if error.is_nan() { f64::INFINITY } else { error }, parameter.name.clone())
    });
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn every_variant_computes_what_the_native_engine_does() {
    for variant in &VARIANTS {
        let Case { mut native, mut torch, layout, parameters, mut rng } = Case::new(variant, Precision::F32);
        let batch = random_batch(&mut rng, 2, 64, 96);
        let (expected, expected_update) = step(&mut native, &batch, layout.len);
        let (found, update) = step(&mut torch, &batch, layout.len);
        let output = worst_output(&found, &expected);
        let gradient = worst_tensor(&layout, true, &update, &expected_update);
        let statistics = worst_tensor(&layout, false, &update, &expected_update);
        native.load(&parameters).unwrap();
        let inference = worst_output(&torch.infer(&batch).unwrap(), &native.infer(&batch).unwrap());

        let observe = |engine: &mut dyn Engine| {
            let mut observed = parameters.clone();
            engine.observe(&batch, &mut observed).unwrap();
            observed
        };
        let (observed, expected) = (observe(&mut torch), observe(&mut native));
        assert_eq!(worst_tensor(&layout, true, &observed, &parameters).0, 0.0, "parameters are left alone");
        let observation = worst_tensor(&layout, false, &observed, &expected);
        println!(
            "{:10} output {output:.1e}, gradient {:.1e} ({}), statistics {:.1e} ({}), inference {inference:.1e}, \
             observed {:.1e} ({})",
            variant.name, gradient.0, gradient.1, statistics.0, statistics.1, observation.0, observation.1
        );
        assert!(output < 1e-4 && inference < 1e-4, "{}", variant.name);
        assert!(gradient.0 < 1e-3 && statistics.0 < 1e-3 && observation.0 < 1e-3, "{}", variant.name);
    }
}

/// The smallest batch there is: where the stride is 32, normalisation sees one number a channel.
#[test]
fn a_single_pixel_has_no_variance() {
    let Case { mut native, mut torch, layout, mut rng, .. } = Case::new(&VARIANTS[0], Precision::F32);
    let batch = random_batch(&mut rng, 1, 32, 32);
    let (expected, expected_update) = step(&mut native, &batch, layout.len);
    let (found, update) = step(&mut torch, &batch, layout.len);
    assert!(worst_output(&found, &expected) < 1e-4);
    assert!(worst(&update, &expected_update).is_finite());
    let alone = |update: &[f32]| {
        let (_, place) = layout.entries.iter().find(|(p, _)| p.name == "backbone.C3_n4.conv3.bn.running_var").unwrap();
        update[place.clone()].to_vec()
    };
    assert!(alone(&update).iter().all(|&variance| variance == 0.0));
    assert_eq!(alone(&update), alone(&expected_update));
}

/// Half precision is no more than that: nothing but rounding differs, and gradients point the same way.
#[test]
fn bfloat16_differs_by_its_rounding() {
    for name in ["baseline", "ghost", "final"] {
        let Case { mut native, mut torch, layout, mut rng, .. } =
            Case::new(Variant::named(name).unwrap(), Precision::Bf16);
        let batch = random_batch(&mut rng, 2, 64, 96);
        let (expected, expected_update) = step(&mut native, &batch, layout.len);
        let (found, update) = step(&mut torch, &batch, layout.len);
        let part = |update: &[f32], trainable: bool| -> Vec<f64> {
            let entries = layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
            entries.flat_map(|(_, place)| &update[place.clone()]).map(|&value| value.into()).collect()
        };
        let cosine = |a: Vec<f64>, b: Vec<f64>| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
        };
        let output = worst_output(&found, &expected);
        let gradients = cosine(part(&update, true), part(&expected_update, true));
        let statistics = cosine(part(&update, false), part(&expected_update, false));
        let inference = worst_output(&torch.infer(&batch).unwrap(), &native.infer(&batch).unwrap());
        println!("{name}: output {output}, inference {inference}, cosines: {gradients}, {statistics}");
        assert!(output > 1e-4 && inference > 1e-4, "{name}: it is not computed in single precision");
    }
}

#[test]
fn wrong_sizes_and_orders_are_refused() {
    let graph = VARIANTS[0].graph(CLASSES);
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut engine = torch(&graph, Precision::F32);
    let batch = random_batch(&mut rng, 1, 32, 32);
    let error = engine.infer(&batch).unwrap_err().to_string();
    assert!(error.contains("loaded before"), "{error}");
    let len = ParameterLayout::new(&graph).len;
    assert!(engine.load(&vec![0.5; len - 1]).is_err());
    engine.load(&vec![0.5; len]).unwrap();
    for wrong in [
        Batch { height: 64, ..batch.clone() },
        Batch { pictures: 0, pixels: Vec::new(), ..batch.clone() },
        random_batch(&mut rng, 1, 32, 40),
    ] {
        assert!(engine.infer(&wrong).unwrap_err().to_string().contains("multiples of 32"));
    }
    let mut update = vec![0.0; len];
    let short = engine.step(&batch, &mut |_| Ok(vec![0.0; 3]), &mut update).unwrap_err();
    assert!(short.to_string().contains("a gradient of"), "{short}");
    assert!(engine.step(&batch, &mut |_| anyhow::bail!("no loss"), &mut update).is_err());
    assert!(engine.step(&batch, &mut |output| Ok(output.values.clone()), &mut update[1..]).is_err());
    engine.step(&batch, &mut |output| Ok(output.values.clone()), &mut update).unwrap();
}

/// Ten batches of four pictures: photographs as training sees them where there are some, else noise with random objects.
fn training_batches(classes: usize) -> Vec<LabelledBatch> {
    const STEPS: usize = 10;
    const PICTURES: usize = 4;
    const SIZE: usize = 128;
    if let Some(shared) = shared("training on photographs") {
        let source = Source { folder: shared.join("voc/VOC2008plus"), split: "val".into() };
        let set = Arc::new(TrainingSet::open(&[source], None, false).unwrap());
        assert_eq!(set.class_names.len(), classes);
        let settings = LoaderSettings { seed: 0, threads: 1, prefetch: 2, cache_bytes: 0 };
        let plan = |index: usize| {
            let pictures = (0..PICTURES).map(|i| (PICTURES * index + i, PICTURES * index + i)).collect();
            (index < STEPS).then_some(BatchPlan { epoch: 0, pictures, size: SIZE, mosaic: true })
        };
        return Loader::start(set, Augmentation::default(), settings, 0, plan).map(Result::unwrap).collect();
    }
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let side = SIZE as f32;
    let batch = |_| {
        let batch = random_batch(&mut rng, PICTURES, SIZE, SIZE);
        let mut object = || Object {
            class: rng.random_range(0..classes),
            cx: side * rng.random_range(0.2..0.8),
            cy: side * rng.random_range(0.2..0.8),
            w: side * rng.random_range(0.1..0.4),
            h: side * rng.random_range(0.1..0.4),
        };
        let objects = (0..PICTURES).map(|_| (0..3).map(|_| object()).collect()).collect();
        LabelledBatch { batch, objects }
    };
    (0..STEPS).map(batch).collect()
}

/// The published weights for Pascal VOC, with normalisation re-created from the first batch by `engine`.
fn published(engine: &mut dyn Engine, batch: &Batch) -> (Graph, Vec<f32>) {
    let file = std::fs::read(repository().join("models/baseline-voc.safetensors")).unwrap();
    let weights = unfolded(&Weights::from_bytes(&file).unwrap()).unwrap();
    let graph = weights.graph().unwrap();
    let mut parameters = ParameterLayout::new(&graph).flatten(&weights);
    recreate_norm(engine, &graph, &mut parameters, std::slice::from_ref(batch)).unwrap();
    (graph, parameters)
}

/// The total losses of training on `batches`, and the first step's update.
fn train(engine: &mut dyn Engine, batches: &[LabelledBatch], layout: &ParameterLayout, parameters: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut parameters = parameters.to_vec();
    let mut sgd = Sgd::new(layout, 5e-4, &[], vec![0.0; layout.len]).unwrap();
    let mut first = Vec::new();
    let step = |LabelledBatch { batch, objects }: &LabelledBatch| {
        engine.load(&parameters).unwrap();
        let mut total = 0.0;
        let mut update = vec![0.0; layout.len];
        let mut head = |output: &_| {
            let (losses, gradient) = loss(output, objects, &LossSettings::default());
            total = losses.total;
            println!("   {losses:?}");
            Ok(gradient)
        };
        engine.step(batch, &mut head, &mut update).unwrap();
        sgd.step(layout, &mut parameters, &update, 1e-3);
        if first.is_empty() {
            first = update;
        }
        total
    };
    (batches.iter().map(step).collect(), first)
}

#[test]
fn ten_steps_of_training_have_the_same_losses() {
    let batches = training_batches(20);
    let graph = VARIANTS[0].graph(20);
    let layout = ParameterLayout::new(&graph);
    for random in [false, true] {
    let mut native = NativeEngine::new(&graph).unwrap();
    let parameters = if random { layout.flatten(&Weights::random(&VARIANTS[0], 20, 0)) } else { published(&mut native, &batches[0].batch).1 };
    let (expected, update) = train(&mut native, &batches, &layout, &parameters);
    for precision in [Precision::F32, Precision::Bf16] {
        let (found, u) = train(&mut torch(&graph, precision), &batches, &layout, &parameters);
        println!("{:?}", worst_tensor(&layout, true, &u, &update));
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs() / expected;
            println!("{random} {precision:?} step {i}: {found} instead of {expected}: {error:.1e}");
        }
    }
    }
}

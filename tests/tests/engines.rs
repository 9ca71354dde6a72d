//! The engines that differentiate automatically (candle's, and libtorch's where it is built in) compute what the project's
//! own does: for every variant one step, inference and observed statistics; and training on real photographs.

use std::sync::Arc;

use integration_tests::{repository, shared};
use native_train::augment::Augmentation;
use native_train::data::Object;
use native_train::data::images::Images;
use native_train::data::{Difficult, Source, TrainingSet};
use native_train::engine::{Batch, CandleEngine, CpuEngine, Engine, HeadOutput};
#[cfg(feature = "torch")]
use native_train::engine::{DeviceName, Precision, TorchEngine};
use native_train::train::loader::{BatchPlan, LabelledBatch, Loader, LoaderSettings};
use native_train::train::{LossSettings, Optimizer, loss, recreate_norm};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Graph, ParameterLayout, VARIANTS, Variant, Weights, dependency_groups};

const CLASSES: usize = 3;
const VOC_CLASSES: usize = 20;

struct Case {
    graph: Graph,
    native: CpuEngine,
    layout: ParameterLayout,
    parameters: Vec<f32>,
    rng: Pcg64Mcg,
}

/// The engines that are compared with the native one.
fn peers(graph: &Graph) -> Vec<(&'static str, Box<dyn Engine>)> {
    vec![
        ("candle", Box::new(CandleEngine::new(graph).unwrap())),
        #[cfg(feature = "torch")]
        ("libtorch", Box::new(TorchEngine::new(graph, DeviceName::Cpu, Precision::F32).unwrap())),
    ]
}

fn uniform(rng: &mut Pcg64Mcg, count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

fn random_batch(rng: &mut Pcg64Mcg, images: usize, height: usize, width: usize) -> Batch {
    let pixels = (0..images * 3 * height * width).map(|_| rng.random()).collect();
    Batch { pixels, images, height, width }
}

impl Case {
    /// The native engine with random parameters.
    fn new(variant: &Variant) -> Self {
        Self::of(&Weights::random(variant, CLASSES, 1))
    }

    /// The native engine of these weights' network; normalisation is random.
    fn of(weights: &Weights) -> Self {
        let graph = weights.graph().unwrap();
        let layout = ParameterLayout::new(&graph);
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut parameters = layout.flatten(weights);
        // Normalisation that does something, also by its running statistics.
        for (parameter, range) in &layout.entries {
            if parameter.name.contains(".bn.") {
                let low =
                    if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
                parameters[range.clone()].copy_from_slice(&uniform(&mut rng, range.len(), low, 1.0));
            }
        }
        let mut native = CpuEngine::new(&graph).unwrap();
        native.load(&parameters).unwrap();
        Self { graph, native, layout, parameters, rng }
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
    let shape = |output: &HeadOutput| (output.images, output.classes, output.height, output.width);
    assert_eq!(shape(found), shape(expected));
    worst(&found.values, &expected.values)
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The greatest relative error of a tensor, by Euclidean norms, and its name; of trainable tensors or of statistics.
///
/// Errors of tensors that are next to nothing are measured against 1e-4 of all together: a bias that the next layer's
/// normalisation subtracts has a gradient of 0 but for rounding.
fn worst_tensor(layout: &ParameterLayout, trainable: bool, found: &[f32], expected: &[f32]) -> (f64, String) {
    let ranges = layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
    let tensors: Vec<_> = ranges.map(|(p, range)| (&p.name, &found[range.clone()], &expected[range.clone()])).collect();
    let whole = tensors.iter().map(|(_, _, expected)| norm(expected).powi(2)).sum::<f64>().sqrt();
    let errors = tensors.into_iter().map(|(name, found, expected)| {
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let error = norm(&difference) / norm(expected).max(1e-4 * whole);
        (if error.is_nan() { f64::INFINITY } else { error }, name.clone())
    });
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// Without every third channel, so that hardly any layer has a multiple of what kernels compute at once.
fn pruned(variant: &Variant) -> Weights {
    let weights = Weights::random(variant, CLASSES, 1);
    let groups = dependency_groups(&weights.graph().unwrap());
    let strata = groups.iter().flat_map(|group| &group.strata);
    weights.without(&strata.flat_map(|stratum| stratum.iter().step_by(3)).flatten().copied().collect()).unwrap()
}

#[test]
fn every_variant_computes_what_the_native_engine_does() {
    for (variant, weights) in VARIANTS
        .iter()
        .flat_map(|variant| [Weights::random(variant, CLASSES, 1), pruned(variant)].map(|weights| (variant, weights)))
    {
        let Case { graph, mut native, layout, parameters, mut rng } = Case::of(&weights);
        let batch = random_batch(&mut rng, 2, 64, 96);
        let (expected, expected_update) = step(&mut native, &batch, layout.len);
        native.load(&parameters).unwrap();
        let expected_inference = native.infer(&batch).unwrap();
        let observe = |engine: &mut dyn Engine| {
            let mut observed = parameters.clone();
            engine.observe(&batch, &mut observed).unwrap();
            observed
        };
        let expected_observation = observe(&mut native);
        for (name, mut engine) in peers(&graph) {
            engine.load(&parameters).unwrap();
            let (found, update) = step(engine.as_mut(), &batch, layout.len);
            let output = worst_output(&found, &expected);
            let gradient = worst_tensor(&layout, true, &update, &expected_update);
            let statistics = worst_tensor(&layout, false, &update, &expected_update);
            engine.load(&parameters).unwrap();
            let inference = worst_output(&engine.infer(&batch).unwrap(), &expected_inference);
            let observed = observe(engine.as_mut());
            assert_eq!(worst_tensor(&layout, true, &observed, &parameters).0, 0.0, "parameters are left alone");
            let observation = worst_tensor(&layout, false, &observed, &expected_observation);
            println!(
                "{:10} {name:8} output {output:.1e}, gradient {:.1e} ({}), statistics {:.1e} ({}), inference \
                 {inference:.1e}, observed {:.1e} ({})",
                variant.name, gradient.0, gradient.1, statistics.0, statistics.1, observation.0, observation.1
            );
            assert!(output < 1e-4 && inference < 1e-4, "{} {name}", variant.name);
            assert!(gradient.0 < 1e-3 && statistics.0 < 1e-3 && observation.0 < 1e-3, "{} {name}", variant.name);
            let again = worst_output(&engine.infer(&batch).unwrap(), &expected_inference);
            assert!(again == inference, "{} {name}: what was observed changes nothing", variant.name);
        }
    }
}

/// The smallest batch there is: where the stride is 32, normalisation sees one number a channel.
#[test]
fn a_single_pixel_has_no_variance() {
    let Case { graph, mut native, layout, parameters, mut rng } = Case::new(&VARIANTS[0]);
    let batch = random_batch(&mut rng, 1, 32, 32);
    let (expected, expected_update) = step(&mut native, &batch, layout.len);
    for (name, mut engine) in peers(&graph) {
        engine.load(&parameters).unwrap();
        let (found, update) = step(engine.as_mut(), &batch, layout.len);
        // Differences from the mean of few numbers are little more than rounding, which normalisation makes 30 times larger.
        assert!(worst_output(&found, &expected) < 1e-3, "{name}");
        assert!(worst(&update, &expected_update).is_finite(), "{name}");
        let alone = |update: &[f32]| {
            let named = "backbone.C3_n4.conv3.bn.running_var";
            let (_, range) = layout.entries.iter().find(|(p, _)| p.name == named).unwrap();
            update[range.clone()].to_vec()
        };
        assert!(alone(&update).iter().all(|&variance| variance == 0.0), "{name}");
        assert_eq!(alone(&update), alone(&expected_update), "{name}");
    }
}

#[test]
fn wrong_sizes_and_orders_are_refused() {
    let graph = VARIANTS[0].graph(CLASSES);
    for (name, mut engine) in peers(&graph) {
        println!("{name}");
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let batch = random_batch(&mut rng, 1, 32, 32);
        let error = engine.infer(&batch).unwrap_err().to_string();
        assert!(error.contains("loaded before"), "{error}");
        let len = ParameterLayout::new(&graph).len;
        assert!(engine.load(&vec![0.5; len - 1]).is_err());
        engine.load(&vec![0.5; len]).unwrap();
        for wrong in [
            Batch { height: 64, ..batch.clone() },
            Batch { images: 0, pixels: Vec::new(), ..batch.clone() },
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
}

/// Ten batches of four images: photographs as the end of training sees them where there are some, else noise with random
/// objects. (Mosaics of this size have objects of a few pixels, whose anchors cost the same.)
fn training_batches() -> Vec<LabelledBatch> {
    const STEPS: usize = 10;
    const IMAGES: usize = 4;
    const SIZE: usize = 128;
    if let Some(shared) = shared("training on photographs") {
        let source = Source { folder: shared.join("voc/VOC2008plus"), split: "val".into() };
        let set = Arc::new(TrainingSet::open(&[source], None, Difficult::Learn).unwrap());
        assert_eq!(set.class_names.len(), VOC_CLASSES);
        let settings = LoaderSettings { seed: 0, threads: 1, prefetch: 2 };
        let plan = |index: usize| {
            let images = (0..IMAGES).map(|i| (IMAGES * index + i, IMAGES * index + i)).collect();
            (index < STEPS).then_some(BatchPlan { epoch: 0, images, size: SIZE, mosaic: false })
        };
        let images = Arc::new(Images::new(set, 0));
        return Loader::start(images, Augmentation::default(), settings, 0, plan).map(Result::unwrap).collect();
    }
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let side = SIZE as f32;
    let batch = |_| {
        let batch = random_batch(&mut rng, IMAGES, SIZE, SIZE);
        let mut object = || Object {
            class: rng.random_range(0..VOC_CLASSES),
            cx: side * rng.random_range(0.2..0.8),
            cy: side * rng.random_range(0.2..0.8),
            w: side * rng.random_range(0.1..0.4),
            h: side * rng.random_range(0.1..0.4),
            ignored: false,
        };
        let objects = (0..IMAGES).map(|_| (0..3).map(|_| object()).collect()).collect();
        LabelledBatch { batch, objects }
    };
    (0..STEPS).map(batch).collect()
}

/// What training starts from: the published weights for Pascal VOC, with normalisation re-created from `batch`.
fn published(engine: &mut dyn Engine, batch: &Batch) -> (ParameterLayout, Vec<f32>) {
    let file = std::fs::read(repository().join("models/baseline-voc.safetensors")).unwrap();
    let weights = Weights::from_bytes(&file).unwrap().unfused().unwrap();
    let graph = weights.graph().unwrap();
    let layout = ParameterLayout::new(&graph);
    let mut parameters = layout.flatten(&weights);
    recreate_norm(engine, &graph, &mut parameters, std::slice::from_ref(batch)).unwrap();
    (layout, parameters)
}

/// A step of training: the total loss, and the update.
fn training_step(engine: &mut dyn Engine, parameters: &[f32], batch: &LabelledBatch) -> (f32, Vec<f32>) {
    engine.load(parameters).unwrap();
    let mut total = 0.0;
    let mut update = vec![0.0; parameters.len()];
    let mut head = |output: &_| {
        let (losses, gradient) = loss(output, &batch.objects, &LossSettings::default());
        total = losses.total;
        Ok(gradient)
    };
    engine.step(&batch.batch, &mut head, &mut update).unwrap();
    (total, update)
}

/// With small steps: rounding grows with every one, and once two anchors' costs change places the losses are others.
#[test]
fn ten_steps_of_training_have_the_same_losses() {
    let graph = VARIANTS[0].graph(VOC_CLASSES);
    let batches = training_batches();
    let losses = |engine: &mut dyn Engine| -> Vec<f32> {
        let (layout, mut parameters) = published(engine, &batches[0].batch);
        let mut sgd = Optimizer::sgd(&layout, 5e-4);
        let step = |batch: &LabelledBatch| {
            let (loss, update) = training_step(engine, &parameters, batch);
            sgd.step(&layout, &mut parameters, &update, 3e-5);
            loss
        };
        batches.iter().map(step).collect()
    };
    let expected = losses(&mut CpuEngine::new(&graph).unwrap());
    for (name, mut engine) in peers(&graph) {
        let found = losses(engine.as_mut());
        assert_eq!(found.len(), 10);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs() / expected;
            println!("{name}, step {i}: {found} instead of {expected}: {error:.1e}");
            assert!(error < 1e-3, "{name}, step {i}: {found} instead of {expected}");
        }
    }
}

/// bfloat16 rounds each number by up to 0.4 %; the gradient still points where it should, and statistics, which are not
/// rounded, hardly move.
#[cfg(feature = "torch")]
#[test]
fn bfloat16_trains_in_the_same_direction() {
    let graph = VARIANTS[0].graph(VOC_CLASSES);
    let batch = training_batches().remove(0);
    let mut native = CpuEngine::new(&graph).unwrap();
    let (layout, parameters) = published(&mut native, &batch.batch);
    let (expected, expected_update) = training_step(&mut native, &parameters, &batch);
    let mut torch = TorchEngine::new(&graph, DeviceName::Cpu, Precision::Bf16).unwrap();
    let (found, update) = training_step(&mut torch, &parameters, &batch);
    let cosine = |trainable: bool| {
        let ranges = layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
        let pairs =
            ranges.flat_map(|(_, range)| range.clone()).map(|i| (f64::from(update[i]), f64::from(expected_update[i])));
        let [ab, aa, bb] = pairs.fold([0.0; 3], |[ab, aa, bb], (a, b)| [ab + a * b, aa + a * a, bb + b * b]);
        ab / (aa * bb).sqrt()
    };
    native.load(&parameters).unwrap();
    let [output, expected_output] = [torch.infer(&batch.batch), native.infer(&batch.batch)].map(Result::unwrap);
    let difference: Vec<f32> = output.values.iter().zip(&expected_output.values).map(|(a, b)| a - b).collect();
    let output = norm(&difference) / norm(&expected_output.values);
    let (gradient, statistics) = (cosine(true), cosine(false));
    println!("loss {found} instead of {expected}, output {output}, cosines {gradient} and {statistics}");
    assert!((found - expected).abs() < 0.05 * expected);
    assert!(gradient > 0.8 && statistics > 0.999);
    assert!(output < 0.05 && output > 1e-4, "it is computed in half precision");
}

#[cfg(feature = "torch")]
#[test]
fn a_gpu_that_is_not_there_is_said_to_be() {
    let error = TorchEngine::new(&VARIANTS[0].graph(CLASSES), DeviceName::Cuda(99), Precision::F32).unwrap_err();
    println!("{error:#}");
    assert!(error.to_string().contains("GPU"), "{error:#}");
}

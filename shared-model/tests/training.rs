//! Training against inference, and its gradients against finite differences, for every variant.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Network, Training, VARIANTS, Variant, Weights};

const CLASSES: usize = 3;
const PICTURES: usize = 2;
const SIDES: (usize, usize) = (64, 96);

struct Case {
    training: Training,
    parameters: Vec<f32>,
    pixels: Vec<f32>,
    rng: Pcg64Mcg,
}

fn uniform(rng: &mut Pcg64Mcg, count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

fn case(variant: &Variant) -> Case {
    let graph = variant.graph(CLASSES);
    let training = Training::new(&graph).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let mut parameters = training.layout().flatten(&Weights::random(variant, CLASSES, 1));
    // Normalisation that does something, also by its running statistics.
    for (parameter, place) in &training.layout().entries {
        if parameter.name.contains(".bn.") {
            let low = if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
            parameters[place.clone()].copy_from_slice(&uniform(&mut rng, place.len(), low, 1.0));
        }
    }
    let pixels = uniform(&mut rng, PICTURES * 3 * SIDES.0 * SIDES.1, 0.0, 255.0);
    Case { training, parameters, pixels, rng }
}

#[test]
fn by_running_statistics_it_computes_what_inference_does() {
    for variant in &VARIANTS {
        let Case { mut training, parameters, pixels, .. } = case(variant);
        training.load(&parameters).unwrap();
        let found = training.infer(&pixels, SIDES.0, SIDES.1).unwrap();
        let metadata = Weights::random(variant, CLASSES, 1).metadata;
        let weights = training.layout().weights(&parameters, metadata);
        let network = Network::new(&variant.graph(CLASSES), &weights).unwrap();
        let images = Tensor::from_vec(pixels, (PICTURES, 3, SIDES.0, SIDES.1), &Device::Cpu).unwrap();
        let expected: Vec<f32> = network.forward(&images).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{}: {worst}", variant.name);
    }
}

/// The loss is the sum of the outputs times random numbers. Along a direction its slope is the direction's product with the
/// gradient. Directions: each tensor's own gradient, so that no tensor's mistake hides behind another's size.
#[test]
fn gradients_equal_finite_differences() {
    for variant in &VARIANTS {
        let Case { mut training, parameters, pixels, mut rng } = case(variant);
        training.load(&parameters).unwrap();
        let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
        let factors = uniform(&mut rng, raw.len(), -1.0, 1.0);
        let mut update = vec![f32::NAN; parameters.len()];
        training.backward(&factors, &mut update).unwrap();
        assert!(update.iter().all(|value| value.is_finite()), "{}: every place is filled", variant.name);

        let loss = |training: &mut Training, parameters: &[f32]| -> f64 {
            training.load(parameters).unwrap();
            let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
            raw.iter().zip(&factors).map(|(y, f)| f64::from(*y) * f64::from(*f)).sum()
        };
        let entries = training.layout().entries.clone();
        let trainable: Vec<_> = entries.iter().filter(|(parameter, _)| parameter.trainable).collect();
        // A tenth of them, from the first layer to the last.
        for (parameter, place) in trainable.iter().step_by(7).chain(trainable.last()) {
            let gradient = &update[place.clone()];
            let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let size = parameters[place.clone()].iter().map(|p| f64::from(*p).powi(2)).sum::<f64>().sqrt();
            if norm < 1e-3 {
                continue;
            }
            let slope = |training: &mut Training, step: f64| {
                let at = |sign: f64| {
                    let mut moved = parameters.clone();
                    for (value, g) in moved[place.clone()].iter_mut().zip(gradient) {
                        *value += (sign * step * f64::from(*g) / norm) as f32;
                    }
                    moved
                };
                (loss(training, &at(1.0)) - loss(training, &at(-1.0))) / (2.0 * step)
            };
            // Smaller and smaller, until the slope is that of a straight line.
            let steps = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5].map(|step| step * (size + 0.1));
            let mut error = |&step: &f64| (slope(&mut training, step) / norm - 1.0).abs();
            let mut errors = Vec::new();
            let fits = steps.iter().any(|step| {
                errors.push(error(step));
                errors.last().is_some_and(|&error| error < 0.02)
            });
            assert!(fits, "{}: {}: {errors:?}, gradient {norm}", variant.name, parameter.name);
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let Case { mut training, parameters, pixels, .. } = case(Variant::named("final").unwrap());
            training.load(&parameters).unwrap();
            let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
            let mut update = vec![0.0; parameters.len()];
            training.backward(&raw, &mut update).unwrap();
            (raw, update)
        })
    };
    let (one, three) = (run(1), run(3));
    assert!(one == three, "results differ between one thread and three");
}

#[test]
fn a_step_does_not_change_what_inference_says() {
    let Case { mut training, parameters, pixels, .. } = case(&VARIANTS[0]);
    training.load(&parameters).unwrap();
    let before = training.infer(&pixels, SIDES.0, SIDES.1).unwrap();
    training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
    assert!(before == training.infer(&pixels, SIDES.0, SIDES.1).unwrap());
}

#[test]
fn wrong_sizes_are_refused() {
    let Case { mut training, parameters, pixels, .. } = case(&VARIANTS[0]);
    assert!(training.load(&parameters[1..]).is_err());
    assert!(training.forward(&pixels, 64, 90).is_err());
    assert!(training.forward(&pixels[1..], 64, 96).is_err());
    assert!(training.forward(&[], 64, 96).is_err());
    let mut update = vec![0.0; parameters.len()];
    assert!(training.backward(&[0.0], &mut update).is_err(), "no forward pass went before");
}

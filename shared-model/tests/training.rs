//! Training against inference, and its gradients against finite differences, for every variant.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::graph::Node;
use shared_model::{Network, Training, VARIANTS, Variant, Weights};

const CLASSES: usize = 3;
const IMAGES: usize = 2;
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
    for (parameter, range) in &training.layout().entries {
        if parameter.name.contains(".bn.") {
            let low = if parameter.name.ends_with("weight") || parameter.name.ends_with("var") { 0.5 } else { -0.5 };
            parameters[range.clone()].copy_from_slice(&uniform(&mut rng, range.len(), low, 1.0));
        }
    }
    let pixels = uniform(&mut rng, IMAGES * 3 * SIDES.0 * SIDES.1, 0.0, 255.0);
    Case { training, parameters, pixels, rng }
}

#[test]
fn by_running_statistics_it_computes_what_inference_does() {
    for variant in &VARIANTS {
        let Case { mut training, parameters, pixels, .. } = case(variant);
        let graph = variant.graph(CLASSES);
        let stages: Vec<Node> = graph.stages.iter().map(|stage| stage.node).collect();
        training.tap(&stages).unwrap();
        training.load(&parameters).unwrap();
        let found = training.infer(&pixels, SIDES.0, SIDES.1).unwrap();
        let metadata = Weights::random(variant, CLASSES, 1).metadata;
        let weights = training.layout().weights(&parameters, metadata);
        let network = Network::new(&graph, &weights).unwrap();
        let (raw, features) = network.features(&pixels, SIDES.0, SIDES.1, &stages).unwrap();
        assert_close(variant, &raw, &found);
        for (feature, expected) in features.iter().zip(training.features().unwrap()) {
            assert_close(variant, feature, &expected);
        }
        let images = Tensor::from_vec(pixels, (IMAGES, 3, SIDES.0, SIDES.1), &Device::Cpu).unwrap();
        let expected: Vec<f32> = network.forward(&images).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_close(variant, &found, &expected);
    }
}

fn assert_close(variant: &Variant, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{}: {worst}", variant.name);
}

#[test]
fn features_are_those_of_layers_that_compute_and_of_whole_images() {
    let variant = Variant::named("baseline").unwrap();
    let graph = variant.graph(CLASSES);
    let network = Network::new(&graph, &Weights::random(variant, CLASSES, 0)).unwrap();
    let error = |numbers: usize, layers: &[Node]| {
        network.features(&vec![0.0; numbers], 64, 64, layers).unwrap_err().to_string()
    };
    assert!(error(3 * 64 * 64 + 1, &[]).contains("whole pictures"));
    assert!(error(3 * 64 * 64, &[graph.input()]).contains("another layer does its work"));
    let sides = network.features(&[0.0; 3 * 64 * 60], 64, 60, &[]).unwrap_err().to_string();
    assert!(sides.contains("multiples of 32"), "{sides}");
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
        for (parameter, range) in trainable.iter().step_by(7).chain(trainable.last()) {
            let gradient = &update[range.clone()];
            let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let size = parameters[range.clone()].iter().map(|p| f64::from(*p).powi(2)).sum::<f64>().sqrt();
            if norm < 1e-3 {
                continue;
            }
            let slope = |training: &mut Training, step: f64| {
                let at = |sign: f64| {
                    let mut moved = parameters.clone();
                    for (value, g) in moved[range.clone()].iter_mut().zip(gradient) {
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

/// The outputs of all stages and gradients that begin there, with the head's.
#[test]
fn gradients_that_begin_inside_equal_finite_differences() {
    for variant in &VARIANTS {
        let Case { mut training, parameters, pixels, mut rng } = case(variant);
        let graph = variant.graph(CLASSES);
        let taps: Vec<_> = graph.stages.iter().map(|stage| stage.node).collect();
        assert_eq!(taps.len(), 8, "{}", variant.name);
        training.tap(&taps).unwrap();
        training.load(&parameters).unwrap();
        let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
        let features = training.features().unwrap();
        let of_head = uniform(&mut rng, raw.len(), -1.0, 1.0);
        let of_taps: Vec<_> = features.iter().map(|values| uniform(&mut rng, values.len(), -1.0, 1.0)).collect();
        let mut update = vec![f32::NAN; parameters.len()];
        training.backward_taught(Some(&of_head), Some(&of_taps), &mut update).unwrap();

        let entries = training.layout().entries.clone();
        let trainable = entries.iter().filter(|(parameter, _)| parameter.trainable);
        for (parameter, range) in trainable.step_by(17) {
            let mut loss = |parameters: &[f32]| -> f64 {
                training.load(parameters).unwrap();
                let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
                let features = training.features().unwrap();
                let product = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
                product(&raw, &of_head) + features.iter().zip(&of_taps).map(|(a, b)| product(a, b)).sum::<f64>()
            };
            assert_slope(
                &parameters,
                range.clone(),
                &update,
                &mut loss,
                &format!("{}: {}", variant.name, parameter.name),
            );
        }
    }
}

/// Along its own gradient, the loss of the parameters in `place` has the gradient's length as its slope.
fn assert_slope(
    parameters: &[f32],
    range: std::ops::Range<usize>,
    update: &[f32],
    loss: &mut dyn FnMut(&[f32]) -> f64,
    what: &str,
) {
    let gradient = &update[range.clone()];
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let size = parameters[range.clone()].iter().map(|p| f64::from(*p).powi(2)).sum::<f64>().sqrt();
    if norm < 1e-3 {
        return;
    }
    let mut errors = Vec::new();
    for step in [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5].map(|step| step * (size + 0.1)) {
        let mut at = |sign: f64| {
            let mut moved = parameters.to_vec();
            for (value, g) in moved[range.clone()].iter_mut().zip(gradient) {
                *value += (sign * step * f64::from(*g) / norm) as f32;
            }
            loss(&moved)
        };
        errors.push(((at(1.0) - at(-1.0)) / (2.0 * step) / norm - 1.0).abs());
        if errors.last().is_some_and(|&error| error < 0.02) {
            return;
        }
    }
    panic!("{what}: {errors:?}, gradient {norm}");
}

/// In a lesson every part computes on the teacher's features, and its gradient is that of its own output alone.
#[test]
fn lessons_teach_every_part_by_itself() {
    for variant in ["final", "ghost"] {
        let Case { mut training, parameters, pixels, mut rng } = case(Variant::named(variant).unwrap());
        let graph = Variant::named(variant).unwrap().graph(CLASSES);
        let taps: Vec<_> = graph.stages.iter().map(|stage| stage.node).collect();
        training.tap(&taps).unwrap();
        training.load(&parameters).unwrap();
        let raw = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
        let own = training.features().unwrap();
        let (taught_raw, found) = training.forward_taught(&pixels, SIDES.0, SIDES.1, &own, true).unwrap();
        assert!(taught_raw == raw && found == own, "{variant}: its own features change nothing");

        let teacher: Vec<_> = own.iter().map(|values| uniform(&mut rng, values.len(), -0.3, 1.0)).collect();
        let (_, found) = training.forward_taught(&pixels, SIDES.0, SIDES.1, &teacher, false).unwrap();
        assert!(found[0] == own[0], "{variant}: nothing is replaced before the first tap");
        assert!((1..8).all(|tap| found[tap] != own[tap]), "{variant}: all others compute on other features");
        let of_taps: Vec<_> = found.iter().map(|values| uniform(&mut rng, values.len(), -1.0, 1.0)).collect();
        let mut update = vec![f32::NAN; parameters.len()];
        training.backward_taught(None, Some(&of_taps), &mut update).unwrap();
        let entries = training.layout().entries.clone();
        for (parameter, range) in entries.iter().filter(|(parameter, _)| parameter.trainable).step_by(13) {
            if parameter.name.starts_with("head.") {
                assert!(
                    update[range.clone()].iter().all(|&value| value == 0.0),
                    "{} is behind the taps",
                    parameter.name
                );
                continue;
            }
            let mut loss = |parameters: &[f32]| -> f64 {
                training.load(parameters).unwrap();
                let (_, found) = training.forward_taught(&pixels, SIDES.0, SIDES.1, &teacher, false).unwrap();
                let pairs = found.iter().flatten().zip(of_taps.iter().flatten());
                pairs.map(|(a, b)| f64::from(a * b)).sum()
            };
            assert_slope(&parameters, range.clone(), &update, &mut loss, &format!("{variant}: {}", parameter.name));
        }
    }
}

#[test]
fn features_of_others_are_refused() {
    let Case { mut training, parameters, pixels, .. } = case(&VARIANTS[0]);
    let taps: Vec<_> = VARIANTS[0].graph(CLASSES).stages.iter().map(|stage| stage.node).collect();
    assert!(training.tap(&[taps[1], taps[0]]).is_err());
    assert!(training.tap(&[Node(9999)]).is_err());
    assert!(training.features().is_err(), "there was no pass");
    training.tap(&taps[..2]).unwrap();
    training.load(&parameters).unwrap();
    assert!(training.forward_taught(&pixels, SIDES.0, SIDES.1, &vec![vec![0.0; 3]; 2], false).is_err());
    training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
    let mut update = vec![0.0; parameters.len()];
    assert!(training.backward_taught(None, None, &mut update).is_err());
    assert!(training.backward_taught(None, Some(&vec![vec![0.0; 3]; 2]), &mut update).is_err());
}

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{Variant, Weights};

use super::*;
use crate::engine::{CpuEngine, HeadOutput};
use shared_model::anchors;

fn uniform(rng: &mut Pcg64Mcg, count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(low..high)).collect()
}

/// The slope of `loss` along its own gradient is the gradient's length.
fn assert_slope(values: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f64) {
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let at = |step: f64| {
        let moved: Vec<f32> =
            values.iter().zip(gradient).map(|(v, g)| v + (step * f64::from(*g) / norm) as f32).collect();
        loss(&moved)
    };
    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
    assert!((slope / norm - 1.0).abs() < 1e-2, "slope {slope}, gradient {norm}");
}

#[test]
fn gradients_of_features_are_those_of_the_loss() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let (images, channels) = (2, [3, 5]);
    let sizes = [2 * 3 * 8, 2 * 5 * 6];
    let of =
        |rng: &mut Pcg64Mcg| -> Vec<Vec<f32>> { sizes.iter().map(|&size| uniform(rng, size, -1.0, 2.0)).collect() };
    let (student, teacher) = (of(&mut rng), of(&mut rng));
    let total = |student: &Vec<Vec<f32>>| -> f64 {
        feature_loss(student, &teacher, &channels, images).parts.iter().map(|&part| f64::from(part)).sum()
    };
    let loss = feature_loss(&student, &teacher, &channels, images);
    for part in 0..2 {
        assert_slope(&student[part], &loss.gradient[part], |moved| {
            let mut student = student.clone();
            student[part] = moved.to_vec();
            total(&student)
        });
    }
    assert_eq!(feature_loss(&teacher, &teacher, &channels, images).parts, [0.0, 0.0]);
    // A channel's mean everywhere explains nothing of it.
    let mut mean = teacher.clone();
    for channel in 0..3 {
        let ranges = |i: usize| [channel * 8 + i % 8, 24 + channel * 8 + i % 8][i / 8];
        let value = (0..16).map(|i| teacher[0][ranges(i)]).sum::<f32>() / 16.0;
        (0..16).for_each(|i| mean[0][ranges(i)] = value);
    }
    assert!((feature_loss(&mean, &teacher, &channels, images).parts[0] - 1.0).abs() < 1e-4);
}

#[test]
fn gradients_of_outputs_are_those_of_the_loss() {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (height, width, classes, images) = (64, 32, 3, 2);
    let count = images * anchors(height, width).len() * (5 + classes);
    let mut of = |classes_known: bool| {
        let mut values = uniform(&mut rng, count, -1.0, 1.0);
        if !classes_known {
            values.iter_mut().skip(6).step_by(5 + classes).for_each(|value| *value = f32::NAN);
        }
        HeadOutput { values, images, classes, height, width }
    };
    let (student, teacher) = (of(true), of(false));
    let loss = output_loss(&student, &teacher);
    assert!(
        loss.gradient.iter().skip(6).step_by(8).all(|&gradient| gradient == 0.0),
        "nothing is said about this class"
    );
    assert_slope(&student.values, &loss.gradient, |moved| {
        f64::from(output_loss(&HeadOutput { values: moved.to_vec(), ..student.clone() }, &teacher).total)
    });
}

#[test]
fn a_box_that_overflows_says_nothing() {
    let output =
        |w: f32| HeadOutput { values: vec![0.1, -0.2, w, 0.3, 2.0, 1.0], images: 1, classes: 1, height: 32, width: 32 };
    let rows = |first: HeadOutput| {
        let rest = anchors(32, 32).len() - 1;
        HeadOutput { values: [first.values, vec![0.5; 6 * rest]].concat(), ..first }
    };
    let (student, sane, broken) = (rows(output(-0.4)), rows(output(0.2)), rows(output(91.0)));
    assert_ne!(output_loss(&student, &sane).gradient[2], 0.0);
    let loss = output_loss(&student, &broken);
    assert!(loss.total.is_finite(), "{}", loss.total);
    assert_eq!(loss.gradient[..4], [0.0; 4]);
    assert_eq!(
        loss.gradient[4..],
        output_loss(&student, &sane).gradient[4..],
        "objectness, class and the others count"
    );
}

#[test]
fn a_teacher_of_the_same_weights_agrees_with_its_student() {
    let variant = Variant::named("baseline").unwrap();
    let weights = Weights::random(variant, 3, 0);
    let graph = variant.graph(3);
    let names: Vec<String> = weights.metadata.class_names.iter().rev().cloned().collect();
    let make = |graph: &Graph, _: &Settings| -> Result<Box<dyn Engine>> { Ok(Box::new(CpuEngine::new(graph)?)) };
    let mut teacher = Teacher::new(&weights, &graph, &names, &Settings::default(), &make).unwrap();
    assert_eq!(teacher.taps().len(), 8);
    let pixels = (0..3 * 64 * 64).map(|i| (i * 37 % 251) as u8).collect();
    let batch = Batch { pixels, images: 1, height: 64, width: 64 };
    let said = teacher.look(&batch, true).unwrap();

    let mut student = CpuEngine::new(&graph).unwrap();
    // That the frozen network computes what the trained one does is a test of shared-model's.
    student.freeze(&weights).unwrap();
    student.tap(&teacher.taps().iter().map(|stage| stage.node).collect::<Vec<_>>()).unwrap();
    let found = student.infer_features(&batch).unwrap();
    assert_eq!(found.features, said.features);
    for (ours, theirs) in found.head.values.chunks(8).zip(said.head.values.chunks(8)) {
        assert_eq!(ours[..5], theirs[..5]);
        assert_eq!([ours[5], ours[6], ours[7]], [theirs[7], theirs[6], theirs[5]], "classes go by their names");
    }
    let other = ["unicorn".to_string()];
    let error = Teacher::new(&weights, &variant.graph(1), &other, &Settings::default(), &make).err().unwrap();
    assert!(error.to_string().contains("none of the classes"), "{error}");
}

//! Features and gradients inside a network on a device, against the CPU's engine.

use anyhow::Result;
use rand::Rng;
use shared_model::training::Features;
use shared_model::{Graph, Variant};

use super::Checked;
use super::case::{CheckCase, compared};
use crate::engine::{Engine, Lesson, OutputGradients, Outputs};

/// Of outputs, gradients and statistics as whole vectors, by their lengths.
pub(super) const TOLERANCE: f64 = 1e-3;

/// What a network's parts compute in inference, in training and in lessons with and without the head, and the updates that
/// follow, compared with the CPU's engine. `looseness` multiplies the tolerance, for devices that round on purpose.
///
/// # Errors
/// Fails where an engine does.
pub fn check_taps(
    variant: &Variant,
    size: (usize, usize, usize),
    looseness: f64,
    make: &mut dyn FnMut(&Graph) -> Result<Box<dyn Engine>>,
) -> Result<Vec<Checked>> {
    let mut case = CheckCase::new(variant, size, 7)?;
    let parameters = case.random_parameters();
    let settled = case.settled(&parameters)?;
    let mut device = make(&case.graph)?;

    let taps: Vec<_> = case.graph.stages.iter().map(|stage| stage.node).collect();
    for engine in [&mut case.native as &mut dyn Engine, device.as_mut()] {
        engine.tap(&taps)?;
        engine.load(&settled)?;
    }
    let (expected, found) = (case.native.infer_features(&case.batch)?, device.infer_features(&case.batch)?);
    // Random gradients. A feature as its own gradient asks for a smaller sum of squares, which normalisation by a batch forbids:
    // nearly all of it cancels, and what is left is rounding.
    let mut random_like =
        |values: &[f32]| -> Vec<f32> { values.iter().map(|_| case.rng.random_range(-1.0..1.0)).collect() };
    let feature_gradients: Features = expected.features.iter().map(|part| random_like(part)).collect();
    let head_gradients = random_like(&expected.head.values);
    let mut all = Vec::new();
    let mut compare = |what: &str, found: &[f32], expected: &[f32]| {
        all.push(compared(format!("{}: {what}", variant.name), found, expected, TOLERANCE * looseness));
    };
    compare("features in inference", &found.features.concat(), &expected.features.concat());
    let teacher: Features =
        expected.features.iter().map(|part| part.iter().map(|value| 0.9 * value).collect()).collect();
    for (name, lesson) in [
        ("training", None),
        ("a lesson", Some(Lesson { features: &teacher, with_head: false })),
        ("a lesson with the head", Some(Lesson { features: &teacher, with_head: true })),
    ] {
        let mut results = Vec::new();
        for engine in [&mut case.native as &mut dyn Engine, device.as_mut()] {
            let mut outputs = Outputs::default();
            let mut update = vec![f32::NAN; case.layout.len];
            let mut loss = |found: &Outputs| {
                outputs = found.clone();
                // A lesson without the head has no output.
                let head = head_gradients[..found.head.values.len()].to_vec();
                Ok(OutputGradients { head, features: feature_gradients.clone() })
            };
            engine.step_features(&case.batch, lesson, &mut loss, &mut update)?;
            results.push((outputs, update));
        }
        let [(expected, expected_update), (found, found_update)] = &results[..] else { unreachable!("two engines") };
        compare(&format!("features in {name}"), &found.features.concat(), &expected.features.concat());
        for (what, trainable) in [("gradients", true), ("statistics", false)] {
            let [found, expected] = [found_update, expected_update].map(|update| case.of_kind(update, trainable));
            compare(&format!("{what} of {name}"), &found, &expected);
        }
        if !expected.head.values.is_empty() || !found.head.values.is_empty() {
            compare(&format!("output in {name}"), &found.head.values, &expected.head.values);
        }
    }
    Ok(all)
}

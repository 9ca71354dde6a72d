//! A network that learns from another on the same device, against the CPU's engine with the loss of `distill`.

use anyhow::{Context, Result};
use rand::Rng;
use shared_model::{Graph, Variant};

use super::Checked;
use super::case::{CheckCase, compared};
use super::taps::TOLERANCE;
use crate::engine::{CpuEngine, Engine, HeadOutput, Lesson, OutputGradients, Outputs};
use crate::train::distill::feature_loss;

/// The weight of the loss, which is no power of two.
const WEIGHT: f32 = 0.7;

/// Losses and updates of a network whose teacher has the same structure and other weights: in training, in a lesson, and in one with
/// the head. `looseness` multiplies the tolerance, for devices that round on purpose.
///
/// # Errors
/// Fails where an engine does, or the device computes nothing beside another network.
pub fn check_beside(
    variant: &Variant,
    size: (usize, usize, usize),
    looseness: f64,
    make: &mut dyn FnMut(&Graph) -> Result<Box<dyn Engine>>,
) -> Result<Vec<Checked>> {
    let mut case = CheckCase::new(variant, size, 11)?;
    let mut weights = || {
        let parameters = case.random_parameters();
        case.settled(&parameters)
    };
    let (ours, theirs) = (weights()?, weights()?);
    let mut native_teacher = CpuEngine::new(&case.graph)?;
    let (mut device, mut teacher) = (make(&case.graph)?, make(&case.graph)?);
    let taps: Vec<_> = case.graph.stages.iter().map(|stage| stage.node).collect();
    for (engine, parameters) in [
        (&mut case.native as &mut dyn Engine, &ours),
        (device.as_mut(), &ours),
        (&mut native_teacher, &theirs),
        (teacher.as_mut(), &theirs),
    ] {
        engine.tap(&taps)?;
        engine.load(parameters)?;
    }
    let said = native_teacher.infer_features(&case.batch)?;
    let channels: Vec<usize> = taps.iter().map(|&tap| case.graph.channels(tap)).collect();
    let head: Vec<f32> = said.head.values.iter().map(|_| case.rng.random_range(-1e-3..1e-3)).collect();

    let mut all = Vec::new();
    for (name, lesson) in [("training", None), ("a lesson", Some(false)), ("a lesson with the head", Some(true))] {
        let mut losses = Vec::new();
        let mut expected = vec![f32::NAN; case.layout.len];
        let mut loss = |found: &Outputs| {
            let part = feature_loss(&found.features, &said.features, &channels, case.batch.images);
            let scaled = |values: Vec<f32>| values.into_iter().map(|value| WEIGHT * value).collect();
            losses = part.parts;
            let features = part.gradient.into_iter().map(scaled).collect();
            Ok(OutputGradients { head: head[..found.head.values.len()].to_vec(), features })
        };
        let of_native = lesson.map(|with_head| Lesson { features: &said.features, with_head });
        case.native.step_features(&case.batch, of_native, &mut loss, &mut expected)?;

        let mut theirs = Vec::new();
        let mut update = vec![f32::NAN; case.layout.len];
        let mut loss = |_: &HeadOutput, said: HeadOutput| {
            theirs = said.values;
            Ok(head.clone())
        };
        let found = device.step_beside(teacher.as_mut(), &case.batch, lesson, WEIGHT, &mut loss, &mut update)?;
        let found = found.context("the device computes nothing beside another network")?;
        let mut compare = |what: &str, found: &[f32], expected: &[f32]| {
            let what = format!("{}: {what} beside a teacher, in {name}", variant.name);
            all.push(compared(what, found, expected, TOLERANCE * looseness));
        };
        compare("losses of features", &found, &losses);
        compare("gradients", &case.of_kind(&update, true), &case.of_kind(&expected, true));
        compare("statistics", &case.of_kind(&update, false), &case.of_kind(&expected, false));
        if lesson != Some(false) {
            compare("the teacher's output", &theirs, &said.head.values);
        }
    }
    Ok(all)
}

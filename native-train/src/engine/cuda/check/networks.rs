//! Whole networks on a device against the CPU's engine.

use anyhow::{Result, ensure};
use shared_model::{Graph, ParameterLayout, Variant};

use super::Checked;
use super::case::CheckCase;
use crate::engine::{Batch, Engine, HeadOutput};

/// Of outputs, relative to one more than their size: sums of thousands of terms in other orders, a hundred layers deep.
const OUTPUT_TOLERANCE: f64 = 1e-4;
/// Of outputs in training: normalisation by the statistics of a few images enlarges rounding.
const TRAINING_TOLERANCE: f64 = 5e-4;
/// Of each parameter's gradient and of statistics, by the lengths of the vectors.
const UPDATE_TOLERANCE: f64 = 1e-3;

/// Inference, the output in training, gradients, and observed statistics of a variant with random weights on random images,
/// compared with the CPU's engine. `make` makes the engine to be checked. `looseness` multiplies the tolerances, for devices that
/// round on purpose.
///
/// # Errors
/// Fails where an engine does.
pub fn check_variant(
    variant: &Variant,
    size: (usize, usize, usize),
    looseness: f64,
    make: &mut dyn FnMut(&Graph) -> Result<Box<dyn Engine>>,
) -> Result<Vec<Checked>> {
    let mut case = CheckCase::new(variant, size, 7)?;
    let parameters = case.random_parameters();
    let settled = case.settled(&parameters)?;
    let CheckCase { graph, layout, batch, mut native, .. } = case;
    let expected = EngineOutputs::new(&mut native, &layout, &parameters, &settled, &batch)?;
    let found = EngineOutputs::new(make(&graph)?.as_mut(), &layout, &parameters, &settled, &batch)?;
    let output = |what: &str, found: &HeadOutput, expected: &HeadOutput, tolerance: f64| {
        let errors = found.values.iter().zip(&expected.values).map(|(a, b)| f64::from((a - b).abs() / (1.0 + b.abs())));
        Checked {
            what: format!("{}: {what}", variant.name),
            error: errors.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) }),
            tolerance: tolerance * looseness,
        }
    };
    let tensors = |what: &str, found: &[f32], expected: &[f32], trainable: bool| {
        let (error, name) = worst_tensor(&layout, found, expected, trainable);
        Checked {
            what: format!("{}: {what}, most at {name}", variant.name),
            error,
            tolerance: UPDATE_TOLERANCE * looseness,
        }
    };
    Ok(vec![
        output("inference", &found.inferred, &expected.inferred, OUTPUT_TOLERANCE),
        output("output in training", &found.trained, &expected.trained, TRAINING_TOLERANCE),
        tensors("gradients", &found.update, &expected.update, true),
        tensors("the batch's statistics", &found.update, &expected.update, false),
        tensors("observed statistics", &found.observed, &expected.observed, false),
    ])
}

/// What an engine makes of a batch.
struct EngineOutputs {
    inferred: HeadOutput,
    trained: HeadOutput,
    update: Vec<f32>,
    observed: Vec<f32>,
}

impl EngineOutputs {
    /// The gradient of the output is the output, so that all of it matters.
    fn new(
        engine: &mut dyn Engine,
        layout: &ParameterLayout,
        parameters: &[f32],
        settled: &[f32],
        batch: &Batch,
    ) -> Result<Self> {
        engine.load(parameters)?;
        let inferred = engine.infer(batch)?;
        engine.load(settled)?;
        let mut trained = HeadOutput::default();
        let mut update = vec![f32::NAN; layout.len];
        let mut loss = |output: &HeadOutput| {
            trained = output.clone();
            Ok(output.values.clone())
        };
        engine.step(batch, &mut loss, &mut update)?;
        let mut observed = vec![0.0; layout.len];
        engine.observe(batch, &mut observed)?;
        ensure!(inferred.values.len() == trained.values.len(), "outputs have different sizes");
        Ok(Self { inferred, trained, update, observed })
    }
}

/// Of the tensors that are trainable, or not: the greatest length of a difference against the length, and where. Some gradients
/// are nothing but rounding, such as a bias' with another normalisation behind it: lengths below a ten-thousandth of the greatest
/// count as that.
fn worst_tensor<'a>(layout: &'a ParameterLayout, found: &[f32], expected: &[f32], trainable: bool) -> (f64, &'a str) {
    let length = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let entries = || layout.entries.iter().filter(|(parameter, _)| parameter.trainable == trainable);
    let longest = entries().map(|(_, offset)| length(&expected[offset.clone()])).fold(0.0, f64::max);
    let errors = entries().map(|(parameter, offset)| {
        let (found, expected) = (&found[offset.clone()], &expected[offset.clone()]);
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(expected).max(1e-4 * longest);
        (if error.is_nan() { f64::INFINITY } else { error }, parameter.name.as_str())
    });
    errors.fold((0.0, "no place"), |worst, error| if error.0 > worst.0 { error } else { worst })
}

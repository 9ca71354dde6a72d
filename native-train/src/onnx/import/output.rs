//! The network's last operations: predictions joined over their kinds and over the pyramid's levels, with probabilities
//! or logits, decoded or not. There are many spellings, so they are recognised by what they make of random predictions.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::Graph;

use super::super::anchors;
use super::Recognised;
use super::compute::{Budget, compute};
use super::normalise::{BUDGET, Network};
use super::value::Value;

/// Checks that `network`'s output is `graph`'s predictions, whose values in the order of the head's levels (boxes,
/// objectness, classes) are called `predictions`.
pub(super) fn check(network: &Network, graph: &Graph, predictions: &[[String; 3]]) -> Recognised<()> {
    let [images, height, width] = network.input_shape;
    let mut numbers = Pcg64Mcg::seed_from_u64(0);
    let mut known: HashMap<&str, Value> = HashMap::new();
    for (level, names) in graph.head.iter().zip(predictions) {
        for (name, channels) in names.iter().zip([4, 1, graph.classes]) {
            let shape = [images, channels, height / level.stride, width / level.stride];
            let count = super::value::elements(&shape).ok_or("its predictions are too many")?;
            let random = (0..count).map(|_| numbers.random_range(-2.0..2.0)).collect();
            known.insert(name, Value::floats(&shape, random).ok_or("its predictions are too many")?);
        }
    }
    let rows = raw(graph, predictions, &known, network.input_shape);
    let found = joined(network, known)?;
    let shape = [images, graph.anchors(height, width), 5 + graph.classes];
    if found.shape != shape {
        return Err(format!("an output of shape {:?} was found, not {shape:?}", found.shape));
    }
    let found = found.reals().ok_or("an output of other numbers was found")?;
    let is = |expected: &[f32]| {
        expected.iter().zip(&found).all(|(expected, found)| (expected - found).abs() <= 1e-4 * (1.0 + expected.abs()))
    };
    if is(&rows) {
        return Ok(());
    }
    let probabilities = probable(rows, 5 + graph.classes);
    if is(&probabilities) || is(&decoded(probabilities, graph, height, width)) {
        return Ok(());
    }
    Err("something else is made of the predictions than YOLOX makes".into())
}

/// The network's output where the values in `known` are these.
fn joined<'a>(network: &'a Network, mut known: HashMap<&'a str, Value>) -> Recognised<Value> {
    let mut budget = Budget(BUDGET);
    let mut unknown = None;
    for operation in &network.operations {
        if !operation.inputs.iter().any(|input| known.contains_key(input.as_str())) {
            continue;
        }
        let inputs: Vec<Option<&Value>> =
            operation.inputs.iter().map(|input| known.get(input.as_str()).or(network.value(input))).collect();
        let outputs = compute(operation, &inputs, &mut budget).unwrap_or_default();
        if outputs.iter().filter(|value| value.numbers.is_some()).count() < operation.outputs.len() {
            unknown = unknown.or(Some(&operation.name));
        }
        for (name, value) in operation.outputs.iter().zip(outputs) {
            if value.numbers.is_some() {
                known.insert(name, value);
            }
        }
    }
    known.remove(network.output.as_str()).ok_or_else(|| match unknown {
        _ if budget.0 == 0 => "images too many or too large to compute it were found".into(),
        Some(name) => format!("{name} was found, which is not understood there"),
        None => "the output does not depend on the predictions alone".into(),
    })
}

/// A row an anchor: boxes, objectness, classes.
fn raw(
    graph: &Graph,
    predictions: &[[String; 3]],
    known: &HashMap<&str, Value>,
    [images, height, width]: [usize; 3],
) -> Vec<f32> {
    let columns = 5 + graph.classes;
    let anchors = graph.anchors(height, width);
    let mut rows = vec![0.0; images * anchors * columns];
    let mut first_anchor = 0;
    for (level, names) in graph.head.iter().zip(predictions) {
        let pixels = (height / level.stride) * (width / level.stride);
        for (name, first) in names.iter().zip([0, 4, 5]) {
            let planes = known[name.as_str()].reals().unwrap_or_default();
            let channels = known[name.as_str()].shape[1];
            for (i, plane) in planes.chunks_exact(pixels.max(1)).enumerate() {
                let (image, column) = (i / channels, first + i % channels);
                for (pixel, value) in plane.iter().enumerate() {
                    rows[(image * anchors + first_anchor + pixel) * columns + column] = *value;
                }
            }
        }
        first_anchor += pixels;
    }
    rows
}

/// The same rows with probabilities.
fn probable(mut rows: Vec<f32>, columns: usize) -> Vec<f32> {
    for logit in rows.chunks_exact_mut(columns).flat_map(|row| &mut row[4..]) {
        *logit = 1.0 / (1.0 + (-*logit).exp());
    }
    rows
}

/// The same rows with boxes in pixels.
fn decoded(mut rows: Vec<f32>, graph: &Graph, height: usize, width: usize) -> Vec<f32> {
    let [positions, strides] = anchors(graph, height, width);
    let (columns, places) = positions.split_at(strides.len());
    for rows in rows.chunks_exact_mut((5 + graph.classes) * strides.len().max(1)) {
        for (i, row) in rows.chunks_exact_mut(5 + graph.classes).enumerate() {
            row[0] = (row[0] + columns[i]) * strides[i];
            row[1] = (row[1] + places[i]) * strides[i];
            row[2] = row[2].exp() * strides[i];
            row[3] = row[3].exp() * strides[i];
        }
    }
    rows
}

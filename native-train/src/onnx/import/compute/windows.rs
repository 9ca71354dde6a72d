//! Shapes of what looks at squares of pixels or changes their number.

use super::super::operation::Operation;
use super::super::value::{Value, elements};
use super::{Inputs, axis};

pub(super) fn shape(operation: &Operation, inputs: &Inputs) -> Option<Value> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let value = input(0)?;
    let shape = match operation.name.as_str() {
        "BatchNormalization" => value.shape.clone(),
        "GlobalAveragePool" => {
            let [n, c, _, _] = <[usize; 4]>::try_from(value.shape.as_slice()).ok()?;
            vec![n, c, 1, 1]
        }
        "ReduceMean" => {
            let mut shape = value.shape.clone();
            let all: Vec<i64> = (0..shape.len() as i64).collect();
            let axes = input(1).map_or(Some(operation.integers("axes", &all)), Value::whole)?;
            let axes: Vec<usize> = axes.iter().map(|&place| axis(place, shape.len())).collect::<Option<_>>()?;
            axes.iter().for_each(|&axis| shape[axis] = 1);
            if operation.integer("keepdims", 1) == 0 {
                shape = (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect();
            }
            shape
        }
        "Resize" | "Upsample" => resized(operation, inputs)?,
        "Conv" => {
            let kernel = &input(1)?.shape;
            let [_, c, _, _] = <[usize; 4]>::try_from(value.shape.as_slice()).ok()?;
            let group = usize::try_from(operation.integer("group", 1)).ok()?;
            (kernel.len() == 4 && kernel[1].checked_mul(group) == Some(c)).then_some(())?;
            let mut shape = windows(operation, &value.shape, &kernel[2..])?;
            shape[1] = kernel[0];
            shape
        }
        _ => {
            let kernel: Vec<usize> = super::sizes(operation.integers("kernel_shape", &[]))?;
            windows(operation, &value.shape, &kernel)?
        }
    };
    Value::unknown(&shape)
}

/// The shape of an array of which squares are taken.
fn windows(operation: &Operation, from: &[usize], kernel: &[usize]) -> Option<Vec<usize>> {
    let mut shape = from.to_vec();
    (shape.len() == 4 && kernel.len() == 2).then_some(())?;
    let strides = super::sizes(operation.integers("strides", &[1; 2]))?;
    let dilations = super::sizes(operation.integers("dilations", &[1; 2]))?;
    let pads = super::sizes(operation.integers("pads", &[0; 4]))?;
    (strides.len() == 2 && !strides.contains(&0) && dilations.len() == 2 && pads.len() == 4).then_some(())?;
    for i in 0..2 {
        let size = from[2 + i];
        shape[2 + i] = match operation.text("auto_pad", "NOTSET") {
            "SAME_UPPER" | "SAME_LOWER" => size.div_ceil(strides[i]),
            _ => {
                let reach = kernel[i].checked_sub(1)?.checked_mul(dilations[i])?.checked_add(1)?;
                let free = size.checked_add(pads[i])?.checked_add(pads[i + 2])?.checked_sub(reach)?;
                1 + if operation.integer("ceil_mode", 0) == 0 { free / strides[i] } else { free.div_ceil(strides[i]) }
            }
        };
    }
    elements(&shape).map(|_| shape)
}

fn resized(operation: &Operation, inputs: &Inputs) -> Option<Vec<usize>> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let from = &input(0)?.shape;
    if let Some(sizes) = input(3).and_then(Value::whole).filter(|sizes| !sizes.is_empty()) {
        (sizes.len() == from.len()).then_some(())?;
        return super::sizes(sizes);
    }
    // Version 10 and Upsample have no region in front of the scales.
    let place = if inputs.len() == 2 { 1 } else { 2 };
    let scales = match (input(place), operation.floats("scales")) {
        (Some(scales), _) => scales.reals()?,
        (None, Some(scales)) => scales.to_vec(),
        (None, None) => return None,
    };
    (scales.len() == from.len()).then_some(())?;
    let sizes = from.iter().zip(&scales).map(|(&size, &scale)| (size as f64 * f64::from(scale)).floor());
    let sizes: Vec<i64> = sizes.map(|size| (0.0..1e9).contains(&size).then_some(size as i64)).collect::<Option<_>>()?;
    super::sizes(&sizes)
}

/// Whether a `Resize` or `Upsample` from arrays of a shape to those of another makes each pixel a square of 2 x 2.
pub(in super::super) fn doubles(operation: &Operation, from: &[usize], to: &[usize]) -> bool {
    let (&[n, c, h, w], &[n2, c2, h2, w2]) = (from, to) else { return false };
    if [n, c, 2 * h, 2 * w] != [n2, c2, h2, w2] || operation.text("mode", "nearest") != "nearest" {
        return false;
    }
    // Version 10 and Upsample have no choice.
    let old = operation.name == "Upsample" || operation.inputs.len() == 2;
    let (position, rounding) = if old {
        ("asymmetric", "floor")
    } else {
        let position = operation.text("coordinate_transformation_mode", "half_pixel");
        (position, operation.text("nearest_mode", "round_prefer_floor"))
    };
    let nearest = |i: usize, size: usize| {
        let i = i as f64;
        let place = match position {
            "asymmetric" => i / 2.0,
            "half_pixel" | "half_pixel_symmetric" => (i + 0.5) / 2.0 - 0.5,
            "pytorch_half_pixel" => {
                if size > 0 {
                    (i + 0.5) / 2.0 - 0.5
                } else {
                    0.0
                }
            }
            "align_corners" => i * (size as f64 - 1.0) / (2.0 * size as f64 - 1.0),
            _ => f64::NAN,
        };
        let place = match rounding {
            "floor" => place.floor(),
            "ceil" => place.ceil(),
            "round_prefer_floor" => (place - 0.5).ceil(),
            "round_prefer_ceil" => (place + 0.5).floor(),
            _ => f64::NAN,
        };
        place.clamp(0.0, size as f64 - 1.0)
    };
    [h, w].iter().all(|&size| (0..2 * size).all(|i| nearest(i, size) == (i / 2) as f64))
}

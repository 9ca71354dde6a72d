//! Operations that only move numbers: each output is a number of an input.

use super::super::operation::Operation;
use super::super::value::{Value, elements};
use super::{Budget, Inputs, axis, sizes};

/// The array of `shape` whose element at (i, j, ...) is the input's at `start + i * strides[0] + j * strides[1] + ...`,
/// all of which must be there.
fn strided(value: &Value, shape: &[usize], start: isize, strides: &[isize], budget: &mut Budget) -> Option<Value> {
    let count = elements(shape)?;
    let Some(numbers) = value.numbers.as_deref() else { return Value::unknown(shape) };
    budget.spend(shape)?;
    let mut position = vec![0; shape.len()];
    let mut place = start;
    let places = (0..count).map(|_| {
        let here = place as usize;
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            place += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis] as isize;
            position[axis] = 0;
        }
        here
    });
    Value::new(shape, numbers.pick(places))
}

/// How far apart neighbours along each axis are.
fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The array repeated along axes of size 1 and new ones in front, to `shape`.
pub(super) fn broadcast_to(value: &Value, shape: &[usize], budget: &mut Budget) -> Option<Value> {
    if value.shape == shape {
        return Some(value.clone());
    }
    let new = shape.len().checked_sub(value.shape.len())?;
    let mut steps = vec![0; new];
    for ((&from, &to), stride) in value.shape.iter().zip(&shape[new..]).zip(strides(&value.shape)) {
        steps.push(match from {
            _ if from == to => stride,
            1 => 0,
            _ => return None,
        });
    }
    strided(value, shape, 0, &steps, budget)
}

pub(super) fn compute(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Value> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let value = input(0)?;
    let rank = value.shape.len();
    match operation.name.as_str() {
        "Transpose" => {
            let turned: Vec<i64> = (0..rank as i64).rev().collect();
            let order = operation.integers("perm", &turned);
            permuted(value, order, budget)
        }
        "Slice" => slice(operation, inputs, budget),
        "Expand" => {
            let mut shape = sizes(input(1)?.whole()?)?;
            // Sizes of 1 leave the array's own.
            let new = shape.len().saturating_sub(rank);
            for (size, &own) in shape[new..].iter_mut().rev().zip(value.shape.iter().rev()) {
                *size = if *size == 1 { own } else { *size };
            }
            if shape.len() < rank {
                shape.splice(..0, value.shape[..rank - shape.len()].iter().copied());
            }
            broadcast_to(value, &shape, budget)
        }
        "Tile" => {
            let repeats = sizes(input(1)?.whole()?)?;
            (repeats.len() == rank).then_some(())?;
            // Each axis becomes two: which repetition, and where in it.
            let (mut shape, mut steps) = (Vec::new(), Vec::new());
            for ((&size, &times), stride) in value.shape.iter().zip(&repeats).zip(strides(&value.shape)) {
                shape.extend([times, size]);
                steps.extend([0, stride]);
            }
            let tiled: Vec<usize> =
                shape.chunks_exact(2).map(|pair| pair[0].checked_mul(pair[1])).collect::<Option<_>>()?;
            if value.numbers.is_none() {
                Value::unknown(&tiled)
            } else {
                strided(value, &shape, 0, &steps, budget)?.reshaped(&tiled)
            }
        }
        "Concat" => concat(operation, inputs, budget),
        "Gather" => gather(value, input(1)?, operation.integer("axis", 0), budget),
        "SpaceToDepth" | "DepthToSpace" => blocks(operation, value, budget),
        "ScatterND" => scatter(value, input(1)?, input(2)?, budget),
        "Pad" => {
            let pads = input(1).map_or(Some(operation.integers("pads", &[])), Value::whole)?;
            (pads.len() == 2 * rank).then_some(())?;
            let (before, after) = pads.split_at(rank);
            let sizes = value.shape.iter().zip(before.iter().zip(after));
            let sizes = sizes.map(|(&size, (before, after))| {
                usize::try_from((size as i64).checked_add(*before)?.checked_add(*after)?).ok()
            });
            let shape: Vec<usize> = sizes.collect::<Option<_>>()?;
            if shape == value.shape { Some(value.clone()) } else { Value::unknown(&shape) }
        }
        _ => None,
    }
}

fn permuted(value: &Value, order: &[i64], budget: &mut Budget) -> Option<Value> {
    let rank = value.shape.len();
    let order: Vec<usize> = order.iter().map(|&place| axis(place, rank)).collect::<Option<_>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    sorted.iter().copied().eq(0..rank).then_some(())?;
    let steps = strides(&value.shape);
    let shape: Vec<usize> = order.iter().map(|&axis| value.shape[axis]).collect();
    strided(value, &shape, 0, &order.iter().map(|&axis| steps[axis]).collect::<Vec<_>>(), budget)
}

fn slice(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Value> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let value = input(0)?;
    let list = |i: usize, name: &'static str| -> Option<Option<Vec<i64>>> {
        match inputs.get(i) {
            Some(Some(value)) => Some(Some(value.whole()?.to_vec())),
            _ => Some(operation.has(name).then(|| operation.integers(name, &[]).to_vec())),
        }
    };
    let (starts, ends) = (list(1, "starts")??, list(2, "ends")??);
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let every = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    [ends.len(), axes.len(), every.len()].iter().all(|&length| length == starts.len()).then_some(())?;
    let (mut shape, mut steps, mut start) = (value.shape.clone(), strides(&value.shape), 0);
    let apart = steps.clone();
    for (((&from, &to), &place), &every) in starts.iter().zip(&ends).zip(&axes).zip(&every) {
        let axis = axis(place, shape.len())?;
        let size = value.shape[axis] as i64;
        let inside = |place: i64, low: i64, high: i64| {
            (if place < 0 { place.saturating_add(size) } else { place }).clamp(low, high.max(low))
        };
        let (from, span) = match every {
            0 => return None,
            _ if size == 0 => (0, 0),
            1.. => {
                let from = inside(from, 0, size);
                (from, inside(to, 0, size) - from)
            }
            _ => {
                let from = inside(from, 0, size - 1);
                (from, from - inside(to, -1, size - 1))
            }
        };
        let every = isize::try_from(every).ok()?;
        shape[axis] = (span.max(0) as usize).div_ceil(every.unsigned_abs());
        start += from as isize * apart[axis];
        // A step beyond the end is never made.
        steps[axis] = apart[axis].checked_mul(every.clamp(-(size as isize), size as isize))?;
    }
    strided(value, &shape, start, &steps, budget)
}

/// The parts of an array along an axis.
pub(super) fn split(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Vec<Value>> {
    let value = inputs.first().copied().flatten()?;
    let along = axis(operation.integer("axis", 0), value.shape.len())?;
    let given = match inputs.get(1).copied().flatten() {
        Some(sizes) => Some(sizes.whole()?),
        None if operation.has("split") => Some(operation.integers("split", &[])),
        None => None,
    };
    let whole = value.shape[along];
    let parts = match given {
        Some(parts) => sizes(parts)?,
        None => {
            let (count, mut left) = (operation.outputs.len(), whole);
            let each = whole.div_ceil(count.max(1));
            std::iter::repeat_with(|| {
                let part = each.min(left);
                left -= part;
                part
            })
            .take(count)
            .collect()
        }
    };
    (parts.len() == operation.outputs.len() && parts.iter().sum::<usize>() == whole).then_some(())?;
    let steps = strides(&value.shape);
    let mut begin = 0;
    let mut values = Vec::new();
    for part in parts {
        let mut shape = value.shape.clone();
        shape[along] = part;
        values.push(strided(value, &shape, begin as isize * steps[along], &steps, budget)?);
        begin += part;
    }
    Some(values)
}

fn concat(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Value> {
    let inputs: Vec<&Value> = inputs.iter().copied().collect::<Option<_>>()?;
    let mut shape = inputs.first()?.shape.clone();
    let along = axis(operation.integer("axis", 0), shape.len())?;
    let rest = |shape: &[usize]| [&shape[..along], &shape[along + 1..]].concat();
    let fits = |value: &&Value| value.shape.len() == shape.len() && rest(&value.shape) == rest(&shape);
    inputs.iter().all(fits).then_some(())?;
    shape[along] = inputs.iter().map(|value| value.shape[along]).sum();
    if inputs.iter().any(|value| value.numbers.is_none()) {
        return Value::unknown(&shape);
    }
    budget.spend(&shape)?;
    let outer: usize = shape[..along].iter().product();
    // An empty array may have the other kind of numbers.
    let inputs: Vec<&Value> = inputs.into_iter().filter(|value| value.count() > 0).collect();
    if let Some(whole) = inputs.iter().map(|value| value.whole()).collect::<Option<Vec<_>>>() {
        return Value::integers(&shape, joined(&whole, outer));
    }
    let reals: Vec<Vec<f32>> = inputs.iter().map(|value| value.reals()).collect::<Option<_>>()?;
    Value::floats(&shape, joined(&reals.iter().map(Vec::as_slice).collect::<Vec<_>>(), outer))
}

/// The first of `outer` equal parts of every list, then the second of each, and so on.
fn joined<T: Copy>(lists: &[&[T]], outer: usize) -> Vec<T> {
    let mut all = Vec::new();
    for i in 0..outer {
        for list in lists {
            let part = list.len() / outer;
            all.extend_from_slice(&list[part * i..part * (i + 1)]);
        }
    }
    all
}

fn gather(value: &Value, indices: &Value, along: i64, budget: &mut Budget) -> Option<Value> {
    let along = axis(along, value.shape.len())?;
    let (outer, inner) = (&value.shape[..along], &value.shape[along + 1..]);
    let shape = [outer, &indices.shape, inner].concat();
    let size = value.shape[along];
    let chosen: Vec<usize> = indices.whole()?.iter().map(|&index| axis(index, size)).collect::<Option<_>>()?;
    let Some(numbers) = value.numbers.as_deref() else { return Value::unknown(&shape) };
    budget.spend(&shape)?;
    let (outer, inner) = (outer.iter().product::<usize>(), inner.iter().product::<usize>());
    let places = (0..outer)
        .flat_map(|o| chosen.iter().map(move |&i| (o * size + i) * inner))
        .flat_map(|first| first..first + inner);
    Value::new(&shape, numbers.pick(places))
}

/// Squares of pixels become channels, or the other way round.
fn blocks(operation: &Operation, value: &Value, budget: &mut Budget) -> Option<Value> {
    let [n, c, h, w] = <[usize; 4]>::try_from(value.shape.as_slice()).ok()?;
    let b = usize::try_from(operation.integer("blocksize", 0)).ok().filter(|b| (1..=64).contains(b))?;
    let (split, order, shape) = match (operation.name.as_str(), operation.text("mode", "DCR")) {
        ("SpaceToDepth", _) => {
            (h.is_multiple_of(b) && w.is_multiple_of(b)).then_some(())?;
            ([n, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], [n, c * b * b, h / b, w / b])
        }
        (_, mode) => {
            c.is_multiple_of(b * b).then_some(())?;
            let d = c / (b * b);
            let shape = [n, d, h * b, w * b];
            match mode {
                "CRD" => ([n, d, b, b, h, w], [0, 1, 4, 2, 5, 3], shape),
                _ => ([n, b, b, d, h, w], [0, 3, 4, 1, 5, 2], shape),
            }
        }
    };
    permuted(&value.reshaped(&split)?, &order, budget)?.reshaped(&shape)
}

/// `value` with `updates` in the places that `indices` name.
fn scatter(value: &Value, indices: &Value, updates: &Value, budget: &mut Budget) -> Option<Value> {
    let (&depth, tuples) = indices.shape.split_last()?;
    let inner: usize = value.shape.get(depth..)?.iter().product();
    (updates.shape == [tuples, &value.shape[depth..]].concat()).then_some(())?;
    let whole = indices.whole()?;
    if value.numbers.is_none() || updates.numbers.is_none() {
        return Value::unknown(&value.shape);
    }
    budget.spend(&value.shape)?;
    budget.spend(&updates.shape)?;
    let steps = strides(&value.shape);
    let (mut values, updates) = (value.reals()?, updates.reals()?);
    let tuples: usize = tuples.iter().product();
    for i in 0..tuples {
        let mut place = 0;
        for (axis_of, &index) in whole[i * depth..(i + 1) * depth].iter().enumerate() {
            place += axis(index, value.shape[axis_of])? * steps[axis_of] as usize;
        }
        values[place..place + inner].copy_from_slice(&updates[i * inner..(i + 1) * inner]);
    }
    // Of integers nothing is ever scattered: boxes are.
    Value::floats(&value.shape, values)
}

//! What ONNX's operations compute: shapes always, numbers where those of all inputs are known. All but the operations
//! whose numbers only a running network has: convolution, pooling and the like have shapes here and nothing else.
//!
//! Settings are looked for both as attributes and as inputs, since most of them moved from the one to the other between
//! versions of the operations.

mod elementwise;
mod indices;
mod windows;

use super::operation::Operation;
use super::value::{Numbers, Value, elements};

pub(super) use windows::doubles;

/// The values that an operation reads; `None` for one that is left out or unknown.
pub(super) type Inputs<'a> = [Option<&'a Value>];

/// How many numbers may still be computed, so that no file takes longer than moments; 0 once there were too many.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes the numbers of an array of this shape out of the budget.
    pub(super) fn spend(&mut self, shape: &[usize]) -> Option<()> {
        let left = elements(shape).and_then(|count| self.0.checked_sub(count));
        self.0 = left.unwrap_or(0);
        left.map(|_| ())
    }
}

/// The outputs of `operation`; `None` where it or something about its inputs is unknown.
pub(super) fn compute(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Vec<Value>> {
    if operation.name == "Split" {
        return indices::split(operation, inputs, budget);
    }
    let input = |i: usize| inputs.get(i).copied().flatten();
    let first = input(0);
    let value = match operation.name.as_str() {
        "Constant" => constant(operation)?,
        "Shape" => {
            let shape: Vec<i64> = first?.shape.iter().map(|&size| size as i64).collect();
            let end = operation.integer("end", shape.len() as i64);
            let [start, end] = [operation.integer("start", 0), end].map(|place| clamped(place, shape.len()));
            list(shape.get(start..end)?.to_vec())?
        }
        "Size" => Value::integers(&[], vec![first?.count() as i64])?,
        "ConstantOfShape" => {
            let shape = sizes(first?.whole()?)?;
            budget.spend(&shape)?;
            let fill = operation
                .tensor("value")
                .map_or(Value::floats(&[1], vec![0.0]), |tensor| Value::parse(tensor, None))?;
            (fill.count() == 1).then_some(())?;
            let count = elements(&shape)?;
            Value::new(&shape, fill.numbers?.pick(std::iter::repeat_n(0, count)))?
        }
        "Range" => range(inputs, budget)?,
        "NonZero" => non_zero(first?, budget)?,
        "Identity" | "Dropout" => first?.clone(),
        "Cast" => cast(operation, first?, budget)?,
        "CastLike" => cast_like(first?, input(1)?)?,
        "Reshape" => {
            let wanted = input(1).map_or(Some(operation.integers("shape", &[])), Value::whole)?;
            let first = first?;
            first.reshaped(&reshape(&first.shape, wanted, operation.integer("allowzero", 0) != 0)?)?
        }
        "Flatten" => {
            let first = first?;
            let (rows, columns) = first.shape.split_at(clamped(operation.integer("axis", 1), first.shape.len()));
            first.reshaped(&[elements(rows)?, elements(columns)?])?
        }
        "Squeeze" | "Unsqueeze" => {
            let axes = input(1).map_or(Some(operation.integers("axes", &[])), Value::whole)?;
            let first = first?;
            let shape = match operation.name.as_str() {
                "Squeeze" => squeezed(&first.shape, axes)?,
                _ => unsqueezed(&first.shape, axes)?,
            };
            first.reshaped(&shape)?
        }
        "Transpose" | "Slice" | "Expand" | "Concat" | "Gather" | "Tile" | "SpaceToDepth" | "DepthToSpace"
        | "ScatterND" | "Pad" => indices::compute(operation, inputs, budget)?,
        "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "Resize" | "Upsample"
        | "BatchNormalization" => windows::shape(operation, inputs)?,
        _ => elementwise::compute(operation, inputs, budget)?,
    };
    Some(vec![value])
}

fn constant(operation: &Operation) -> Option<Value> {
    if let Some(tensor) = operation.tensor("value") {
        return Value::parse(tensor, None);
    }
    if let Some(values) = operation.floats("value_floats") {
        return Value::floats(&[values.len()], values.to_vec());
    }
    if operation.has("value_ints") {
        return list(operation.integers("value_ints", &[]).to_vec());
    }
    if operation.has("value_int") {
        return Value::integers(&[], vec![operation.integer("value_int", 0)]);
    }
    operation.has("value_float").then(|| Value::floats(&[], vec![operation.float("value_float", 0.0)]))?
}

fn range(inputs: &Inputs, budget: &mut Budget) -> Option<Value> {
    let [start, end, step] = <[Option<&Value>; 3]>::try_from(inputs.get(..3)?).ok()?;
    let (start, end, step) = (start?, end?, step?);
    if let (Some(&[start]), Some(&[end]), Some(&[step])) = (start.whole(), end.whole(), step.whole()) {
        (step != 0).then_some(())?;
        let count = usize::try_from(end.checked_sub(start)?.checked_div(step)?.checked_add(1)?).ok()?;
        budget.spend(&[count])?;
        let values = (0..count as i64).map(|i| start.saturating_add(i.saturating_mul(step)));
        return list(values.filter(|&value| if step > 0 { value < end } else { value > end }).collect());
    }
    let one = |value: &Value| value.reals().filter(|values| values.len() == 1).map(|values| f64::from(values[0]));
    let (start, end, step) = (one(start)?, one(end)?, one(step)?);
    let count = ((end - start) / step).ceil();
    (count.is_finite() && (0.0..1e9).contains(&count)).then_some(())?;
    budget.spend(&[count as usize])?;
    Value::floats(&[count as usize], (0..count as usize).map(|i| (start + i as f64 * step) as f32).collect())
}

/// The places of an array's numbers that are not 0, by axis.
fn non_zero(value: &Value, budget: &mut Budget) -> Option<Value> {
    let found: Vec<usize> = value.reals()?.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, _)| i).collect();
    budget.spend(&[value.shape.len(), found.len().max(value.count())])?;
    let mut places = Vec::new();
    for axis in 0..value.shape.len() {
        let inner: usize = value.shape[axis + 1..].iter().product();
        places.extend(found.iter().map(|&place| (place / inner % value.shape[axis]) as i64));
    }
    Value::integers(&[value.shape.len(), found.len()], places)
}

/// A number format that is a real one.
pub(super) fn is_real(format: i64) -> bool {
    use super::super::proto::data_type::{DOUBLE, FLOAT, FLOAT16};
    [FLOAT, FLOAT16, DOUBLE].map(i64::from).contains(&format)
}

fn cast(operation: &Operation, value: &Value, budget: &mut Budget) -> Option<Value> {
    use super::super::proto::data_type::{BOOL, INT32, INT64};
    let to = operation.integer("to", 0);
    let Some(numbers) = value.numbers.as_deref() else {
        // Values that depend on the image are reals, and have to stay such.
        return is_real(to).then(|| value.clone());
    };
    budget.spend(&value.shape)?;
    let numbers = match numbers {
        _ if is_real(to) => Numbers::Floats(value.reals()?),
        Numbers::Integers(values) if to == i64::from(BOOL) => {
            Numbers::Integers(values.iter().map(|&value| i64::from(value != 0)).collect())
        }
        Numbers::Integers(_) if [INT32, INT64].map(i64::from).contains(&to) => return Some(value.clone()),
        Numbers::Floats(values) if [INT32, INT64].map(i64::from).contains(&to) => {
            Numbers::Integers(values.iter().map(|&value| value as i64).collect())
        }
        _ => return None,
    };
    Value::new(&value.shape, numbers)
}

fn cast_like(value: &Value, like: &Value) -> Option<Value> {
    match (value.numbers.as_deref(), like.numbers.as_deref()) {
        (None, _) => Some(value.clone()),
        (Some(Numbers::Integers(_)), Some(Numbers::Integers(_))) => Some(value.clone()),
        (Some(Numbers::Floats(values)), Some(Numbers::Integers(_))) => {
            Value::integers(&value.shape, values.iter().map(|&value| value as i64).collect())
        }
        (Some(_), _) => Value::floats(&value.shape, value.reals()?),
    }
}

/// A list of integers.
fn list(values: Vec<i64>) -> Option<Value> {
    Value::integers(&[values.len()], values)
}

/// Sizes from numbers of a file.
fn sizes(numbers: &[i64]) -> Option<Vec<usize>> {
    let sizes: Vec<usize> = numbers.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
    elements(&sizes).map(|_| sizes)
}

/// A place on an axis of `size`, counted from the end where it is negative, and moved inside.
fn clamped(place: i64, size: usize) -> usize {
    let size = size as i64;
    (if place < 0 { place.saturating_add(size) } else { place }).clamp(0, size) as usize
}

/// An axis of an array with `rank` axes, counted from the end where it is negative.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

fn reshape(from: &[usize], wanted: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    let mut shape = Vec::new();
    let mut rest = None;
    for (i, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            -1 if rest.is_none() => {
                rest = Some(i);
                1
            }
            0 if !zero_is_zero => *from.get(i)?,
            size => usize::try_from(size).ok()?,
        });
    }
    if let Some(rest) = rest {
        let (all, others) = (elements(from)?, elements(&shape)?);
        (others > 0 && all % others == 0).then_some(())?;
        shape[rest] = all / others;
    }
    Some(shape)
}

fn squeezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let axes: Vec<usize> = axes.iter().map(|&place| axis(place, shape.len())).collect::<Option<_>>()?;
    let goes = |i: usize| if axes.is_empty() { shape[i] == 1 } else { axes.contains(&i) };
    Some((0..shape.len()).filter(|&i| !goes(i)).map(|i| shape[i]).collect())
}

fn unsqueezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let rank = shape.len().checked_add(axes.len())?;
    let axes: Vec<usize> = axes.iter().map(|&place| axis(place, rank)).collect::<Option<_>>()?;
    let mut sizes = shape.iter();
    let shape: Vec<usize> =
        (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { sizes.next().copied() }).collect::<Option<_>>()?;
    elements(&shape).map(|_| shape)
}

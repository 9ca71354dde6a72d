//! Operations on one element, or on corresponding elements of two arrays.

use super::super::operation::Operation;
use super::super::value::{Numbers, Value, elements};
use super::indices::broadcast_to;
use super::{Budget, Inputs};

pub(super) fn compute(operation: &Operation, inputs: &Inputs, budget: &mut Budget) -> Option<Value> {
    let name = operation.name.as_str();
    let input = |i: usize| inputs.get(i).copied().flatten();
    match name {
        "Where" => {
            let (condition, yes, no) = (input(0)?, input(1)?, input(2)?);
            let shape = joint(&joint(&condition.shape, &yes.shape)?, &no.shape)?;
            let [condition, yes, no] = [condition, yes, no].map(|value| broadcast_to(value, &shape, budget));
            let (condition, yes, no) = (condition?, yes?, no?);
            if [&condition, &yes, &no].iter().any(|value| value.numbers.is_none()) {
                return Value::unknown(&shape);
            }
            let condition = condition.whole()?;
            if let (Some(yes), Some(no)) = (yes.whole(), no.whole()) {
                let values = condition.iter().zip(yes.iter().zip(no));
                return Value::integers(
                    &shape,
                    values.map(|(c, (yes, no))| if *c != 0 { *yes } else { *no }).collect(),
                );
            }
            let (yes, no) = (yes.reals()?, no.reals()?);
            let values = condition.iter().zip(yes.iter().zip(&no));
            Value::floats(&shape, values.map(|(c, (yes, no))| if *c != 0 { *yes } else { *no }).collect())
        }
        "Clip" => {
            let limit = |i: usize, name: &str, default: f32| {
                let given = input(i).map(|value| value.reals().and_then(|values| values.first().copied()));
                given.unwrap_or(Some(operation.float(name, default)))
            };
            let (low, high) = (limit(1, "min", f32::MIN)?, limit(2, "max", f32::MAX)?);
            map(input(0)?, budget, |x| x.max(low).min(high))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (operation.float("alpha", 0.2), operation.float("beta", 0.5));
            map(input(0)?, budget, |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "Not" => {
            let value = input(0)?;
            budget.spend(&value.shape)?;
            Value::integers(&value.shape, value.whole()?.iter().map(|&x| i64::from(x == 0)).collect())
        }
        "Neg" | "Abs" if input(0)?.whole().is_some() => {
            let value = input(0)?;
            budget.spend(&value.shape)?;
            let one = |&x: &i64| if name == "Neg" { x.checked_neg() } else { x.checked_abs() };
            Value::integers(&value.shape, value.whole()?.iter().map(one).collect::<Option<_>>()?)
        }
        _ => match unary(name) {
            Some(function) => map(input(0)?, budget, function),
            None => binary(name, input(0)?, input(1)?, budget),
        },
    }
}

fn unary(name: &str) -> Option<fn(f32) -> f32> {
    Some(match name {
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Swish" => |x| x / (1.0 + (-x).exp()),
        "Relu" => |x| x.max(0.0),
        "Tanh" => f32::tanh,
        "Exp" => f32::exp,
        "Log" => f32::ln,
        "Sqrt" => f32::sqrt,
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Round" => f32::round_ties_even,
        "Reciprocal" => f32::recip,
        "Neg" => |x| -x,
        "Abs" => f32::abs,
        _ => return None,
    })
}

fn map(value: &Value, budget: &mut Budget, function: impl Fn(f32) -> f32) -> Option<Value> {
    if value.numbers.is_none() {
        return Some(value.clone());
    }
    budget.spend(&value.shape)?;
    Value::floats(&value.shape, value.reals()?.into_iter().map(function).collect())
}

/// The shape that arrays of two shapes are brought to for element-wise operations.
fn joint(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let shape: Vec<usize> = (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (1, size) | (size, 1) => Some(size),
            (a, b) => (a == b).then_some(a),
        })
        .collect::<Option<_>>()?;
    elements(&shape).map(|_| shape)
}

fn binary(name: &str, a: &Value, b: &Value, budget: &mut Budget) -> Option<Value> {
    let shape = joint(&a.shape, &b.shape)?;
    let known = ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "Equal", "Less", "Greater", "And", "Or"];
    if !known.contains(&name) {
        return None;
    }
    if a.numbers.is_none() || b.numbers.is_none() {
        return Value::unknown(&shape);
    }
    let (a, b) = (broadcast_to(a, &shape, budget)?, broadcast_to(b, &shape, budget)?);
    budget.spend(&shape)?;
    if let (Some(a), Some(b)) = (a.whole(), b.whole()) {
        let values = a.iter().zip(b).map(|(&a, &b)| of_integers(name, a, b));
        return Value::integers(&shape, values.collect::<Option<_>>()?);
    }
    let numbers = a.reals()?.into_iter().zip(b.reals()?);
    Value::new(
        &shape,
        match name {
            "Equal" => Numbers::Integers(numbers.map(|(a, b)| i64::from(a == b)).collect()),
            "Less" => Numbers::Integers(numbers.map(|(a, b)| i64::from(a < b)).collect()),
            "Greater" => Numbers::Integers(numbers.map(|(a, b)| i64::from(a > b)).collect()),
            _ => Numbers::Floats(numbers.map(|(a, b)| of_reals(name, a, b)).collect::<Option<_>>()?),
        },
    )
}

fn of_reals(name: &str, a: f32, b: f32) -> Option<f32> {
    Some(match name {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Pow" => a.powf(b),
        "Min" => a.min(b),
        "Max" => a.max(b),
        "Mod" => a % b,
        _ => return None,
    })
}

fn of_integers(name: &str, a: i64, b: i64) -> Option<i64> {
    match name {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?),
        "Min" => Some(a.min(b)),
        "Max" => Some(a.max(b)),
        "Mod" => a.checked_rem_euclid(b),
        "Equal" => Some((a == b).into()),
        "Less" => Some((a < b).into()),
        "Greater" => Some((a > b).into()),
        "And" => Some((a != 0 && b != 0).into()),
        "Or" => Some((a != 0 || b != 0).into()),
        _ => None,
    }
}

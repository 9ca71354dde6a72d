//! One spelling for all programs that write ONNX files: what does not depend on the image is computed, what does nothing
//! is left out, normalisation goes into the convolution in front of it, and settings stand where version 11 of the
//! operations has them.

use std::collections::{HashMap, HashSet};

use super::ImportError;
use super::compute::{Budget, axis, compute, doubles, is_real};
use super::file::OnnxFile;
use super::operation::Operation;
use super::value::Value;

/// Numbers that are computed at most: a second's work. An image of 416 x 416 pixels needs two million.
pub(super) const BUDGET: usize = 1 << 27;

/// A network in one spelling.
pub(super) struct Network {
    /// The operations that the output depends on, in order of execution.
    pub(super) operations: Vec<Operation>,
    /// Constants and the shapes of everything else, as far as they are known.
    pub(super) values: HashMap<String, Value>,
    /// The value that holds the image.
    pub(super) input: String,
    /// Number of images, and their height and width.
    pub(super) input_shape: [usize; 3],
    /// The value that is the result.
    pub(super) output: String,
}

/// Brings the network of `file` for images of `[number, height, width]` into one spelling.
pub(super) fn normalise(file: &OnnxFile, input_shape: [usize; 3]) -> Result<Network, ImportError> {
    let [batch, height, width] = input_shape;
    let image = Value::unknown(&[batch, 3, height, width]).ok_or(ImportError::TooLarge)?;
    let mut values = file.constants.clone();
    values.insert(file.input.clone(), image);
    let mut network =
        Network { operations: Vec::new(), values, input: file.input.clone(), input_shape, output: file.output.clone() };
    let mut budget = Budget(BUDGET);
    // What values that only repeat another one are.
    let mut same: HashMap<String, String> = HashMap::new();
    let mut computed: HashSet<&str> = file.constants.keys().chain([&file.input]).map(String::as_str).collect();
    for node in file.nodes.iter().filter(|node| !node.output.is_empty()) {
        if let Some(twice) = node.output.iter().find(|output| !output.is_empty() && !computed.insert(output)) {
            return Err(ImportError::Output(format!("two of its values are called \"{twice}\"")));
        }
        let mut operation = Operation::of(node.clone());
        for input in &mut operation.inputs {
            if let Some(original) = same.get(input) {
                input.clone_from(original);
            }
        }
        let inputs: Vec<Option<&Value>> = operation.inputs.iter().map(|input| network.values.get(input)).collect();
        // A value that is looked for and not there makes the result unknown; one that is left out does not.
        let missing = operation.inputs.iter().zip(&inputs).any(|(name, value)| !name.is_empty() && value.is_none());
        let outputs = if missing { None } else { compute(&operation, &inputs, &mut budget) };
        if budget.0 == 0 {
            return Err(ImportError::TooLarge);
        }
        let first = operation.outputs.first().cloned().unwrap_or_default();
        if let Some(original) = repeated(&operation, &inputs, outputs.as_deref()) {
            same.insert(first, original);
            continue;
        }
        let known = outputs.as_ref().is_some_and(|outputs| outputs.iter().all(|value| value.numbers.is_some()));
        for (name, value) in operation.outputs.iter().zip(outputs.into_iter().flatten()) {
            network.values.insert(name.clone(), value);
        }
        if !known {
            network.push(operation);
        }
    }
    if let Some(original) = same.get(&network.output) {
        network.output.clone_from(original);
    }
    network.fold();
    network.drop_unused();
    Ok(network)
}

/// The value that an operation only repeats.
fn repeated(operation: &Operation, inputs: &[Option<&Value>], outputs: Option<&[Value]>) -> Option<String> {
    let name = operation.name.as_str();
    let input = |i: usize| inputs.get(i).copied().flatten();
    // Of constants there is nothing left anyway.
    let varies = |i: usize| input(i).is_none_or(|value| value.numbers.is_none());
    let output = outputs.and_then(<[Value]>::first).map(|value| &value.shape);
    let keeps_shape = |i: usize| output.is_some() && input(i).map(|value| &value.shape) == output;
    let all = |i: usize, number: f32| {
        input(i).and_then(Value::reals).is_some_and(|values| !values.is_empty() && values.iter().all(|&x| x == number))
    };
    let of_first = match name {
        "Identity" | "Dropout" => true,
        "Cast" => is_real(operation.integer("to", 0)) && keeps_shape(0),
        "CastLike" => keeps_shape(0),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Expand" | "Tile" | "Pad" | "GlobalAveragePool" => {
            keeps_shape(0)
        }
        "Slice" => {
            let steps = input(4).map_or(Some(operation.integers("steps", &[])), Value::whole);
            keeps_shape(0) && steps.is_some_and(|steps| steps.iter().all(|&step| step == 1))
        }
        "Transpose" => {
            let rank = input(0).map_or(0, |value| value.shape.len()) as i64;
            keeps_shape(0) && operation.integers("perm", &[]).iter().copied().eq(0..rank)
        }
        "Concat" | "Sum" => operation.inputs.len() == 1,
        "Split" => operation.outputs.len() == 1,
        "Add" | "Sub" => keeps_shape(0) && all(1, 0.0),
        "Mul" | "Div" | "Pow" => keeps_shape(0) && all(1, 1.0),
        _ => false,
    };
    if of_first && varies(0) {
        return operation.inputs.first().cloned();
    }
    let of_second = match name {
        "Add" => keeps_shape(1) && all(0, 0.0),
        "Mul" => keeps_shape(1) && all(0, 1.0),
        _ => false,
    };
    (of_second && varies(1)).then(|| operation.inputs.get(1).cloned())?
}

impl Network {
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Shape of a value, where it is known.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.value(name)?.shape)
    }

    /// Adds a constant of single-precision numbers.
    fn add_constant(&mut self, name: String, numbers: Vec<f32>, shape: &[usize]) -> String {
        let value = Value::floats(shape, numbers).expect("as many numbers as the shape says");
        self.values.insert(name.clone(), value);
        name
    }

    /// Appends an operation in the one spelling.
    fn push(&mut self, mut operation: Operation) {
        let output = operation.outputs.first().cloned().unwrap_or_default();
        let [from, to] = [operation.inputs.first(), Some(&output)]
            .map(|name| name.and_then(|name| self.shape(name)).map(<[usize]>::to_vec));
        match operation.name.as_str() {
            "Swish" if operation.float("alpha", 1.0) == 1.0 && !operation.inputs.is_empty() => {
                let (input, gate) = (operation.inputs[0].clone(), format!("{output} gate"));
                self.values.extend(self.value(&output).cloned().map(|value| (gate.clone(), value)));
                self.operations.push(Operation::new("Sigmoid", &[&input], &gate));
                operation = Operation::new("Mul", &[&input, &gate], &output);
            }
            "Sum" if operation.inputs.len() == 2 => operation.name = "Add".into(),
            "Split" | "Concat" => {
                let rank = to.as_ref().or(from.as_ref()).map_or(0, Vec::len);
                if let Some(axis) = axis(operation.integer("axis", 0), rank) {
                    operation.set_integer("axis", axis as i64);
                    if operation.name == "Split" {
                        let parts: Option<Vec<i64>> =
                            operation.outputs.iter().map(|part| Some(*self.shape(part)?.get(axis)? as i64)).collect();
                        operation.set("split", parts.unwrap_or_default());
                    }
                }
            }
            "Resize" | "Upsample" => {
                if let (Some(from), Some(to)) = (&from, &to)
                    && doubles(&operation, from, to)
                {
                    operation = Operation::new("Doubling", &[&operation.inputs[0].clone()], &output);
                }
            }
            "ReduceMean" | "AveragePool" => {
                if let (Some(&[n, c, ..]), Some(to)) = (from.as_deref(), &to) {
                    let plain = operation.integers("pads", &[]).iter().all(|&pad| pad == 0);
                    if to[..] == [n, c, 1, 1] && plain && operation.text("auto_pad", "NOTSET") == "NOTSET" {
                        operation = Operation::new("GlobalAveragePool", &[&operation.inputs[0].clone()], &output);
                    }
                }
            }
            "Conv" | "MaxPool" => self.window(&mut operation, from.as_deref(), to.as_deref()),
            _ => {}
        }
        self.operations.push(operation);
    }

    /// Writes out the padding, and the biases of a convolution that has none.
    fn window(&mut self, operation: &mut Operation, from: Option<&[usize]>, to: Option<&[usize]>) {
        let kernel: Vec<i64> = match operation.inputs.get(1).and_then(|kernel| self.shape(kernel)) {
            Some(shape) => shape.iter().skip(2).map(|&size| size as i64).collect(),
            None => operation.integers("kernel_shape", &[]).to_vec(),
        };
        let strides = operation.integers("strides", &[1; 2]).to_vec();
        let (Some(&[_, _, h, w]), Some(&[_, channels, h2, w2]), [_, _], [_, _]) = (from, to, &kernel[..], &strides[..])
        else {
            return;
        };
        let dilations = operation.integers("dilations", &[1; 2]).to_vec();
        // What an axis of `to` windows needs beyond its size.
        let needed = |i: usize, size: usize, to: usize| {
            let reach = dilations.get(i).copied().unwrap_or(1).saturating_mul(kernel[i] - 1).saturating_add(1);
            (to as i64 - 1).saturating_mul(strides[i]).saturating_add(reach).saturating_sub(size as i64).max(0)
        };
        let missing = [needed(0, h, h2), needed(1, w, w2)];
        let half = missing.map(|missing| missing / 2);
        let rest = [missing[0] - half[0], missing[1] - half[1]];
        match operation.text("auto_pad", "NOTSET") {
            "SAME_UPPER" => operation.set("pads", vec![half[0], half[1], rest[0], rest[1]]),
            "SAME_LOWER" => operation.set("pads", vec![rest[0], rest[1], half[0], half[1]]),
            "VALID" => operation.set("pads", vec![0; 4]),
            _ => {}
        }
        if matches!(operation.text("auto_pad", "NOTSET"), "SAME_UPPER" | "SAME_LOWER" | "VALID") {
            operation.unset("auto_pad");
        }
        let pads = operation.integers("pads", &[0; 4]).to_vec();
        // Rounding up that changes nothing.
        if let [top, left, bottom, right] = pads[..] {
            let given = [top.saturating_add(bottom), left.saturating_add(right)];
            if given[0] >= missing[0] && given[1] >= missing[1] {
                operation.unset("ceil_mode");
            }
        }
        if operation.name == "Conv" && operation.inputs.get(2).is_none_or(String::is_empty) {
            let name = format!("{} biases", operation.outputs[0]);
            operation.inputs.truncate(2);
            operation.inputs.push(self.add_constant(name, vec![0.0; channels], &[channels]));
        }
    }

    /// Multiplies normalisation, and factors and summands of channels, into the convolution in front of them.
    fn fold(&mut self) {
        let mut uses: HashMap<String, usize> = HashMap::from([(self.output.clone(), 1)]);
        for input in self.operations.iter().flat_map(|operation| &operation.inputs) {
            *uses.entry(input.clone()).or_default() += 1;
        }
        let mut convolutions: HashMap<String, usize> = HashMap::new();
        let mut gone = HashSet::new();
        for i in 0..self.operations.len() {
            if let Some((input, gains, biases)) = self.affine(&self.operations[i]) {
                let convolution = convolutions.get(&input).copied().filter(|_| uses.get(&input) == Some(&1));
                let output = self.operations[i].outputs[0].clone();
                if let Some(folded) = convolution.and_then(|at| self.folded(at, &gains, &biases, &output)) {
                    gone.extend(convolutions.remove(&input));
                    self.operations[i] = folded;
                }
            }
            if self.operations[i].name == "Conv" {
                convolutions.insert(self.operations[i].outputs[0].clone(), i);
            }
        }
        let mut gone = (0..self.operations.len()).map(|i| gone.contains(&i)).collect::<Vec<_>>().into_iter();
        self.operations.retain(|_| !gone.next().unwrap_or(false));
    }

    /// The value that an operation multiplies by a number a channel and adds another to, and those numbers.
    fn affine(&self, operation: &Operation) -> Option<(String, Vec<f32>, Vec<f32>)> {
        let input = |i: usize| operation.inputs.get(i);
        let constant = |i: usize| self.value(input(i)?)?.reals();
        let &[_, channels, _, _] = self.shape(operation.outputs.first()?)? else { return None };
        if operation.name == "BatchNormalization" {
            (operation.outputs.len() == 1 || operation.integer("training_mode", 0) == 0).then_some(())?;
            let (scale, shift, mean, variance) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
            [&scale, &shift, &mean, &variance].iter().all(|values| values.len() == channels).then_some(())?;
            let eps = operation.float("epsilon", 1e-5);
            let gains: Vec<f32> =
                scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + eps).sqrt()).collect();
            let biases = shift.iter().zip(&mean).zip(&gains).map(|((shift, mean), gain)| shift - mean * gain).collect();
            return Some((input(0)?.clone(), gains, biases));
        }
        let turned = matches!(operation.name.as_str(), "Add" | "Mul") && constant(0).is_some();
        let (value, numbers) = if turned { (1, 0) } else { (0, 1) };
        let shape = self.shape(input(numbers)?)?;
        // A number a channel: all other axes have one.
        let of_channels = shape.iter().rev().enumerate().all(|(i, &size)| size == 1 || i == 2 && size == channels);
        let numbers = constant(numbers).filter(|_| of_channels)?;
        let numbers = if numbers.len() == 1 { vec![numbers[0]; channels] } else { numbers };
        let (gains, biases) = match operation.name.as_str() {
            "Add" => (vec![1.0; channels], numbers),
            "Sub" => (vec![1.0; channels], numbers.iter().map(|x| -x).collect()),
            "Mul" => (numbers, vec![0.0; channels]),
            "Div" => (numbers.iter().map(|x| 1.0 / x).collect(), vec![0.0; channels]),
            _ => return None,
        };
        Some((input(value)?.clone(), gains, biases))
    }

    /// A convolution with the output `output` that computes `gains` times the one `at` this place, plus `biases`.
    fn folded(&mut self, at: usize, gains: &[f32], biases: &[f32], output: &str) -> Option<Operation> {
        let mut convolution = self.operations[at].clone();
        let [kernel, bias] = [1, 2].map(|i| self.value(convolution.inputs.get(i)?).cloned());
        let (kernel, bias) = (kernel?, bias?);
        (bias.count() == gains.len() && kernel.shape.first() == Some(&gains.len())).then_some(())?;
        let size = kernel.count() / gains.len().max(1);
        let kernels = kernel.reals()?;
        let kernels = kernels.iter().enumerate().map(|(i, value)| value * gains[i / size.max(1)]).collect();
        let sums = bias.reals()?.iter().zip(gains).zip(biases).map(|((bias, gain), more)| bias * gain + more).collect();
        convolution.inputs[1] = self.add_constant(format!("{output} kernels"), kernels, &kernel.shape);
        convolution.inputs[2] = self.add_constant(format!("{output} biases"), sums, &[gains.len()]);
        convolution.outputs = vec![output.into()];
        Some(convolution)
    }

    /// Leaves out what the result does not depend on.
    fn drop_unused(&mut self) {
        let mut used: HashSet<&str> = HashSet::from([self.output.as_str()]);
        let mut keep = vec![false; self.operations.len()];
        for (operation, keep) in self.operations.iter().zip(&mut keep).rev() {
            *keep = operation.outputs.iter().any(|output| used.contains(output.as_str()));
            if *keep {
                used.extend(operation.inputs.iter().map(String::as_str));
            }
        }
        let mut keep = keep.into_iter();
        self.operations.retain(|_| keep.next().unwrap_or(false));
    }
}

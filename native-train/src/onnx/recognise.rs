//! Recognising a network by its flow of data: the layers of its definition, in order, are looked for among the ONNX
//! operations that consume the values already recognised. Where several would do, the first in the file is taken;
//! that this was right shows at the latest where the branches are joined, whose order is checked.

use std::collections::BTreeMap;

use rten_onnx::onnx::NodeProto;
use shared_model::WeightTensor;
use shared_model::graph::{Activation, Conv, Graph, Kernel, Layer, Node, NormState, Op};

use super::file::{OnnxFile, integer, integers, op, text};
use super::{Found, ImportError};

/// Looks for the layers of a graph in a file.
pub(super) struct Recogniser<'a> {
    pub(super) file: &'a OnnxFile,
    pub(super) graph: &'a Graph,
    /// Which ONNX operations have been recognised.
    used: Vec<bool>,
    /// The ONNX value that is each layer's output.
    values: Vec<String>,
    tensors: BTreeMap<String, WeightTensor>,
}

impl<'a> Recogniser<'a> {
    pub(super) fn new(file: &'a OnnxFile, graph: &'a Graph) -> Self {
        let used = vec![false; file.nodes().len()];
        Self { file, graph, used, values: Vec::new(), tensors: BTreeMap::new() }
    }

    /// The graph's kernels and biases, by name.
    pub(super) fn tensors(mut self) -> Result<BTreeMap<String, WeightTensor>, ImportError> {
        self.values.push(self.file.input()?.to_string());
        for layer in &self.graph.layers[1..] {
            let value = self.layer(layer).map_err(|found| ImportError::Misfit {
                layer: layer.name.clone(),
                operation: layer.op.to_string(),
                found,
            })?;
            self.values.push(value);
        }
        self.output().map_err(super::output::misfit)?;
        let mut left = self.file.nodes().iter().zip(&self.used).filter(|(_, used)| !**used).map(|(node, _)| node);
        if let Some(first) = left.next() {
            return Err(ImportError::LeftOver { count: 1 + left.count(), operation: op(first).into() });
        }
        Ok(self.tensors)
    }

    /// The ONNX value that is the output of `node`.
    pub(super) fn value(&self, node: Node) -> String {
        self.values[node.0].clone()
    }

    /// Finds one layer; the value that is its output.
    fn layer(&mut self, layer: &Layer) -> Found<String> {
        let inputs: Vec<String> = layer.inputs.iter().map(|&input| self.value(input)).collect();
        match &layer.op {
            Op::SpaceToDepth => self.space_to_depth(&inputs[0]),
            Op::Conv(conv) => self.conv(layer, conv, &inputs[0]),
            Op::MaxPool { kernel, stride } => self.claim("MaxPool", &inputs, |node| max_pool(node, *kernel, *stride)),
            Op::Upsample => {
                let file = self.file;
                self.claim("Resize", &inputs, |node| doubling(file, node))
            }
            Op::Concat => self.concat(&inputs, 1),
            Op::Add => self.claim("Add", &inputs, |_| Ok(())),
            op => Err(format!("nothing can be recognised as {op}")),
        }
    }

    /// Finds a convolution with what follows it, and takes its weights.
    fn conv(&mut self, layer: &Layer, conv: &Conv, input: &String) -> Found<String> {
        let parameters = self.graph.layer_parameters(layer, NormState::Folded);
        let [kernel, bias] = parameters.as_slice() else {
            return Err("nothing can be recognised as a mixed convolution".into());
        };
        let file = self.file;
        let channels_in = self.graph.channels_in(layer);
        let found = self.find("Conv", std::slice::from_ref(input), |node| {
            let shapes = [1, 2].map(|i| node.input.get(i).and_then(|name| file.shape(name)).unwrap_or_default());
            if shapes != [&kernel.shape[..], &bias.shape] {
                return Err(format!(
                    "a convolution with kernels {:?} and bias {:?} was found, not {:?} and {:?}",
                    shapes[0], shapes[1], kernel.shape, bias.shape
                ));
            }
            geometry(node, conv, channels_in)?;
            let gated = self.consumers(&node.output[0]).iter().any(|(_, node)| op(node) == "Mul");
            match (conv.activation, gated) {
                (Activation::Silu, true) | (Activation::Identity, false) => Ok(()),
                (Activation::Silu, false) => Err("a convolution without SiLU was found".into()),
                _ => Err("a convolution with another activation was found".into()),
            }
        })?;
        let node = &file.nodes()[found];
        for (name, parameter) in node.input[1..].iter().zip([kernel, bias]) {
            let tensor = file.floats(name).ok_or("a convolution without single-precision numbers was found")?;
            self.tensors.insert(parameter.name.clone(), tensor);
        }
        let output = self.take(found);
        if conv.activation != Activation::Silu {
            return Ok(output);
        }
        let sigmoid = self.claim("Sigmoid", std::slice::from_ref(&output), |_| Ok(()))?;
        self.claim("Mul", &[output, sigmoid], |_| Ok(()))
    }

    /// Finds the joining of `inputs`, in this order, along an axis.
    pub(super) fn concat(&mut self, inputs: &[String], axis: i64) -> Found<String> {
        let count = inputs.len();
        self.claim("Concat", inputs, |node| {
            same("axis", &[integer(node, "axis", i64::MIN)], &[axis])?;
            same("number of inputs", &[node.input.len() as i64], &[count as i64])
        })
    }

    /// Takes the first operation called `name` on `inputs` that fits; the value that is its output.
    pub(super) fn claim(
        &mut self,
        name: &str,
        inputs: &[String],
        fits: impl Fn(&NodeProto) -> Found<()>,
    ) -> Found<String> {
        let found = self.find(name, inputs, fits)?;
        Ok(self.take(found))
    }

    /// Marks an operation as recognised; the value that is its output.
    pub(super) fn take(&mut self, node: usize) -> String {
        self.used[node] = true;
        self.file.nodes()[node].output[0].clone()
    }

    /// The first operation called `name` on `inputs` that fits and is not recognised yet.
    fn find(&self, name: &str, inputs: &[String], fits: impl Fn(&NodeProto) -> Found<()>) -> Found<usize> {
        let mut misfit = None;
        for (i, node) in self.consumers(&inputs[0]) {
            // Constants may follow the inputs. Sums and products mean the same the other way round.
            let start = node.input.get(..inputs.len()).unwrap_or(&[]);
            let turned = matches!(name, "Add" | "Mul") && start.iter().eq(inputs.iter().rev());
            if op(node) != name || node.output.len() != 1 || !(start == inputs || turned) {
                continue;
            }
            match fits(node) {
                Ok(()) => return Ok(i),
                Err(found) => misfit = misfit.or(Some(found)),
            }
        }
        Err(misfit.unwrap_or_else(|| self.describe(&inputs[0])))
    }

    /// The operations that use a value and are not recognised yet.
    pub(super) fn consumers(&self, value: &str) -> Vec<(usize, &'a NodeProto)> {
        let nodes = self.file.nodes().iter().enumerate();
        nodes.filter(|(i, node)| !self.used[*i] && node.input.iter().any(|input| input == value)).collect()
    }

    fn describe(&self, value: &str) -> String {
        let consumers = self.consumers(value);
        let found: Vec<_> = consumers.iter().map(|(_, node)| op(node)).collect();
        match found.as_slice() {
            [] => "nothing uses its input".into(),
            _ => format!("only {} with other inputs was found", found.join(", ")),
        }
    }
}

/// Checks a convolution's groups, stride and padding.
fn geometry(node: &NodeProto, conv: &Conv, channels_in: usize) -> Found<()> {
    let (width, groups) = match &conv.kernel {
        Kernel::Dense(width) => (*width, 1),
        Kernel::Depthwise(widths) => (widths[0], channels_in),
    };
    same("groups", &[integer(node, "group", 1)], &[groups as i64])?;
    same("stride", integers(node, "strides", &[1; 2]), &[conv.stride as i64; 2])?;
    padding(node, width / 2)
}

fn max_pool(node: &NodeProto, kernel: usize, stride: usize) -> Found<()> {
    same("kernel", integers(node, "kernel_shape", &[]), &[kernel as i64; 2])?;
    same("stride", integers(node, "strides", &[1; 2]), &[stride as i64; 2])?;
    same("ceil_mode", &[integer(node, "ceil_mode", 0)], &[0])?;
    padding(node, if stride == 1 { kernel / 2 } else { 0 })
}

fn padding(node: &NodeProto, pad: usize) -> Found<()> {
    same("dilation", integers(node, "dilations", &[1; 2]), &[1; 2])?;
    match text(node, "auto_pad", "NOTSET") {
        "NOTSET" => same("padding", integers(node, "pads", &[0; 4]), &[pad as i64; 4]),
        automatic => Err(format!("padding {automatic} was found")),
    }
}

/// Checks that an operation makes each pixel a square of 2 x 2.
fn doubling(file: &OnnxFile, node: &NodeProto) -> Found<()> {
    let scales = node.input.get(2).and_then(|name| file.floats(name)).map(|scales| scales.values).unwrap_or_default();
    let modes = ["mode", "coordinate_transformation_mode", "nearest_mode"].map(|name| text(node, name, "default"));
    if scales == [1.0, 1.0, 2.0, 2.0] && modes == ["nearest", "asymmetric", "floor"] {
        return Ok(());
    }
    Err(format!("a resizing by {scales:?} was found ({})", modes.join(", ")))
}

/// Compares a property of an operation.
pub(super) fn same(what: &str, found: &[i64], wanted: &[i64]) -> Found<()> {
    if found == wanted { Ok(()) } else { Err(format!("{what} {found:?} was found, not {wanted:?}")) }
}

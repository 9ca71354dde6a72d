//! Recognising a network by its flow of data: the layers of its definition, in order, are looked for among the ONNX
//! operations that consume the values already recognised. Where several would do, the first in the file is taken;
//! that this was right shows at the latest where the branches are joined, whose order is checked.

use std::collections::BTreeMap;

use rten_onnx::onnx::NodeProto;
use shared_model::WeightTensor;
use shared_model::graph::{Graph, Layer, Node, Op};

use super::super::op;
use super::file::{OnnxFile, integer, integers, text};
use super::{Found, ImportError};

/// Looks for the layers of a graph in a file.
pub(super) struct Recogniser<'a> {
    pub(super) file: &'a OnnxFile,
    pub(super) graph: &'a Graph,
    /// Number of pictures, and their height and width.
    pub(super) input_shape: [usize; 3],
    /// Which ONNX operations have been recognised.
    used: Vec<bool>,
    /// The ONNX value that is each layer's output.
    values: Vec<String>,
    pub(super) tensors: BTreeMap<String, WeightTensor>,
}

impl<'a> Recogniser<'a> {
    pub(super) fn new(file: &'a OnnxFile, graph: &'a Graph) -> Result<Self, ImportError> {
        let used = vec![false; file.nodes().len()];
        let values = vec![file.input()?.to_string()];
        Ok(Self { file, graph, input_shape: file.input_shape()?, used, values, tensors: BTreeMap::new() })
    }

    /// How many layers have been recognised.
    pub(super) fn recognised(&self) -> usize {
        self.values.len()
    }

    /// The kernels and biases of the graph, which is that of `variant`, by name.
    pub(super) fn tensors(&mut self, variant: &'static str) -> Result<BTreeMap<String, WeightTensor>, ImportError> {
        for layer in &self.graph.layers[1..] {
            let value = self.layer(layer).map_err(|found| ImportError::Misfit {
                variant,
                layer: layer.name.clone(),
                operation: layer.op.to_string(),
                found,
            })?;
            self.values.push(value);
        }
        self.output().map_err(|found| ImportError::Misfit {
            variant,
            layer: "head".into(),
            operation: "joining of the predictions".into(),
            found,
        })?;
        let mut left = self.file.nodes().iter().zip(&self.used).filter(|(_, used)| !**used).map(|(node, _)| node);
        if let Some(first) = left.next() {
            return Err(ImportError::LeftOver { variant, count: 1 + left.count(), operation: op(first).into() });
        }
        Ok(std::mem::take(&mut self.tensors))
    }

    /// The ONNX value that is the output of `node`.
    pub(super) fn value(&self, node: Node) -> String {
        self.values[node.0].clone()
    }

    /// Finds one layer; the value that is its output.
    fn layer(&mut self, layer: &Layer) -> Found<String> {
        let inputs: Vec<String> = layer.inputs.iter().map(|&input| self.value(input)).collect();
        match &layer.op {
            Op::SpaceToDepth => self.stem(&inputs[0]),
            Op::Conv(conv) => self.convolution(layer, conv, &inputs[0]),
            Op::MaxPool { kernel, stride } => self.claim("MaxPool", &inputs, |node| max_pool(node, *kernel, *stride)),
            Op::Upsample => {
                let file = self.file;
                self.claim("Resize", &inputs, |node| doubling(file, node))
            }
            Op::Concat => self.concat(&inputs, 1),
            Op::Add => self.claim("Add", &inputs, |_| Ok(())),
            Op::GlobalAvgPool => self.claim("GlobalAveragePool", &inputs, |_| Ok(())),
            Op::Scale => self.claim("Mul", &inputs, |_| Ok(())),
            Op::Input => Err("nothing can be recognised as a second picture".into()),
        }
    }

    /// Finds the splitting of a value along the channels into parts of `sizes`.
    pub(super) fn split(&mut self, value: &str, sizes: &[usize]) -> Found<Vec<String>> {
        let sizes: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        let found = self.find("Split", &[value.into()], sizes.len(), |node| {
            same("axis", &[integer(node, "axis", 0)], &[1])?;
            same("sizes of parts", integers(node, "split", &[]), &sizes)
        })?;
        self.take(found);
        Ok(self.file.nodes()[found].output.clone())
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
        let found = self.find(name, inputs, 1, fits)?;
        Ok(self.take(found))
    }

    /// Marks an operation as recognised; the value that is its output.
    pub(super) fn take(&mut self, node: usize) -> String {
        self.used[node] = true;
        self.file.nodes()[node].output[0].clone()
    }

    /// The first operation called `name` from `inputs` to a number of outputs that fits and is not recognised yet.
    pub(super) fn find(
        &self,
        name: &str,
        inputs: &[String],
        outputs: usize,
        fits: impl Fn(&NodeProto) -> Found<()>,
    ) -> Found<usize> {
        let mut misfit = None;
        for (i, node) in self.consumers(&inputs[0]) {
            // Constants may follow the inputs. Sums and products mean the same the other way round.
            let start = node.input.get(..inputs.len()).unwrap_or(&[]);
            let turned = matches!(name, "Add" | "Mul") && start.iter().eq(inputs.iter().rev());
            if op(node) != name || node.output.len() != outputs || !(start == inputs || turned) {
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
    fn consumers(&self, value: &str) -> Vec<(usize, &'a NodeProto)> {
        let nodes = self.file.nodes().iter().enumerate();
        nodes.filter(|(i, node)| !self.used[*i] && node.input.iter().any(|input| input == value)).collect()
    }

    /// Whether an operation called `name` uses a value and is not recognised yet.
    pub(super) fn has_consumer(&self, value: &str, name: &str) -> bool {
        self.consumers(value).iter().any(|(_, node)| op(node) == name)
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

fn max_pool(node: &NodeProto, kernel: usize, stride: usize) -> Found<()> {
    same("kernel", integers(node, "kernel_shape", &[]), &[kernel as i64; 2])?;
    same("stride", integers(node, "strides", &[1; 2]), &[stride as i64; 2])?;
    same("ceil_mode", &[integer(node, "ceil_mode", 0)], &[0])?;
    padding(node, if stride == 1 { kernel / 2 } else { 0 })
}

pub(super) fn padding(node: &NodeProto, pad: usize) -> Found<()> {
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

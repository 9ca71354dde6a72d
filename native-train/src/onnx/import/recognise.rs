//! Recognising a network by its flow of data: the layers of its definition are looked for among the operations that
//! consume the values already recognised, both in the order in which the predictions need them. Where several would do,
//! the first is taken; that this was right shows at the latest where the branches are joined, whose order is checked.

use std::collections::{BTreeMap, HashMap};

use shared_model::WeightTensor;
use shared_model::graph::{Graph, Layer, Node, Op};

use super::normalise::Network;
use super::operation::Operation;
use super::{ImportError, Recognised, head, output};

/// Looks for the layers of a graph in a file.
pub(super) struct Recogniser<'a> {
    pub(super) network: &'a Network,
    pub(super) graph: &'a Graph,
    /// Which operations have been recognised.
    used: Vec<bool>,
    /// Which operations use each value, in their order.
    consumers: HashMap<&'a str, Vec<usize>>,
    /// The value in the file that is each layer's output.
    values: Vec<Option<String>>,
    pub(super) tensors: BTreeMap<String, WeightTensor>,
}

impl<'a> Recogniser<'a> {
    pub(super) fn new(network: &'a Network, graph: &'a Graph) -> Self {
        let mut consumers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, operation) in network.operations.iter().enumerate() {
            for input in &operation.inputs {
                consumers.entry(input).or_default().push(i);
            }
        }
        let mut values = vec![None; graph.layers.len()];
        values[graph.input().0] = Some(network.input.clone());
        let used = vec![false; network.operations.len()];
        Self { network, graph, used, consumers, values, tensors: BTreeMap::new() }
    }

    /// How many layers have been recognised.
    pub(super) fn recognised(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// The kernels and biases of the graph, which is that of `variant`, by name. `space_to_depth` is the value that is
    /// the image after that.
    pub(super) fn tensors(
        &mut self,
        variant: &'static str,
        space_to_depth: Option<&str>,
    ) -> Result<BTreeMap<String, WeightTensor>, ImportError> {
        let misfit = |layer: &str, operation: String, found: String| ImportError::Misfit {
            variant,
            layer: layer.into(),
            operation,
            found,
        };
        for i in head::order(self.graph) {
            let layer = &self.graph.layers[i];
            let value = match layer.op {
                Op::Input => Ok(self.network.input.clone()),
                // Part of the convolution behind it, or an operation of its own.
                Op::SpaceToDepth if self.has_consumer(&self.network.input, "Conv") => Ok(self.network.input.clone()),
                Op::SpaceToDepth => space_to_depth.map(String::from).ok_or_else(|| {
                    let found = self.describe(&self.network.input);
                    format!("the image does not become four quarters ({found})")
                }),
                _ => self.layer(layer),
            };
            let value = value.map_err(|found| misfit(&layer.name, layer.op.to_string(), found))?;
            self.values[i] = Some(value);
        }
        let predictions: Vec<_> = self
            .graph
            .head
            .iter()
            .map(|level| [level.reg, level.obj, level.cls].map(|node| self.value(node)))
            .collect();
        output::check(self.network, self.graph, &predictions)
            .map_err(|found| misfit("head", "joining of the predictions".into(), found))?;
        Ok(std::mem::take(&mut self.tensors))
    }

    /// The value in the file that is the output of `node`, which is recognised.
    pub(super) fn value(&self, node: Node) -> String {
        self.values[node.0].clone().expect("layers come after their inputs")
    }

    /// Finds one layer; the value that is its output.
    fn layer(&mut self, layer: &Layer) -> Recognised<String> {
        let inputs: Vec<String> = layer.inputs.iter().map(|&input| self.value(input)).collect();
        match &layer.op {
            Op::Conv(conv) => self.convolution(layer, conv, &inputs[0]),
            Op::MaxPool { kernel, stride } => self.claim("MaxPool", &inputs, |node| max_pool(node, *kernel, *stride)),
            Op::Upsample => self.claim("Doubling", &inputs, |_| Ok(())),
            Op::Concat => self.concat(&inputs, 1),
            Op::Add => self.claim("Add", &inputs, |_| Ok(())),
            Op::GlobalAvgPool => self.claim("GlobalAveragePool", &inputs, |_| Ok(())),
            Op::Scale => self.claim("Mul", &inputs, |_| Ok(())),
            Op::Input | Op::SpaceToDepth => Err("nothing can be recognised as a second image".into()),
        }
    }

    /// Finds the splitting of a value along the channels into parts of `sizes`.
    pub(super) fn split(&mut self, value: &str, sizes: &[usize]) -> Recognised<Vec<String>> {
        let sizes: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        let found = self.find("Split", &[value.into()], sizes.len(), |node| {
            same("axis", &[node.integer("axis", 0)], &[1])?;
            same("sizes of parts", node.integers("split", &[]), &sizes)
        })?;
        self.take(found);
        Ok(self.network.operations[found].outputs.clone())
    }

    /// Finds the joining of `inputs`, in this order, along an axis.
    pub(super) fn concat(&mut self, inputs: &[String], axis: i64) -> Recognised<String> {
        let count = inputs.len();
        self.claim("Concat", inputs, |node| {
            same("axis", &[node.integer("axis", i64::MIN)], &[axis])?;
            same("number of inputs", &[node.inputs.len() as i64], &[count as i64])
        })
    }

    /// Takes the first operation called `name` on `inputs` that fits; the value that is its output.
    pub(super) fn claim(
        &mut self,
        name: &str,
        inputs: &[String],
        fits: impl Fn(&Operation) -> Recognised<()>,
    ) -> Recognised<String> {
        let found = self.find(name, inputs, 1, fits)?;
        Ok(self.take(found))
    }

    /// Marks an operation as recognised; the value that is its output.
    pub(super) fn take(&mut self, node: usize) -> String {
        self.used[node] = true;
        self.network.operations[node].outputs[0].clone()
    }

    /// The first operation called `name` from `inputs` to a number of outputs that fits and is not recognised yet.
    pub(super) fn find(
        &self,
        name: &str,
        inputs: &[String],
        outputs: usize,
        fits: impl Fn(&Operation) -> Recognised<()>,
    ) -> Recognised<usize> {
        let mut misfit = None;
        for (i, node) in self.consumers(&inputs[0]) {
            // Constants may follow the inputs. Sums and products mean the same the other way round.
            let start = node.inputs.get(..inputs.len()).unwrap_or(&[]);
            let turned = matches!(name, "Add" | "Mul") && start.iter().eq(inputs.iter().rev());
            if node.name != name || node.outputs.len() != outputs || !(start == inputs || turned) {
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
    pub(super) fn consumers(&self, value: &str) -> Vec<(usize, &'a Operation)> {
        let consumers = self.consumers.get(value).into_iter().flatten();
        consumers.filter(|&&i| !self.used[i]).map(|&i| (i, &self.network.operations[i])).collect()
    }

    /// Whether an operation called `name` uses a value and is not recognised yet.
    pub(super) fn has_consumer(&self, value: &str, name: &str) -> bool {
        self.consumers(value).iter().any(|(_, node)| node.name == name)
    }

    fn describe(&self, value: &str) -> String {
        let consumers = self.consumers(value);
        let found: Vec<_> = consumers.iter().map(|(_, node)| node.name.as_str()).collect();
        match found.as_slice() {
            [] => "nothing uses its input".into(),
            _ => format!("only {} with other inputs was found", found.join(", ")),
        }
    }
}

fn max_pool(node: &Operation, kernel: usize, stride: usize) -> Recognised<()> {
    same("kernel", node.integers("kernel_shape", &[]), &[kernel as i64; 2])?;
    same("stride", node.integers("strides", &[1; 2]), &[stride as i64; 2])?;
    same("ceil_mode", &[node.integer("ceil_mode", 0)], &[0])?;
    padding(node, if stride == 1 { kernel / 2 } else { 0 })
}

pub(super) fn padding(node: &Operation, pad: usize) -> Recognised<()> {
    same("dilation", node.integers("dilations", &[1; 2]), &[1; 2])?;
    match node.text("auto_pad", "NOTSET") {
        "NOTSET" => same("padding", node.integers("pads", &[0; 4]), &[pad as i64; 4]),
        automatic => Err(format!("padding {automatic} was found")),
    }
}

/// Compares a property of an operation.
pub(super) fn same(what: &str, found: &[i64], wanted: &[i64]) -> Recognised<()> {
    if found == wanted { Ok(()) } else { Err(format!("{what} {found:?} was found, not {wanted:?}")) }
}

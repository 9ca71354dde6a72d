//! Writes a network the way Megvii's ONNX files spell it, to test recognition on.

use rten_onnx::onnx::{
    AttributeProto, DataType, Dimension, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    TypeProtoTensor, ValueInfoProto,
};
use shared_model::graph::{Activation, Conv, Graph, Kernel, Layer, NormState, Op};

/// The file of `graph`, with kernels and biases of numbers that tell where they belong.
pub(super) fn file(graph: &Graph) -> ModelProto {
    let mut writer = Writer::default();
    let mut values = vec!["images".to_string()];
    for layer in &graph.layers[1..] {
        let inputs: Vec<String> = layer.inputs.iter().map(|input| values[input.0].clone()).collect();
        values.push(writer.layer(graph, layer, &inputs));
    }
    let mut levels = Vec::new();
    for level in &graph.head {
        let [reg, obj, cls] = [level.reg, level.obj, level.cls].map(|node| values[node.0].clone());
        let obj = writer.node("Sigmoid", &[obj], vec![]);
        let cls = writer.node("Sigmoid", &[cls], vec![]);
        let joined = writer.node("Concat", &[reg, obj, cls], vec![int("axis", 1)]);
        let shape = writer.integers(&[1, 5 + graph.classes as i64, -1]);
        levels.push(writer.node("Reshape", &[joined, shape], vec![]));
    }
    let joined = writer.node("Concat", &levels, vec![int("axis", 2)]);
    let output = writer.node("Transpose", &[joined], vec![ints("perm", &[0, 2, 1])]);

    let info = |name: &str, dims: &[i64]| {
        let dim = dims.iter().map(|&size| Dimension { dim_value: Some(size), dim_param: None }).collect();
        let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(TensorShapeProto { dim }) };
        ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto { tensor_type: Some(tensor), ..Default::default() }),
        }
    };
    let graph = GraphProto {
        node: writer.nodes,
        initializer: writer.constants,
        input: vec![info("images", &[1, 3, 64, 64])],
        output: vec![info(&output, &[1])],
        ..Default::default()
    };
    ModelProto { graph: Some(graph), ..Default::default() }
}

/// What [`file`] stores in each place of the parameter called `name`.
pub(super) fn number(name: &str, place: usize) -> f32 {
    name.bytes().fold(place as u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) as f32 / 1e9
}

#[derive(Default)]
struct Writer {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: Some(name.into()), s: Some(value.into()), ..Default::default() }
}

impl Writer {
    fn node(&mut self, op: &str, inputs: &[String], attribute: Vec<AttributeProto>) -> String {
        let output = format!("value{}", self.nodes.len());
        self.nodes.push(NodeProto {
            op_type: Some(op.into()),
            input: inputs.to_vec(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = format!("constant{}", self.constants.len());
        self.constants.push(TensorProto { name: Some(name.clone()), ..tensor });
        name
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let dims = vec![values.len() as i64];
        let data_type = Some(DataType::INT64);
        self.constant(TensorProto { dims, data_type, int64_data: values.to_vec(), ..Default::default() })
    }

    fn floats(&mut self, shape: &[usize], values: Vec<f32>) -> String {
        let dims = shape.iter().map(|&size| size as i64).collect();
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw_data = Some(raw.into());
        self.constant(TensorProto { dims, data_type: Some(DataType::FLOAT), raw_data, ..Default::default() })
    }

    fn layer(&mut self, graph: &Graph, layer: &Layer, inputs: &[String]) -> String {
        match &layer.op {
            Op::SpaceToDepth => {
                let quarters = [[0, 0], [1, 0], [0, 1], [1, 1]].map(|[row, column]| {
                    let rows = self.slice(&inputs[0], 2, row);
                    self.slice(&rows, 3, column)
                });
                self.node("Concat", &quarters, vec![int("axis", 1)])
            }
            Op::Conv(conv) => self.conv(graph, layer, conv, &inputs[0]),
            Op::MaxPool { kernel, .. } => {
                let kernel = *kernel as i64;
                let shape = [ints("kernel_shape", &[kernel; 2]), ints("pads", &[kernel / 2; 4])];
                self.node("MaxPool", inputs, shape.into())
            }
            Op::Upsample => {
                let scales = self.floats(&[4], vec![1.0, 1.0, 2.0, 2.0]);
                let modes = [
                    text("mode", "nearest"),
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ];
                self.node("Resize", &[inputs[0].clone(), String::new(), scales], modes.into())
            }
            Op::Concat => self.node("Concat", inputs, vec![int("axis", 1)]),
            Op::Add => self.node("Add", inputs, vec![]),
            op => unreachable!("{op} is in no file of Megvii's"),
        }
    }

    fn slice(&mut self, value: &str, axis: i64, first: i64) -> String {
        let parameters = [first, i64::MAX, axis, 2].map(|value| self.integers(&[value]));
        let inputs: Vec<_> = [value.to_string()].into_iter().chain(parameters).collect();
        self.node("Slice", &inputs, vec![])
    }

    fn conv(&mut self, graph: &Graph, layer: &Layer, conv: &Conv, input: &str) -> String {
        let mut inputs = vec![input.to_string()];
        for parameter in graph.layer_parameters(layer, NormState::Folded) {
            let count = parameter.shape.iter().product();
            let values = (0..count).map(|place| number(&parameter.name, place)).collect();
            inputs.push(self.floats(&parameter.shape, values));
        }
        let (width, group) = match &conv.kernel {
            Kernel::Dense(width) => (*width as i64, 1),
            Kernel::Depthwise(widths) => (widths[0] as i64, layer.channels as i64),
        };
        let stride = conv.stride as i64;
        let attributes = [int("group", group), ints("strides", &[stride; 2]), ints("pads", &[width / 2; 4])];
        let output = self.node("Conv", &inputs, attributes.into());
        if conv.activation == Activation::Identity {
            return output;
        }
        let sigmoid = self.node("Sigmoid", std::slice::from_ref(&output), vec![]);
        self.node("Mul", &[output, sigmoid], vec![])
    }
}

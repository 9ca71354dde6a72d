//! Each layer of a network as ONNX operations.

use shared_model::Weights;
use shared_model::graph::{Activation, Conv, Graph, Kernel, Layer, NormState, Op};

use super::super::{HARD_SIGMOID, QUARTERS, ROWS};
use super::writer::{Writer, float, int, ints, text};

/// Writes `layer` of `graph`, which reads the values called `inputs`. Its output is called as the layer is, what lies
/// between has the layer's name before a slash, and constants are called as in the weight file.
pub(super) fn layer(writer: &mut Writer, graph: &Graph, layer: &Layer, inputs: &[&str], weights: &Weights) -> String {
    let name = layer.name.as_str();
    match &layer.op {
        Op::Input => name.into(),
        Op::SpaceToDepth => space_to_depth(writer, name, inputs[0]),
        Op::Conv(conv) => convolution(writer, graph, layer, conv, inputs[0], weights),
        Op::MaxPool { kernel, stride } => {
            let pad = if *stride == 1 { kernel / 2 } else { 0 };
            writer.node(name, "MaxPool", inputs, window(*kernel, *stride, pad).into())
        }
        Op::GlobalAvgPool => writer.node(name, "GlobalAveragePool", inputs, vec![]),
        Op::Upsample => {
            let scales = writer.floats(&format!("{name}/scales"), &[4], &[1.0, 1.0, 2.0, 2.0]);
            let modes = [
                text("mode", "nearest"),
                text("coordinate_transformation_mode", "asymmetric"),
                text("nearest_mode", "floor"),
            ];
            // The empty input would be the region of another mode.
            writer.node(name, "Resize", &[inputs[0], "", &scales], modes.into())
        }
        Op::Concat => writer.node(name, "Concat", inputs, vec![int("axis", 1)]),
        Op::Add => writer.node(name, "Add", inputs, vec![]),
        Op::Scale => writer.node(name, "Mul", inputs, vec![]),
    }
}

/// As Megvii's files spell it, so that it is recognised by whoever recognises theirs: two slices a quarter.
fn space_to_depth(writer: &mut Writer, name: &str, picture: &str) -> String {
    let quarters = QUARTERS.map(|[row, column]| {
        let rows = every_other(writer, &format!("{name}/rows{row}_{column}"), picture, ROWS, row);
        every_other(writer, &format!("{name}/quarter{row}_{column}"), &rows, ROWS + 1, column)
    });
    writer.node(name, "Concat", &quarters.each_ref().map(String::as_str), vec![int("axis", 1)])
}

/// Every other element of `value` along `axis`, from `first` to the end.
fn every_other(writer: &mut Writer, name: &str, value: &str, axis: i64, first: i64) -> String {
    // Tools know PyTorch's greatest number as "to the end".
    let [from, to, along, step] = [first, i64::MAX, axis, 2].map(|value| writer.integers(&[value]));
    writer.node(name, "Slice", &[value, &from, &to, &along, &step], vec![])
}

fn convolution(
    writer: &mut Writer,
    graph: &Graph,
    layer: &Layer,
    conv: &Conv,
    input: &str,
    weights: &Weights,
) -> String {
    let (name, channels_in) = (layer.name.as_str(), graph.channels_in(layer));
    let mut parameters = graph.layer_parameters(layer, NormState::Folded);
    let bias = parameters.pop().expect("every convolution has a bias once normalisation is folded");
    let bias_values = &weights.tensors[&bias.name].values;
    // A convolution without an activation is the layer itself.
    let sums = if conv.activation == Activation::Identity { name.into() } else { format!("{name}/conv") };
    let sums = match (&conv.kernel, parameters.as_slice()) {
        (Kernel::Dense(_), [kernel]) => {
            let inputs = constants(writer, &kernel.name, &kernel.shape, weights, &bias.name, bias_values);
            convolve(writer, &sums, input, &inputs, kernel.shape[2], conv.stride, 1)
        }
        (Kernel::Depthwise(_), [kernel]) => {
            let inputs = constants(writer, &kernel.name, &kernel.shape, weights, &bias.name, bias_values);
            convolve(writer, &sums, input, &inputs, kernel.shape[2], conv.stride, channels_in)
        }
        (_, kernels) => {
            let part = channels_in / kernels.len();
            let parts = writer.split(&format!("{name}/split"), input, &vec![part; kernels.len()]);
            let biases = bias_values.chunks_exact(layer.channels / kernels.len());
            let mut joined = Vec::new();
            for (i, ((kernel, bias_values), part_input)) in kernels.iter().zip(biases).zip(&parts).enumerate() {
                let bias = format!("{}.{i}", bias.name);
                let inputs = constants(writer, &kernel.name, &kernel.shape, weights, &bias, bias_values);
                let name = format!("{name}/conv{i}");
                joined.push(convolve(writer, &name, part_input, &inputs, kernel.shape[2], conv.stride, part));
            }
            let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
            writer.node(&sums, "Concat", &joined, vec![int("axis", 1)])
        }
    };
    activation(writer, name, &sums, conv.activation)
}

/// Appends a kernel and its bias.
fn constants(
    writer: &mut Writer,
    kernel: &str,
    shape: &[usize],
    weights: &Weights,
    bias: &str,
    bias_values: &[f32],
) -> [String; 2] {
    let kernel = writer.floats(kernel, shape, &weights.tensors[kernel].values);
    [kernel, writer.floats(bias, &[bias_values.len()], bias_values)]
}

fn convolve(
    writer: &mut Writer,
    name: &str,
    input: &str,
    [kernel, bias]: &[String; 2],
    width: usize,
    stride: usize,
    groups: usize,
) -> String {
    let mut attributes = vec![int("group", groups), ints("dilations", &[1; 2])];
    attributes.extend(window(width, stride, width / 2));
    writer.node(name, "Conv", &[input, kernel, bias], attributes)
}

/// Attributes of an operation that looks at squares of `width` pixels.
fn window(width: usize, stride: usize, pad: usize) -> [rten_onnx::onnx::AttributeProto; 3] {
    [ints("kernel_shape", &[width; 2]), ints("pads", &[pad; 4]), ints("strides", &[stride; 2])]
}

fn activation(writer: &mut Writer, name: &str, x: &str, activation: Activation) -> String {
    match activation {
        Activation::Identity => x.into(),
        Activation::Silu => {
            let gate = writer.node(&format!("{name}/sigmoid"), "Sigmoid", &[x], vec![]);
            writer.node(name, "Mul", &[x, &gate], vec![])
        }
        Activation::Relu => writer.node(name, "Relu", &[x], vec![]),
        Activation::HardSigmoid => {
            let [alpha, beta] = HARD_SIGMOID;
            writer.node(name, "HardSigmoid", &[x], vec![float("alpha", alpha), float("beta", beta)])
        }
    }
}

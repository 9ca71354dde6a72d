//! Each layer of a network as ONNX operations.

use shared_model::graph::{Activation, Graph, Kernel, Layer, NormState, Op};
use shared_model::{WeightTensor, Weights};

use super::super::proto::AttributeProto;
use super::super::{HARD_SIGMOID, focus};
use super::writer::{Writer, float, int, ints, text};

/// Writes `layer` of `graph`, which reads the values called `inputs`. Its output is called as the layer is, with a
/// number where another is called so; what lies between has that name before a slash, and constants are called as in
/// the weight file.
pub(super) fn layer(writer: &mut Writer, graph: &Graph, layer: &Layer, inputs: &[&str], weights: &Weights) -> String {
    let name = &writer.unique(&layer.name);
    match &layer.op {
        Op::Input => name.clone(),
        // Part of the convolution behind it.
        Op::SpaceToDepth => inputs[0].into(),
        Op::Conv(_) => convolution(writer, graph, layer, name, inputs[0], weights),
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
            // The region is another mode's, but opset 11 wants one.
            let region = writer.floats(&format!("{name}/region"), &[0], &[]);
            writer.node(name, "Resize", &[inputs[0], &region, &scales], modes.into())
        }
        Op::Concat => writer.node(name, "Concat", inputs, vec![int("axis", 1)]),
        Op::Add => writer.node(name, "Add", inputs, vec![]),
        Op::Scale => writer.node(name, "Mul", inputs, vec![]),
    }
}

fn convolution(
    writer: &mut Writer,
    graph: &Graph,
    layer: &Layer,
    name: &str,
    input: &str,
    weights: &Weights,
) -> String {
    let Op::Conv(conv) = &layer.op else { unreachable!("{name} is no convolution") };
    let mut kernels = graph.layer_parameters(layer, NormState::Fused);
    let bias = kernels.pop().expect("every convolution has a bias once normalisation is folded").name;
    let biases = &weights.tensors[&bias].values;
    // A convolution without an activation is the layer itself.
    let sums = if conv.activation == Activation::Identity { name.into() } else { format!("{name}/conv") };
    let tensor = |i: usize| &weights.tensors[&kernels[i].name];
    let (channels_in, stride) = (graph.channels_in(layer), conv.stride);
    let sums = match &conv.kernel {
        Kernel::Dense(_) if graph.layer(layer.inputs[0]).op == Op::SpaceToDepth => {
            let (wide, pad) = (focus::widen(tensor(0)), 2 * (kernels[0].shape[2] / 2));
            let inputs = [input.into(), floats(writer, &kernels[0].name, &wide), bias_constant(writer, &bias, biases)];
            convolve(writer, &sums, &inputs, window(wide.shape[2], 2 * stride, pad), 1)
        }
        Kernel::Depthwise(widths) if widths.len() > 1 => {
            let part = channels_in / widths.len();
            let parts = writer.split(&format!("{name}/split"), input, &vec![part; widths.len()]);
            let biases = biases.chunks_exact(layer.channels / widths.len());
            let mut joined = Vec::new();
            for (i, ((input, width), biases)) in parts.into_iter().zip(widths).zip(biases).enumerate() {
                let kernel = floats(writer, &kernels[i].name, tensor(i));
                let inputs = [input, kernel, bias_constant(writer, &format!("{bias}.{i}"), biases)];
                let window = window(*width, stride, width / 2);
                joined.push(convolve(writer, &format!("{name}/conv{i}"), &inputs, window, part));
            }
            let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
            writer.node(&sums, "Concat", &joined, vec![int("axis", 1)])
        }
        kind => {
            let groups = if matches!(kind, Kernel::Dense(_)) { 1 } else { channels_in };
            let width = kernels[0].shape[2];
            let kernel = floats(writer, &kernels[0].name, tensor(0));
            let inputs = [input.into(), kernel, bias_constant(writer, &bias, biases)];
            convolve(writer, &sums, &inputs, window(width, stride, width / 2), groups)
        }
    };
    activation(writer, name, &sums, conv.activation)
}

fn floats(writer: &mut Writer, name: &str, tensor: &WeightTensor) -> String {
    writer.floats(name, &tensor.shape, &tensor.values)
}

fn bias_constant(writer: &mut Writer, name: &str, values: &[f32]) -> String {
    writer.floats(name, &[values.len()], values)
}

/// Appends a convolution of an input by kernels and biases.
fn convolve(
    writer: &mut Writer,
    name: &str,
    inputs: &[String; 3],
    window: [AttributeProto; 3],
    groups: usize,
) -> String {
    let mut attributes = vec![int("group", groups), ints("dilations", &[1; 2])];
    attributes.extend(window);
    writer.node(name, "Conv", &inputs.each_ref().map(String::as_str), attributes)
}

/// Attributes of an operation that looks at squares of `width` pixels.
fn window(width: usize, stride: usize, pad: usize) -> [AttributeProto; 3] {
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

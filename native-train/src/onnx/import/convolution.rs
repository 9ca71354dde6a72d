//! Recognising convolutions with their activations, and taking their weights.

use shared_model::WeightTensor;
use shared_model::graph::{Activation, Conv, Kernel, Layer, NormState, Op};

use super::super::{HARD_SIGMOID, focus};
use super::Recognised;
use super::recognise::{Recogniser, padding, same};

/// What tells one convolution from another.
struct Wanted {
    kernel: Vec<usize>,
    stride: usize,
    pad: usize,
    groups: usize,
    /// What must follow; `None` where what follows is looked at later.
    activation: Option<Activation>,
}

/// A convolution that was found.
struct FoundConvolution {
    output: String,
    kernel: WeightTensor,
    biases: Vec<f32>,
}

impl Recogniser<'_> {
    /// Finds a convolution with what follows it, and takes its weights.
    pub(super) fn convolution(&mut self, layer: &Layer, conv: &Conv, input: &str) -> Recognised<String> {
        let channels_in = self.graph.channels_in(layer);
        let mut kernels = self.graph.layer_parameters(layer, NormState::Fused);
        let bias = kernels.pop().expect("every convolution has a bias once normalisation is folded");
        let from = layer.inputs[0];
        let on_image =
            self.graph.layer(from).op == Op::SpaceToDepth && self.value(from) == self.value(self.graph.input());
        let shape = kernels[0].shape.clone();
        let mut wanted = Wanted {
            stride: conv.stride,
            pad: shape[2] / 2,
            groups: if matches!(conv.kernel, Kernel::Dense(_)) { 1 } else { channels_in },
            activation: Some(conv.activation),
            kernel: shape.clone(),
        };
        let (output, biases) = if kernels.len() > 1 {
            let part = channels_in / kernels.len();
            let inputs = self.split(input, &vec![part; kernels.len()])?;
            let (mut outputs, mut biases) = (Vec::new(), Vec::new());
            for (kernel, input) in kernels.into_iter().zip(&inputs) {
                let (pad, stride) = (kernel.shape[2] / 2, conv.stride);
                let wanted = Wanted { kernel: kernel.shape, stride, pad, groups: part, activation: None };
                let sums = self.sums(input, &wanted)?;
                self.tensors.insert(kernel.name, sums.kernel);
                outputs.push(sums.output);
                biases.extend(sums.biases);
            }
            (self.concat(&outputs, 1)?, biases)
        } else {
            if on_image {
                wanted.kernel = focus::over_image(&shape).into();
                (wanted.stride, wanted.pad) = (2 * wanted.stride, 2 * wanted.pad);
            }
            let sums = self.sums(input, &wanted)?;
            let kernel = if on_image { focus::narrow(&sums.kernel, &shape) } else { sums.kernel };
            self.tensors.insert(kernels.remove(0).name, kernel);
            (sums.output, sums.biases)
        };
        self.tensors.insert(bias.name, WeightTensor { shape: bias.shape, values: biases });
        self.activation(output, conv.activation)
    }

    /// Finds a convolution of `input`.
    fn sums(&mut self, input: &str, wanted: &Wanted) -> Recognised<FoundConvolution> {
        let network = self.network;
        let bias = [wanted.kernel[0]];
        let found = self.find("Conv", &[input.into()], 1, |node| {
            let shapes = [1, 2].map(|i| node.inputs.get(i).and_then(|name| network.shape(name)).unwrap_or_default());
            if shapes != [&wanted.kernel[..], &bias] {
                return Err(format!(
                    "a convolution with kernels {:?} and bias {:?} was found, not {:?} and {bias:?}",
                    shapes[0], shapes[1], wanted.kernel
                ));
            }
            same("groups", &[node.integer("group", 1)], &[wanted.groups as i64])?;
            same("stride", node.integers("strides", &[1; 2]), &[wanted.stride as i64; 2])?;
            padding(node, wanted.pad)?;
            wanted.activation.map_or(Ok(()), |activation| self.followed_by(&node.outputs[0], activation))
        })?;
        let inputs = &network.operations[found].inputs;
        let floats = |i: usize| {
            let value = network.value(&inputs[i]);
            let numbers =
                value.and_then(|value| Some(WeightTensor { shape: value.shape.clone(), values: value.reals()? }));
            numbers.ok_or("a convolution whose weights depend on the image was found")
        };
        let (kernel, biases) = (floats(1)?, floats(2)?.values);
        Ok(FoundConvolution { output: self.take(found), kernel, biases })
    }

    /// Checks that what uses a convolution's output is an activation, and this one.
    fn followed_by(&self, output: &str, activation: Activation) -> Recognised<()> {
        let uses = |name| self.has_consumer(output, name);
        let found = match () {
            () if self.gated(output) => Activation::Silu,
            () if uses("Relu") => Activation::Relu,
            () if uses("HardSigmoid") => Activation::HardSigmoid,
            () => Activation::Identity,
        };
        match activation {
            _ if found == activation => Ok(()),
            Activation::Silu => Err("a convolution without SiLU was found".into()),
            _ => Err("a convolution with another activation was found".into()),
        }
    }

    /// Whether a value is multiplied by its own sigmoid.
    fn gated(&self, value: &str) -> bool {
        let consumers = self.consumers(value);
        let gates = || consumers.iter().filter(|(_, node)| node.name == "Sigmoid").map(|(_, node)| &node.outputs[0]);
        consumers
            .iter()
            .any(|(_, node)| node.name == "Mul" && node.inputs.iter().any(|input| gates().any(|gate| gate == input)))
    }

    /// Finds what follows the sums of a convolution.
    fn activation(&mut self, sums: String, activation: Activation) -> Recognised<String> {
        match activation {
            Activation::Identity => Ok(sums),
            Activation::Silu => {
                let gate = self.claim("Sigmoid", std::slice::from_ref(&sums), |_| Ok(()))?;
                self.claim("Mul", &[sums, gate], |_| Ok(()))
            }
            Activation::Relu => self.claim("Relu", &[sums], |_| Ok(())),
            Activation::HardSigmoid => self.claim("HardSigmoid", &[sums], |node| {
                // ONNX's defaults.
                let found = [node.float("alpha", 0.2), node.float("beta", 0.5)];
                if found == HARD_SIGMOID { Ok(()) } else { Err(format!("a hard sigmoid of {found:?} was found")) }
            }),
        }
    }
}

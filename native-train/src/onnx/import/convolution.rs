//! Recognising convolutions with their activations, and taking their weights.

use shared_model::WeightTensor;
use shared_model::graph::{Activation, Conv, Kernel, Layer, NormState, Op};

use super::super::{HARD_SIGMOID, focus};
use super::Found;
use super::file::{float, integer, integers};
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
struct Sums {
    output: String,
    kernel: WeightTensor,
    biases: Vec<f32>,
}

impl Recogniser<'_> {
    /// Finds a convolution with what follows it, and takes its weights.
    pub(super) fn convolution(&mut self, layer: &Layer, conv: &Conv, input: &str) -> Found<String> {
        let channels_in = self.graph.channels_in(layer);
        let mut kernels = self.graph.layer_parameters(layer, NormState::Folded);
        let bias = kernels.pop().expect("every convolution has a bias once normalisation is folded");
        let from = layer.inputs[0];
        let on_picture =
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
            if on_picture {
                wanted.kernel = focus::over_picture(&shape).into();
                (wanted.stride, wanted.pad) = (2 * wanted.stride, 2 * wanted.pad);
            }
            let sums = self.sums(input, &wanted)?;
            let kernel = if on_picture { focus::narrow(&sums.kernel, &shape) } else { sums.kernel };
            self.tensors.insert(kernels.remove(0).name, kernel);
            (sums.output, sums.biases)
        };
        self.tensors.insert(bias.name, WeightTensor { shape: bias.shape, values: biases });
        self.activation(output, conv.activation)
    }

    /// Finds a convolution of `input`.
    fn sums(&mut self, input: &str, wanted: &Wanted) -> Found<Sums> {
        let file = self.file;
        let bias = [wanted.kernel[0]];
        let found = self.find("Conv", &[input.into()], 1, |node| {
            let shapes = [1, 2].map(|i| node.input.get(i).and_then(|name| file.shape(name)).unwrap_or_default());
            if shapes != [&wanted.kernel[..], &bias] {
                return Err(format!(
                    "a convolution with kernels {:?} and bias {:?} was found, not {:?} and {bias:?}",
                    shapes[0], shapes[1], wanted.kernel
                ));
            }
            same("groups", &[integer(node, "group", 1)], &[wanted.groups as i64])?;
            same("stride", integers(node, "strides", &[1; 2]), &[wanted.stride as i64; 2])?;
            padding(node, wanted.pad)?;
            wanted.activation.map_or(Ok(()), |activation| self.followed_by(&node.output[0], activation))
        })?;
        let inputs = &file.nodes()[found].input;
        let floats =
            |i: usize| file.floats(&inputs[i]).ok_or("a convolution without single-precision numbers was found");
        let (kernel, biases) = (floats(1)?, floats(2)?.values);
        Ok(Sums { output: self.take(found), kernel, biases })
    }

    /// Checks that what uses a convolution's output is an activation, and this one.
    fn followed_by(&self, output: &str, activation: Activation) -> Found<()> {
        let uses = |name| self.has_consumer(output, name);
        let found = match () {
            () if uses("Sigmoid") && uses("Mul") => Activation::Silu,
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

    /// Finds what follows the sums of a convolution.
    fn activation(&mut self, sums: String, activation: Activation) -> Found<String> {
        match activation {
            Activation::Identity => Ok(sums),
            Activation::Silu => {
                let gate = self.claim("Sigmoid", std::slice::from_ref(&sums), |_| Ok(()))?;
                self.claim("Mul", &[sums, gate], |_| Ok(()))
            }
            Activation::Relu => self.claim("Relu", &[sums], |_| Ok(())),
            Activation::HardSigmoid => self.claim("HardSigmoid", &[sums], |node| {
                // ONNX's defaults.
                let found = [float(node, "alpha", 0.2), float(node, "beta", 0.5)];
                if found == HARD_SIGMOID { Ok(()) } else { Err(format!("a hard sigmoid of {found:?} was found")) }
            }),
        }
    }
}

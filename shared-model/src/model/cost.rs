//! What a network weighs: parameters, multiply-adds, FLOPs and activation memory, per layer and in total.

use crate::model::graph::{Affine, Conv, Graph, Kernel, NormState, Op};

/// What one layer costs on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCost {
    /// Trainable numbers.
    pub parameters: usize,
    /// Multiply-adds of convolutions.
    pub macs: u64,
    /// Floating-point operations as the published figures count them; see [`Cost::gflops`].
    pub flops: u64,
    /// Bytes of the output in single precision.
    pub activation_bytes: usize,
    /// Channels, height and width of the output.
    pub shape: [usize; 3],
}

/// What a network costs on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// One entry a layer, in [`Graph::layers`]' order.
    pub layers: Vec<LayerCost>,
    /// Trainable numbers: kernels, biases, and batch normalisation's weight and bias.
    pub parameters: usize,
    /// Multiply-adds of convolutions.
    pub macs: u64,
    /// `2 * (convolutions' multiply-adds + biased elements + 2 * elements through batch normalisation) / 1e9`: the count
    /// of thop 0.0.31, behind the published figures.
    pub gflops: f64,
    /// Bytes of all layers' outputs in single precision: what training has to keep.
    pub activation_bytes: usize,
}

/// Cost of `graph` on an image of `height` x `width` pixels (multiples of 32).
pub fn cost(graph: &Graph, height: usize, width: usize) -> Cost {
    let layers: Vec<_> = graph
        .layers
        .iter()
        .map(|layer| {
            let (h, w) = layer.resolution.size(height, width);
            let elements = layer.channels * h * w;
            let parameters = graph.layer_parameters(layer, NormState::Separate);
            let parameters = parameters.iter().filter(|p| p.trainable).map(|p| p.shape.iter().product::<usize>()).sum();
            let (macs, flops) = match &layer.op {
                Op::Conv(conv) => {
                    let macs = (elements as f64 * taps(conv, graph.channels_in(layer))) as u64;
                    let affine = if conv.affine == Affine::BatchNorm { 2 * elements } else { elements };
                    (macs, 2 * (macs + affine as u64))
                }
                _ => (0, 0),
            };
            LayerCost { parameters, macs, flops, activation_bytes: 4 * elements, shape: [layer.channels, h, w] }
        })
        .collect();
    Cost {
        parameters: layers.iter().map(|layer| layer.parameters).sum(),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        gflops: layers.iter().map(|layer| layer.flops).sum::<u64>() as f64 / 1e9,
        activation_bytes: layers.iter().map(|layer| layer.activation_bytes).sum(),
        layers,
    }
}

/// Multiply-adds an output value, on average over mixed kernel widths.
fn taps(conv: &Conv, channels_in: usize) -> f64 {
    match &conv.kernel {
        Kernel::Dense(k) => (channels_in * k * k) as f64,
        Kernel::Depthwise(widths) => widths.iter().map(|k| k * k).sum::<usize>() as f64 / widths.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::Variant;

    fn total(name: &str, classes: usize) -> Cost {
        cost(&Variant::named(name).unwrap().graph(classes), 416, 416)
    }

    /// The counts of the official PyTorch code and its variants; GFLOPs to four decimals.
    #[test]
    fn published_parameters_and_gflops() {
        for (name, classes, parameters, gflops) in [
            ("baseline", 20, 900_459, 1.0516),
            ("baseline", 80, 912_159, 1.0792),
            ("dw3", 20, 728_027, 0.8110),
            ("dw7", 20, 882_507, 1.0734),
            ("mdconv", 20, 900_235, 1.0548),
            ("fpn2", 20, 907_787, 1.0615),
            ("final", 20, 863_355, 1.0778),
        ] {
            let cost = total(name, classes);
            assert_eq!(cost.parameters, parameters, "{name}, {classes} classes");
            assert!((cost.gflops - gflops).abs() < 0.5e-4 + 1e-9, "{name}: {} GFLOPs, not {gflops}", cost.gflops);
        }
    }

    #[test]
    fn ghost_and_bottleneck_stay_within_their_budgets() {
        let ghost = total("ghost", 20);
        assert!(ghost.parameters <= 900_459 && ghost.gflops <= 1.0516, "{} {}", ghost.parameters, ghost.gflops);
        let bottleneck = total("bottleneck", 20);
        assert!((bottleneck.parameters as f64 / 876_000.0 - 1.0).abs() < 0.005, "{}", bottleneck.parameters);
        assert!((bottleneck.gflops / 1.026 - 1.0).abs() < 0.005, "{}", bottleneck.gflops);
    }
}

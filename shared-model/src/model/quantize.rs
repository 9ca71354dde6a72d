//! Kernels in a byte a number, for downloads: a scale for each output channel and one for each input channel.
//!
//! A number is `q * scale[output] * input_scale[input]` with q from -127 to 127. Scales of outputs alone (the usual "int8 per channel")
//! cost up to 0.9 AP50 here: where an input channel has small weights throughout, because its values are large, rounding by the largest
//! weight of the output is coarse for just that channel. As in AWQ ([Lin et al., 2023](https://arxiv.org/abs/2306.00978)), input
//! channels are therefore brought half of the way to equal weights; as in cross-layer equalisation ([Nagel et al.,
//! 2019](https://arxiv.org/abs/1906.04721)), from the weights alone.

use crate::model::weights::WeightTensor;

/// Kernels with no more numbers than this stay in half precision: they are a sixth of a network, and the first layers, which are
/// among them, suffer most.
const LARGEST_HALF: usize = 4096;

/// The greatest rounded number.
const MAX: f32 = 127.0;

/// A kernel in a byte a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuantizedKernel {
    /// As those of the kernel: output, input, height, width.
    pub values: Vec<i8>,
    /// For each output channel.
    pub scale: Vec<f32>,
    /// For each input channel.
    pub input_scale: Vec<f32>,
}

/// The kernel rounded, or `None` where it is better left in half precision: depthwise and small ones, and what is no kernel.
pub(crate) fn quantize(tensor: &WeightTensor) -> Option<QuantizedKernel> {
    let [outputs, inputs, height, width] = tensor.shape[..] else { return None };
    if inputs == 1 || tensor.values.len() <= LARGEST_HALF {
        return None;
    }
    let input_scale = input_scales(&tensor.values, [outputs, inputs, height * width]);
    let mut kernel = QuantizedKernel { values: Vec::new(), scale: Vec::new(), input_scale };
    for row in tensor.values.chunks_exact(inputs * height * width) {
        let row = row.chunks_exact(height * width).zip(&kernel.input_scale);
        let row: Vec<f32> = row.flat_map(|(values, scale)| values.iter().map(move |value| value / scale)).collect();
        let scale = largest(&row) / MAX;
        kernel.scale.push(scale);
        kernel.values.extend(row.iter().map(|value| if scale > 0.0 { (value / scale).round() as i8 } else { 0 }));
    }
    Some(kernel)
}

/// The numbers that a kernel stands for; `shape` is its own.
///
/// # Errors
/// Says which lengths do not fit together.
pub(crate) fn dequantize(kernel: &QuantizedKernel, shape: &[usize]) -> Result<Vec<f32>, String> {
    let QuantizedKernel { values, scale, input_scale } = kernel;
    let &[outputs, inputs, ..] = shape else { return Err(format!("shape {shape:?} has no channels")) };
    if (scale.len(), input_scale.len()) != (outputs, inputs) {
        return Err(format!("shape {shape:?} has scales for {} x {} channels", scale.len(), input_scale.len()));
    }
    let of_pair = values.len() / (outputs * inputs).max(1);
    let pairs = scale.iter().flat_map(|output| input_scale.iter().map(move |input| output * input));
    let pairs = pairs.zip(values.chunks_exact(of_pair.max(1)));
    Ok(pairs.flat_map(|(scale, values)| values.iter().map(move |&value| f32::from(value) * scale)).collect())
}

/// For each input channel the square root of the size of its weights, where those of all outputs are made equally large; 1 on (geometric)
/// average.
fn input_scales(values: &[f32], [outputs, inputs, area]: [usize; 3]) -> Vec<f32> {
    let mut squares = vec![0.0; inputs];
    for row in values.chunks_exact(inputs * area) {
        let largest = largest(row).max(f32::MIN_POSITIVE);
        for (square, values) in squares.iter_mut().zip(row.chunks_exact(area)) {
            *square += values.iter().map(|value| f64::from(value / largest).powi(2)).sum::<f64>();
        }
    }
    let sizes: Vec<f64> = squares.iter().map(|square| (square / (outputs * area) as f64).sqrt()).collect();
    let (sum, count) =
        sizes.iter().filter(|&&size| size > 0.0).fold((0.0, 0), |(sum, n), size| (sum + size.ln(), n + 1));
    let mean = (sum / f64::from(count.max(1))).exp();
    sizes.iter().map(|&size| if size > 0.0 { (size / mean).sqrt() as f32 } else { 1.0 }).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output and input channels of very different sizes.
    fn kernel(outputs: usize, inputs: usize, width: usize) -> WeightTensor {
        let number = |i: usize| {
            let (output, input) = (i / (inputs * width * width), i / (width * width) % inputs);
            let noise = ((i * 2_654_435_761) % 1009) as f32 / 504.5 - 1.0;
            noise * 10f32.powi(output as i32 % 4 - 3) * 8f32.powi(input as i32 % 3)
        };
        WeightTensor {
            shape: vec![outputs, inputs, width, width],
            values: (0..outputs * inputs * width * width).map(number).collect(),
        }
    }

    #[test]
    fn a_number_is_off_by_half_a_step() {
        for tensor in [kernel(64, 96, 1), kernel(24, 32, 3)] {
            let found = quantize(&tensor).unwrap();
            let values = dequantize(&found, &tensor.shape).unwrap();
            let [outputs, inputs, height, width] = tensor.shape[..] else { unreachable!() };
            for (i, (value, expected)) in values.iter().zip(&tensor.values).enumerate() {
                let (output, input) = (i / (inputs * height * width), i / (height * width) % inputs);
                let step = found.scale[output] * found.input_scale[input];
                assert!(
                    (value - expected).abs() <= 0.501 * step,
                    "{i} of {outputs}: {value} for {expected}, step {step}"
                );
            }
        }
    }

    #[test]
    fn channels_of_small_weights_keep_more_of_them() {
        let tensor = kernel(64, 96, 1);
        let found = quantize(&tensor).unwrap();
        let error = |found: &QuantizedKernel| {
            let values = dequantize(found, &tensor.shape).unwrap();
            // Relative to the weights of their own input and output channel.
            let of = |i: usize| 10f32.powi((i / 96) as i32 % 4 - 3) * 8f32.powi((i % 96) as i32 % 3);
            let errors = values.iter().zip(&tensor.values).enumerate();
            errors.map(|(i, (a, b))| ((a - b) / of(i)).powi(2)).sum::<f32>()
        };
        let mut by_output = QuantizedKernel { values: Vec::new(), scale: Vec::new(), input_scale: vec![1.0; 96] };
        for row in tensor.values.chunks_exact(96) {
            let scale = largest(row) / MAX;
            by_output.scale.push(scale);
            by_output.values.extend(row.iter().map(|value| (value / scale).round() as i8));
        }
        assert!(3.0 * error(&found) < error(&by_output), "{} against {}", error(&found), error(&by_output));
    }

    #[test]
    fn what_is_small_or_no_kernel_is_left() {
        assert_eq!(quantize(&kernel(64, 64, 1)), None);
        assert_eq!(quantize(&kernel(1024, 1, 3)), None);
        assert_eq!(quantize(&WeightTensor { shape: vec![5000], values: vec![1.0; 5000] }), None);
    }

    #[test]
    fn a_kernel_of_zeros_stays_one() {
        let mut tensor = kernel(64, 96, 1);
        tensor.values[..96].fill(0.0);
        tensor.values.iter_mut().step_by(96).for_each(|value| *value = 0.0);
        let values = dequantize(&quantize(&tensor).unwrap(), &tensor.shape).unwrap();
        assert!(values[..96].iter().chain(values.iter().step_by(96)).all(|&value| value == 0.0));
        assert!(values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let tensor = kernel(64, 96, 1);
        let mut found = quantize(&tensor).unwrap();
        found.scale.pop();
        assert!(dequantize(&found, &tensor.shape).unwrap_err().contains("63 x 96"));
        assert!(dequantize(&found, &[6144]).is_err());
    }
}

//! MomentsArguments, normalisation or bias, and activations.

use anyhow::Result;
use rand::Rng;

use super::{MomentsArguments, TOLERANCE, Tried, ValueShape};
use crate::engine::cuda::check::bench::{Bench, error};
use crate::engine::cuda::device::{Argument, Device};
use Argument::{At, Int, Nothing};

/// The activations as the kernels count them.
const ACTIVATIONS: [&str; 4] = ["identity", "SiLU", "ReLU", "hard sigmoid"];

pub(super) fn check(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    let mut tried = vec![moments(bench)?, prepare_channels(bench)?];
    for activation in 0..ACTIVATIONS.len() {
        for is_bias in [false, true] {
            tried.extend(normalise(bench, activation, is_bias)?);
        }
    }
    Ok(tried)
}

fn moments(bench: &mut Bench<impl Device>) -> Result<Tried> {
    bench.clear();
    let shape =
        ValueShape { channels: bench.pick(1, 4), images: 1, height: bench.pick(1, 50), width: bench.pick(1, 50) };
    // Far from zero, where squares cancel out.
    let x: Vec<f32> = bench.random(shape.len()).into_iter().map(|number| number + 20.0).collect();
    let blocks = bench.pick(1, 5);
    let x_at = bench.put(&x)?;
    let moments = MomentsArguments::new(bench, shape.channels, blocks)?;
    let arguments = [At(x_at), Int(shape.count() as i32)].into_iter().chain(moments.arguments).collect::<Vec<_>>();
    bench.launch("moments", (blocks, shape.channels), &arguments)?;
    let x: Vec<f64> = x.into_iter().map(f64::from).collect();
    Ok(("moments".to_string(), moments.error(bench, &x, shape.channels)?, TOLERANCE))
}

fn prepare_channels(bench: &mut Bench<impl Device>) -> Result<Tried> {
    bench.clear();
    let channels = bench.pick(1, 300);
    let parameters: Vec<f32> = bench.random(4 * channels).into_iter().map(|number| number + 1.5).collect();
    let is_bias: Vec<bool> = (0..channels).map(|_| bench.rng.random()).collect();
    let offsets = (0..channels).flat_map(|i| {
        let offset = |field: usize| (field * channels + i) as i32;
        if is_bias[i] { [-1, offset(1), -1, -1] } else { [0, 1, 2, 3].map(offset) }
    });
    let bytes: Vec<u8> = offsets.flat_map(i32::to_ne_bytes).collect();
    let (places_at, parameters_at) = (bench.put_bytes(&bytes)?, bench.put(&parameters)?);
    let states_at = bench.room(8 * channels);
    let arguments = [At(places_at), At(parameters_at), At(states_at), Int(channels as i32)];
    bench.launch("prepare_channels", (channels.div_ceil(256), 1), &arguments)?;
    let expected = (0..channels).flat_map(|i| {
        let [weight, bias, mean, variance] = [0, 1, 2, 3].map(|field| f64::from(parameters[field * channels + i]));
        let inverse = 1.0 / (variance + 1e-3);
        let scale = weight * inverse.sqrt();
        if is_bias[i] {
            [1.0, bias, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
        } else {
            [scale, bias - mean * scale, mean, inverse, 1.0, 0.0, 0.0, 0.0]
        }
    });
    let expected: Vec<f64> = expected.collect();
    Ok(("running statistics".to_string(), error(&bench.get(states_at, 8 * channels)?, &expected), TOLERANCE))
}

fn activate(activation: usize, u: f64) -> f64 {
    match activation {
        1 => u / (1.0 + (-u).exp()),
        2 => u.max(0.0),
        3 => (u + 3.0).clamp(0.0, 6.0) / 6.0,
        _ => u,
    }
}

fn slope(activation: usize, u: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-u).exp());
    match activation {
        1 => sigmoid * (1.0 + u * (1.0 - sigmoid)),
        2 => f64::from(u > 0.0),
        3 => f64::from(u > -3.0 && u < 3.0) / 6.0,
        _ => 1.0,
    }
}

fn normalise(bench: &mut Bench<impl Device>, activation: usize, is_bias: bool) -> Result<Vec<Tried>> {
    bench.clear();
    let channels = bench.pick(1, 4);
    let count = bench.pick(1, 3000);
    let y: Vec<f32> = bench.random(channels * count).into_iter().map(|number| 5.0 * number).collect();
    let (gradient, residual) = (bench.random(y.len()), bench.random(y.len()));
    let has_residual: bool = bench.rng.random();
    // scale, shift, mean, inverse; the rest is written.
    let mut states = bench.random(8 * channels);
    for state in states.chunks_exact_mut(8) {
        state[3] = 1.0 + state[3].abs();
        if is_bias {
            (state[0], state[2], state[3]) = (1.0, 0.0, 1.0);
        }
    }
    let (y_at, gradient_at, residual_at) = (bench.put(&y)?, bench.put(&gradient)?, bench.put(&residual)?);
    let (states_at, out_at) = (bench.put(&states)?, bench.room(y.len()));
    let grid = (bench.pick(1, 4), channels);
    let numbers = [Int(count as i32), Int(activation as i32)];
    let residual_argument = if has_residual { At(residual_at) } else { Nothing };
    let arguments = [At(y_at), At(states_at), residual_argument, At(out_at), numbers[0], numbers[1]];
    bench.launch("normalise", grid, &arguments)?;

    let state = |i: usize| [0, 1, 2, 3].map(|field| f64::from(states[8 * (i / count) + field]));
    let expected: Vec<f64> = (0..y.len())
        .map(|i| {
            let [scale, shift, ..] = state(i);
            let added = if has_residual { f64::from(residual[i]) } else { 0.0 };
            activate(activation, scale * f64::from(y[i]) + shift) + added
        })
        .collect();
    let kind = if is_bias { "bias" } else { "normalisation" };
    let what = |pass: &str| format!("{kind} and {}, {pass}", ACTIVATIONS[activation]);
    let mut tried = vec![(what("forward"), error(&bench.get(out_at, y.len())?, &expected), TOLERANCE)];

    let (parts, counters) = (bench.room(2 * channels * grid.0), bench.put(&vec![0.0; channels])?);
    let (of_weight_at, of_bias_at) = (bench.room(channels), bench.room(channels));
    let of_weight_argument = if is_bias { Nothing } else { At(of_weight_at) };
    let arguments = [At(y_at), At(gradient_at), At(states_at), numbers[0], numbers[1], At(parts), At(counters)];
    let arguments: Vec<Argument> = arguments.into_iter().chain([of_weight_argument, At(of_bias_at)]).collect();
    bench.launch("normalise_backward_sums", grid, &arguments)?;
    bench.launch("normalise_backward", grid, &[At(y_at), At(gradient_at), At(states_at), numbers[0], numbers[1]])?;

    let (mut of_weight, mut of_bias) = (vec![0.0; channels], vec![0.0; channels]);
    let g: Vec<f64> = (0..y.len())
        .map(|i| {
            let [scale, shift, mean, inverse] = state(i);
            let g = f64::from(gradient[i]) * slope(activation, scale * f64::from(y[i]) + shift);
            of_bias[i / count] += g;
            of_weight[i / count] += g * (f64::from(y[i]) - mean) * inverse.sqrt();
            g
        })
        .collect();
    let of_y: Vec<f64> = (0..y.len())
        .map(|i| {
            let ([scale, _, mean, inverse], channel, n) = (state(i), i / count, count as f64);
            let normalised = (f64::from(y[i]) - mean) * inverse.sqrt();
            if is_bias { g[i] } else { scale * (g[i] - of_bias[channel] / n - normalised * of_weight[channel] / n) }
        })
        .collect();
    tried.push((what("gradient"), error(&bench.get(gradient_at, y.len())?, &of_y), TOLERANCE));
    tried.push((what("gradient of the bias"), error(&bench.get(of_bias_at, channels)?, &of_bias), TOLERANCE));
    if !is_bias {
        let found = bench.get(of_weight_at, channels)?;
        tried.push((what("gradient of the weight"), error(&found, &of_weight), TOLERANCE));
    }
    Ok(tried)
}

//! Depthwise convolutions and the stem.

use anyhow::Result;
use rand::Rng;

use super::{GradientTarget, MomentsArguments, NO_MOMENTS, TOLERANCE, Tried, ValueShape, ints, number};
use crate::engine::cuda::check::bench::{Bench, error};
use crate::engine::cuda::device::{Argument, Device};
use Argument::At;

pub(super) fn check(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for kernel in [3, 5, 7, 9] {
        for stride in [1, 2] {
            tried.extend(depthwise(bench, kernel, stride)?);
        }
    }
    tried.extend(stem(bench)?);
    Ok(tried)
}

fn depthwise(bench: &mut Bench<impl Device>, kernel: usize, stride: usize) -> Result<Vec<Tried>> {
    bench.clear();
    let (inputs, multiplier, images) = (bench.pick(1, 3), bench.pick(1, 2), bench.pick(1, 3));
    let (rows, columns) = (bench.pick(1, 13), bench.pick(1, 13));
    let x_shape = ValueShape { channels: inputs, images, height: rows * stride, width: columns * stride };
    let y_shape = ValueShape { channels: inputs * multiplier, images, height: rows, width: columns };
    let (x, gradient) = (bench.random(x_shape.len()), bench.random(y_shape.len()));
    let weights = bench.random(y_shape.channels * kernel * kernel);
    let blocks = bench.pick(1, 3);
    let (x_at, weights_at, gradient_at) = (bench.put(&x)?, bench.put(&weights)?, bench.put(&gradient)?);
    let y_at = bench.room(y_shape.len());
    let moments = MomentsArguments::new(bench, y_shape.channels, blocks)?;
    let has_moments: bool = bench.rng.random();
    let sizes = ints([multiplier, images, x_shape.height, x_shape.width]);
    let name = format!("depthwise_{kernel}_{stride}");
    let last = if has_moments { moments.arguments } else { NO_MOMENTS };
    let arguments: Vec<Argument> = [At(x_at), At(weights_at), At(y_at)].into_iter().chain(sizes).chain(last).collect();
    bench.launch(&name, (blocks, y_shape.channels), &arguments)?;

    let half = (kernel / 2) as isize;
    // Every product of a number of x and a weight: where they and their sum are.
    let mut y = vec![0.0; y_shape.len()];
    let mut of_x = vec![0.0; x_shape.len()];
    let mut of_weights = vec![0.0; weights.len()];
    for (out, (channel, image, row, column)) in y_shape.offsets().enumerate() {
        for tap in 0..kernel * kernel {
            let (ty, tx) = ((tap / kernel) as isize - half, (tap % kernel) as isize - half);
            let (at_y, at_x) = (row * stride as isize + ty, column * stride as isize + tx);
            let Some(offset) = x_shape.at(channel / multiplier, image, at_y, at_x) else { continue };
            let weight = channel * kernel * kernel + tap;
            let g = f64::from(gradient[out]);
            y[out] += f64::from(x[offset]) * f64::from(weights[weight]);
            of_x[offset] += g * f64::from(weights[weight]);
            of_weights[weight] += g * f64::from(x[offset]);
        }
    }
    let what = |pass: &str| format!("depthwise {kernel}x{kernel} /{stride}, {pass}");
    let mut tried = vec![(what("forward"), error(&bench.get(y_at, y.len())?, &y), TOLERANCE)];
    if has_moments {
        tried.push((what("moments"), moments.error(bench, &y, y_shape.channels)?, TOLERANCE));
    }

    let target = GradientTarget::new(bench, x_shape.len())?;
    let arguments =
        [At(gradient_at), At(weights_at), At(target.offset)].into_iter().chain(sizes).chain([target.flag()]);
    let arguments: Vec<Argument> = arguments.collect();
    bench.launch(&format!("depthwise_input_gradient_{kernel}_{stride}"), (blocks, inputs), &arguments)?;
    tried.push((what("gradient of the input"), target.error(bench, &of_x)?, TOLERANCE));

    let parts = bench.room(blocks * weights.len());
    let (of_weights_at, counters) = (bench.room(weights.len()), bench.put(&vec![0.0; y_shape.channels])?);
    let arguments = [At(x_at), At(gradient_at), At(of_weights_at)].into_iter().chain(sizes);
    let arguments: Vec<Argument> = arguments.chain([At(parts), At(counters)]).collect();
    let name = format!("depthwise_weight_gradient_{kernel}_{stride}");
    bench.launch(&name, (blocks, y_shape.channels), &arguments)?;
    let found = bench.get(of_weights_at, weights.len())?;
    tried.push((what("gradient of the weights"), error(&found, &of_weights), TOLERANCE));
    Ok(tried)
}

fn stem(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    bench.clear();
    let (channels, images) = (bench.pick(1, 20), bench.pick(1, 2));
    let shape = ValueShape { channels, images, height: bench.pick(1, 20), width: bench.pick(1, 40) };
    let (height, width) = (2 * shape.height, 2 * shape.width);
    let pixels: Vec<u8> = (0..images * 3 * height * width).map(|_| bench.rng.random()).collect();
    let weights: Vec<f32> = bench.random(channels * 108).into_iter().map(|weight| weight / 256.0).collect();
    let gradient: Vec<f32> = bench.random(shape.len()).into_iter().map(|number| number / 256.0).collect();
    let (blocks, groups) = (bench.pick(1, 3), channels.div_ceil(16));
    let (pixels_at, weights_at, gradient_at) = (bench.put_bytes(&pixels)?, bench.put(&weights)?, bench.put(&gradient)?);
    let y_at = bench.room(shape.len());
    let moments = MomentsArguments::new(bench, channels, blocks)?;
    let sizes = ints([channels, images, height, width]);
    let arguments = [At(pixels_at), At(weights_at), At(y_at)].into_iter().chain(sizes).chain(moments.arguments);
    bench.launch("stem", (blocks, groups), &arguments.collect::<Vec<_>>())?;

    let mut y = vec![0.0; shape.len()];
    let mut of_weights = vec![0.0; weights.len()];
    for (out, (channel, image, row, column)) in shape.offsets().enumerate() {
        // Space-to-depth: top left, bottom left, top right, bottom right, and of each the three colours.
        for (i, (dy, dx)) in [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().enumerate() {
            for colour in 0..3 {
                let plane = ValueShape { channels: images, images: 3, height, width };
                for tap in 0..9 {
                    let (at_y, at_x) = (2 * (row + tap / 3 - 1) + dy, 2 * (column + tap % 3 - 1) + dx);
                    let Some(offset) = plane.at(image, colour, at_y, at_x) else { continue };
                    let weight = (channel * 12 + 3 * i + colour) * 9 + tap as usize;
                    let pixel = f64::from(pixels[offset]);
                    y[out] += pixel * number(&weights, Some(weight));
                    of_weights[weight] += pixel * number(&gradient, Some(out));
                }
            }
        }
    }
    let mut tried = vec![
        ("stem, forward".to_string(), error(&bench.get(y_at, y.len())?, &y), TOLERANCE),
        ("stem, moments".to_string(), moments.error(bench, &y, channels)?, TOLERANCE),
    ];
    let parts = bench.room(groups * blocks * 16 * 108);
    let (of_weights_at, counters) = (bench.room(weights.len()), bench.put(&vec![0.0; groups * 16])?);
    let arguments = [At(pixels_at), At(gradient_at), At(of_weights_at)].into_iter().chain(sizes);
    let arguments: Vec<Argument> = arguments.chain([At(parts), At(counters)]).collect();
    bench.launch("stem_weight_gradient", (blocks, groups), &arguments)?;
    let found = bench.get(of_weights_at, weights.len())?;
    tried.push(("stem, gradient of the weights".to_string(), error(&found, &of_weights), TOLERANCE));
    Ok(tried)
}

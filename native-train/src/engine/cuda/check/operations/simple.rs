//! Pooling, upsampling, copies, sums, factors, and the way between predictions and the raw output.

use anyhow::Result;

use super::{GradientTarget, TOLERANCE, Tried, ValueShape, ints};
use crate::engine::cuda::check::bench::{Bench, error};
use crate::engine::cuda::device::{Argument, Device};
use Argument::{At, Int};

pub(super) fn check(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for kernel in [5, 9, 13] {
        tried.extend(max_pool(bench, kernel, 1)?);
    }
    tried.extend(max_pool(bench, 2, 2)?);
    tried.extend(upsample(bench)?);
    tried.extend(copy_and_add(bench)?);
    tried.extend(means_and_factors(bench)?);
    tried.extend(predictions(bench)?);
    Ok(tried)
}

fn doubles(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&number| number.into()).collect()
}

fn max_pool(bench: &mut Bench<impl Device>, kernel: usize, stride: usize) -> Result<Vec<Tried>> {
    bench.clear();
    let (channels, images) = (bench.pick(1, 3), bench.pick(1, 3));
    let out_shape = ValueShape { channels, images, height: bench.pick(1, 17), width: bench.pick(1, 17) };
    let shape = ValueShape { height: stride * out_shape.height, width: stride * out_shape.width, ..out_shape };
    // Few different numbers, so that several are the greatest: the first counts.
    let x: Vec<f32> = (0..shape.len()).map(|_| bench.pick(0, 5) as f32 - 2.0).collect();
    let gradient = bench.random(out_shape.len());
    let (x_at, gradient_at, y_at) = (bench.put(&x)?, bench.put(&gradient)?, bench.room(out_shape.len()));
    let target = GradientTarget::new(bench, shape.len())?;

    let first = if stride == 1 { -(kernel as isize / 2) } else { 0 };
    let (mut y, mut of_x) = (Vec::new(), vec![0.0; shape.len()]);
    for (i, (channel, image, row, column)) in out_shape.offsets().enumerate() {
        let mut best: Option<usize> = None;
        for tap in 0..(kernel * kernel) as isize {
            let (ty, tx) = (tap / kernel as isize + first, tap % kernel as isize + first);
            let offset = shape.at(channel, image, row * stride as isize + ty, column * stride as isize + tx);
            if offset.is_some_and(|offset| best.is_none_or(|best| x[offset] > x[best])) {
                best = offset;
            }
        }
        let best = best.expect("every square has a number");
        y.push(f64::from(x[best]));
        of_x[best] += f64::from(gradient[i]);
    }

    let forward = if stride == 1 {
        let [kernel, height, width] = ints([kernel, shape.height, shape.width]);
        let (grid, shared) = ((images, channels), 4 * shape.plane());
        bench.launch("max_pool_same", grid, &[At(x_at), At(y_at), kernel, height, width])?;
        let arguments = [At(x_at), At(gradient_at), At(target.offset), kernel, height, width, target.flag()];
        bench.launch_with("max_pool_same_gradient", grid, shared, &arguments)?;
        bench.get(y_at, y.len())?
    } else {
        let [count, width] = ints([out_shape.count(), out_shape.width]);
        let grid = (bench.pick(1, 2), channels);
        bench.launch("max_pool_halving", grid, &[At(x_at), At(y_at), count, width])?;
        let arguments = [At(x_at), At(gradient_at), At(target.offset), count, width, target.flag()];
        bench.launch("max_pool_halving_gradient", grid, &arguments)?;
        bench.get(y_at, y.len())?
    };
    let what = |pass: &str| format!("max pool {kernel}x{kernel} /{stride}, {pass}");
    Ok(vec![(what("forward"), error(&forward, &y), 0.0), (what("gradient"), target.error(bench, &of_x)?, TOLERANCE)])
}

fn upsample(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    bench.clear();
    let (channels, images) = (bench.pick(1, 3), bench.pick(1, 3));
    let shape = ValueShape { channels, images, height: bench.pick(1, 17), width: bench.pick(1, 17) };
    let out_shape = ValueShape { height: 2 * shape.height, width: 2 * shape.width, ..shape };
    let (x, gradient) = (bench.random(shape.len()), bench.random(out_shape.len()));
    let (x_at, gradient_at, y_at) = (bench.put(&x)?, bench.put(&gradient)?, bench.room(out_shape.len()));
    let target = GradientTarget::new(bench, shape.len())?;
    let grid = (bench.pick(1, 3), channels);
    let [count, width] = ints([shape.count(), shape.width]);
    bench.launch("upsample", grid, &[At(x_at), At(y_at), count, width])?;
    let arguments = [At(gradient_at), At(target.offset), count, width, target.flag()];
    bench.launch("upsample_gradient", grid, &arguments)?;
    let (mut y, mut of_x) = (Vec::new(), vec![0.0; shape.len()]);
    for (i, (channel, image, row, column)) in out_shape.offsets().enumerate() {
        let offset = shape.at(channel, image, row / 2, column / 2).expect("half of a place is a place");
        y.push(f64::from(x[offset]));
        of_x[offset] += f64::from(gradient[i]);
    }
    Ok(vec![
        ("upsample, forward".into(), error(&bench.get(y_at, y.len())?, &y), 0.0),
        ("upsample, gradient".into(), target.error(bench, &of_x)?, TOLERANCE),
    ])
}

fn copy_and_add(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    bench.clear();
    let count = bench.pick(1, 5000);
    let (a, b) = (bench.random(count), bench.random(count));
    let (a_at, b_at, out_at) = (bench.put(&a)?, bench.put(&b)?, bench.room(count));
    let target = GradientTarget::new(bench, count)?;
    let grid = (bench.pick(1, 3), 1);
    let length = Int(count as i32);
    bench.launch("copy", grid, &[At(a_at), At(target.offset), length, target.flag()])?;
    bench.launch("add", grid, &[At(a_at), At(b_at), At(out_at), length])?;
    let sums: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
    Ok(vec![
        ("copy".into(), target.error(bench, &doubles(&a))?, TOLERANCE),
        ("add".into(), error(&bench.get(out_at, count)?, &sums), TOLERANCE),
    ])
}

fn means_and_factors(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    bench.clear();
    let (channels, images) = (bench.pick(1, 5), bench.pick(1, 3));
    let shape = ValueShape { channels, images, height: bench.pick(1, 30), width: bench.pick(1, 30) };
    let (planes, plane) = (channels * images, shape.plane());
    let (x, gradient) = (bench.random(shape.len()), bench.random(shape.len()));
    let (factors, of_means) = (bench.random(planes), bench.random(planes));
    let (x_at, gradient_at, factors_at) = (bench.put(&x)?, bench.put(&gradient)?, bench.put(&factors)?);
    let (of_means_at, means_at, y_at) = (bench.put(&of_means)?, bench.room(planes), bench.room(shape.len()));
    let (grid, length) = ((images, channels), Int(plane as i32));
    let [by_means, by_product, by_factors] =
        [shape.len(), shape.len(), planes].map(|count| GradientTarget::new(bench, count));
    let (by_means, by_product, by_factors) = (by_means?, by_product?, by_factors?);
    bench.launch("global_mean", grid, &[At(x_at), At(means_at), length])?;
    let arguments = [At(of_means_at), At(by_means.offset), length, by_means.flag()];
    bench.launch("global_mean_gradient", grid, &arguments)?;
    bench.launch("scale", grid, &[At(x_at), At(factors_at), At(y_at), length])?;
    let arguments = [
        At(x_at),
        At(factors_at),
        At(gradient_at),
        At(by_product.offset),
        At(by_factors.offset),
        length,
        by_product.flag(),
        by_factors.flag(),
    ];
    bench.launch("scale_gradient", grid, &arguments)?;

    let of_planes = |numbers: &[f64]| numbers.chunks_exact(plane).map(|plane| plane.iter().sum()).collect::<Vec<f64>>();
    let means: Vec<f64> = of_planes(&doubles(&x)).into_iter().map(|sum| sum / plane as f64).collect();
    let spread: Vec<f64> = (0..x.len()).map(|i| f64::from(of_means[i / plane]) / plane as f64).collect();
    let with_factors = |numbers: &[f32]| -> Vec<f64> {
        numbers.iter().enumerate().map(|(i, &number)| f64::from(number) * f64::from(factors[i / plane])).collect()
    };
    let products: Vec<f64> = x.iter().zip(&gradient).map(|(x, g)| f64::from(*x) * f64::from(*g)).collect();
    Ok(vec![
        ("global mean, forward".into(), error(&bench.get(means_at, planes)?, &means), TOLERANCE),
        ("global mean, gradient".into(), by_means.error(bench, &spread)?, TOLERANCE),
        ("scale, forward".into(), error(&bench.get(y_at, x.len())?, &with_factors(&x)), TOLERANCE),
        ("scale, gradient of the input".into(), by_product.error(bench, &with_factors(&gradient))?, TOLERANCE),
        ("scale, gradient of the factors".into(), by_factors.error(bench, &of_planes(&products))?, TOLERANCE),
    ])
}

fn predictions(bench: &mut Bench<impl Device>) -> Result<Vec<Tried>> {
    bench.clear();
    let (channels, images, plane) = (bench.pick(1, 6), bench.pick(1, 3), bench.pick(1, 60));
    let (first, column) = (bench.pick(0, 9), bench.pick(0, 5));
    let (anchors, row) = (first + plane + bench.pick(0, 9), column + channels + bench.pick(0, 3));
    let values = bench.random(channels * images * plane);
    let before = bench.random(images * anchors * row);
    let (values_at, raw_at, back_at) = (bench.put(&values)?, bench.put(&before)?, bench.room(values.len()));
    let sizes = ints([images, plane, anchors, first, row, column]);
    let grid = (bench.pick(1, 2), channels);
    let arguments: Vec<Argument> = [At(values_at), At(raw_at)].into_iter().chain(sizes).collect();
    bench.launch("gather_predictions", grid, &arguments)?;
    let arguments: Vec<Argument> = [At(raw_at), At(back_at)].into_iter().chain(sizes).collect();
    bench.launch("scatter_predictions", grid, &arguments)?;
    let mut raw = doubles(&before);
    for (i, value) in values.iter().enumerate() {
        let (channel, image, anchor) = (i / plane / images, i / plane % images, i % plane);
        raw[(image * anchors + first + anchor) * row + column + channel] = f64::from(*value);
    }
    Ok(vec![
        ("predictions to the output".into(), error(&bench.get(raw_at, raw.len())?, &raw), 0.0),
        ("gradient to the predictions".into(), error(&bench.get(back_at, values.len())?, &doubles(&values)), 0.0),
    ])
}

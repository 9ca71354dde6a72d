//! Every operation against a plain reference, at random sizes: planes of a single number, odd sides, several images.

use anyhow::Result;
use rand::Rng;

use super::Checked;
use super::bench::{Bench, error};
use crate::engine::cuda::device::{Argument, Device, Product, Transposed};
use Argument::{At, Int, Nothing};

mod convolutions;
mod normalisation;
mod simple;

/// Sums of some thousand numbers in single precision.
const TOLERANCE: f64 = 2e-5;

/// Tries every operation at `rounds` random sizes. What was in the device's memory is lost. `looseness` multiplies the tolerance of
/// matrix products, for devices that round on purpose.
///
/// # Errors
/// Fails where the device does.
pub fn check_operations(device: &mut impl Device, rounds: u64, looseness: f64) -> Result<Vec<Checked>> {
    let mut all: Vec<Checked> = Vec::new();
    for seed in 0..rounds {
        let mut bench = Bench::new(device, seed)?;
        let mut round = convolutions::check(&mut bench)?;
        round.extend(normalisation::check(&mut bench)?);
        round.extend(simple::check(&mut bench)?);
        round.extend(products(&mut bench, looseness)?);
        for (what, error, tolerance) in round {
            match all.iter_mut().find(|checked| checked.what == what) {
                Some(checked) => checked.error = checked.error.max(error),
                None => all.push(Checked { what, error, tolerance }),
            }
        }
    }
    Ok(all)
}

/// What was tried, the greatest error, and the tolerance.
type Tried = (String, f64, f64);

/// Where a number of a value lies: channels x images x height x width.
#[derive(Clone, Copy)]
struct ValueShape {
    channels: usize,
    images: usize,
    height: usize,
    width: usize,
}

impl ValueShape {
    fn len(self) -> usize {
        self.channels * self.count()
    }

    /// Numbers of a channel.
    fn count(self) -> usize {
        self.images * self.plane()
    }

    fn plane(self) -> usize {
        self.height * self.width
    }

    /// The position of a number, if it is not beyond the plane.
    fn at(self, channel: usize, image: usize, y: isize, x: isize) -> Option<usize> {
        let inside = (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        inside.then(|| ((channel * self.images + image) * self.height + y as usize) * self.width + x as usize)
    }

    /// All channels, images, rows and columns, in the order of the numbers.
    fn offsets(self) -> impl Iterator<Item = (usize, usize, isize, isize)> {
        (0..self.len()).map(move |i| {
            let (plane, rest) = (i / self.plane(), i % self.plane());
            (plane / self.images, plane % self.images, (rest / self.width) as isize, (rest % self.width) as isize)
        })
    }
}

fn ints<const N: usize>(numbers: [usize; N]) -> [Argument; N] {
    numbers.map(|number| Int(number as i32))
}

fn products(bench: &mut Bench<impl Device>, looseness: f64) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for (left_t, right_t, what) in [
        (Transposed::No, Transposed::No, "product, as forward"),
        (Transposed::Yes, Transposed::No, "product, as of the input's gradient"),
        (Transposed::No, Transposed::Yes, "product, as of the weights' gradient"),
    ] {
        bench.clear();
        let (rows, columns, inner) = (bench.pick(1, 70), bench.pick(1, 400), bench.pick(1, 90));
        let (left, right) = (bench.random(rows * inner), bench.random(inner * columns));
        let before = bench.random(rows * columns);
        let accumulates = bench.rng.random();
        let (a, b, out) = (bench.put(&left)?, bench.put(&right)?, bench.put(&before)?);
        bench.product(Product { left: (a, left_t), right: (b, right_t), out, rows, columns, inner, accumulates })?;
        let found = bench.get(out, rows * columns)?;
        let expected: Vec<f64> = (0..rows * columns)
            .map(|i| {
                let (row, column) = (i / columns, i % columns);
                let terms = (0..inner).map(|k| {
                    let l = if left_t == Transposed::Yes { left[k * rows + row] } else { left[row * inner + k] };
                    let r = if right_t == Transposed::Yes {
                        right[column * inner + k]
                    } else {
                        right[k * columns + column]
                    };
                    f64::from(l) * f64::from(r)
                });
                terms.sum::<f64>() + if accumulates { f64::from(before[i]) } else { 0.0 }
            })
            .collect();
        tried.push((what.to_string(), error(&found, &expected), TOLERANCE * looseness));
    }
    Ok(tried)
}

/// A number as references compute.
fn number(values: &[f32], offset: Option<usize>) -> f64 {
    offset.map_or(0.0, |offset| f64::from(values[offset]))
}

/// What gradients are written to: something, as they may be added to it.
struct GradientTarget {
    before: Vec<f32>,
    offset: usize,
    accumulates: bool,
}

impl GradientTarget {
    fn new(bench: &mut Bench<impl Device>, count: usize) -> Result<Self> {
        let before = bench.random(count);
        let offset = bench.put(&before)?;
        Ok(Self { before, offset, accumulates: bench.rng.random() })
    }

    fn flag(&self) -> Argument {
        Int(self.accumulates.into())
    }

    /// The error of what was written against what should be added.
    fn error(&self, bench: &mut Bench<impl Device>, expected: &[f64]) -> Result<f64> {
        let before = self.before.iter().map(|&before| if self.accumulates { f64::from(before) } else { 0.0 });
        let expected: Vec<f64> = before.zip(expected).map(|(before, added)| before + added).collect();
        Ok(error(&bench.get(self.offset, self.before.len())?, &expected))
    }
}

/// The numbers of a `MomentsTarget` on the device.
struct MomentsArguments {
    arguments: [Argument; 8],
    mean: usize,
    variance: usize,
    states: usize,
}

impl MomentsArguments {
    /// For a kernel with `blocks` blocks a channel; normalises by the batch.
    fn new(bench: &mut Bench<impl Device>, channels: usize, blocks: usize) -> Result<Self> {
        let parts = bench.room(4 * channels * blocks);
        let counters = bench.put(&vec![0.0; channels])?;
        let (weight, bias) = (bench.random(channels), bench.random(channels));
        let (weight, bias) = (bench.put(&weight)?, bench.put(&bias)?);
        let (mean, variance, states) = (bench.room(channels), bench.room(channels), bench.room(8 * channels));
        let offsets = [parts, counters, weight, bias, mean, variance, states].map(At);
        let mut arguments = [Int(1); 8];
        arguments[1..].copy_from_slice(&offsets);
        Ok(Self { arguments, mean, variance, states })
    }

    /// The error of mean and unbiased variance of `y`, and of the state that follows from them.
    fn error(&self, bench: &mut Bench<impl Device>, y: &[f64], channels: usize) -> Result<f64> {
        let count = y.len() / channels;
        let moments: Vec<(f64, f64)> = y
            .chunks_exact(count)
            .map(|y| {
                let mean = y.iter().sum::<f64>() / count as f64;
                (mean, y.iter().map(|y| (y - mean).powi(2)).sum())
            })
            .collect();
        let means: Vec<f64> = moments.iter().map(|(mean, _)| *mean).collect();
        let unbiased: Vec<f64> = moments.iter().map(|(_, m2)| m2 / (count - 1).max(1) as f64).collect();
        let states = bench.get(self.states, 8 * channels)?;
        let state = |at: usize| states.iter().skip(at).step_by(8).copied().collect::<Vec<f32>>();
        let inverse: Vec<f64> = moments.iter().map(|(_, m2)| 1.0 / (m2 / count as f64 + 1e-3)).collect();
        let of_mean = error(&bench.get(self.mean, channels)?, &means).max(error(&state(2), &means));
        let of_variance = error(&bench.get(self.variance, channels)?, &unbiased);
        // The inverse of a variance near zero enlarges its error as often.
        let largest = inverse.iter().fold(1.0, |largest: f64, value| largest.max(*value));
        Ok(of_mean.max(of_variance).max(error(&state(3), &inverse) / largest))
    }
}

const NO_MOMENTS: [Argument; 8] = [Int(0), Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];

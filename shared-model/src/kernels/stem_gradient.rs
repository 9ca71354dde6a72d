//! The gradient of the first convolution's kernels, from the image and the gradient with respect to its output. The
//! image itself needs none.

use super::parallel::with_scratch;
use super::products::{Planes, Stretches, add_products};
use super::simd::Instructions;

/// Channels of space-to-depth.
const PLANES: usize = 12;

/// Rows whose products are summed up at once: they stay in a core's own cache.
const ROWS: usize = 16;

/// Adds to `out` (channels x 12 x 3 x 3) the gradient of the kernels, from the image `x` (3 x height x width) and the
/// `gradient` (channels x height/2 x width/2).
pub(crate) fn stem_gradient(
    instructions: Instructions,
    x: &[f32],
    height: usize,
    width: usize,
    gradient: &[f32],
    out: &mut [f32],
) {
    assert_eq!(x.len(), 3 * height * width);
    let (h, w) = (height / 2, width / 2);
    let (row, plane) = (w + 2, (h + 2) * (w + 2));
    with_scratch(PLANES * plane, |planes| {
        planes.fill(0.0);
        for (c, plane) in planes.chunks_exact_mut(plane).enumerate() {
            // Top-left, bottom-left, top-right, bottom-right; three colours each.
            let (quarter, colour) = (c / 3, c % 3);
            let rows = x[(colour * height + quarter % 2) * width..].chunks(2 * width);
            for (from, to) in rows.take(h).zip(plane[row..].chunks_exact_mut(row)) {
                let columns = from[quarter / 2..].iter().step_by(2);
                for (to, &from) in to[1..].iter_mut().zip(columns.take(w)) {
                    *to = from;
                }
            }
        }
        let channels = gradient.len() / (h * w);
        for y in (0..h).step_by(ROWS) {
            let outputs: Vec<usize> = (0..channels).map(|o| (o * h + y) * w).collect();
            let tap = |i: usize| i / 9 * plane + (y + i / 3 % 3) * row + i % 3;
            let taps: Vec<usize> = (0..PLANES * 9).map(tap).collect();
            let stretches = Stretches { count: ROWS.min(h - y), len: w, steps: (w, row) };
            let gradient = Planes { numbers: gradient, starts: &outputs };
            add_products(instructions, gradient, Planes { numbers: planes, starts: &taps }, stretches, out);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::Team;
    use crate::kernels::stem::{StemWeights, stem};
    use crate::kernels::testing::{Random, assert_close};
    use crate::model::graph::Activation;

    /// The convolution is linear in its kernels: each number's gradient is what the convolution yields with that number
    /// alone, times the gradient.
    #[test]
    fn equals_the_convolution_with_single_weights() {
        let mut random = Random::new(41);
        for _ in 0..3 {
            let (height, width) = (2 * random.in_range(1, 20), 4 * random.in_range(1, 12));
            let channels = random.in_range(1, 3);
            let count = channels * PLANES * 9;
            let x = random.numbers(3 * height * width);
            let gradient = random.numbers(channels * height * width / 4);
            let expected: Vec<f32> = (0..count)
                .map(|i| {
                    let mut kernels = vec![0.0; count];
                    kernels[i] = 1.0;
                    let mut out = vec![0.0; gradient.len()];
                    let bias = vec![0.0; channels];
                    let weights = StemWeights::new(&kernels, &bias, Activation::Identity, Instructions::best());
                    stem(&Team::alone(), &weights, &x, height, width, &mut out);
                    out.iter().zip(&gradient).map(|(y, g)| y * g).sum()
                })
                .collect();
            for instructions in Instructions::available() {
                let mut found = vec![0.0; count];
                stem_gradient(instructions, &x, height, width, &gradient, &mut found);
                assert_close(&found, &expected, 1e-4, &format!("{height} x {width}, {instructions:?}"));
            }
        }
    }
}

//! Adam with decoupled weight decay, with PyTorch's defaults.

use super::Tensor;

const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f32 = 1e-8;

/// Step number `steps`, counted from 1.
pub(super) fn step(tensor: Tensor, steps: usize, decay: f64, lr: f64) {
    let unbiased = |beta: f64| 1.0 - beta.powf(steps as f64);
    let (first, second) = (BETAS.0 as f32, BETAS.1 as f32);
    let size = (lr / unbiased(BETAS.0)) as f32;
    let root = unbiased(BETAS.1).sqrt() as f32;
    let keep = (1.0 - lr * decay) as f32;
    let state = tensor.velocity.iter_mut().zip(tensor.squares);
    for ((value, &gradient), (mean, square)) in tensor.values.iter_mut().zip(tensor.update).zip(state) {
        *mean += (1.0 - first) * (gradient - *mean);
        *square = second * *square + (1.0 - second) * gradient * gradient;
        *value = keep * *value - size * *mean / (square.sqrt() / root + EPS);
    }
}

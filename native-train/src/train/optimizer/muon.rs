//! Muon: momentum, then the nearest matrix whose rows (or columns) are orthonormal, so that no few directions take the whole
//! step (Jordan et al., <https://kellerjordan.github.io/posts/muon/>). A step's length is that of AdamW's
//! (<https://arxiv.org/abs/2502.16982>, section 2.2; PyTorch's `adjust_lr_fn="match_rms_adamw"`), so that one learning rate fits
//! both.

use nalgebra::DMatrix;

use super::Tensor as Parameter;

const MOMENTUM: f32 = 0.95;
/// Of the quintic iteration; tuned for the slope at 0, so singular values end between about 0.7 and 1.2.
const COEFFICIENTS: (f32, f32, f32) = (3.4445, -4.775, 2.0315);
const ITERATIONS: usize = 5;
/// Keeps the quotient finite where there is no gradient.
const EPS: f32 = 1e-7;
/// Root mean square of a step of AdamW, as a part of the learning rate.
const ADAMW_RMS: f64 = 0.2;

/// A kernel of outputs x inputs x height x width is a matrix of outputs x the rest.
pub(super) fn step(tensor: Parameter, decay: f64, lr: f64) {
    let rows = tensor.parameter.shape[0];
    let columns = tensor.values.len() / rows;
    let mut direction = Vec::with_capacity(tensor.values.len());
    for (&gradient, velocity) in tensor.update.iter().zip(tensor.velocity) {
        *velocity += (1.0 - MOMENTUM) * (gradient - *velocity);
        direction.push(gradient + MOMENTUM * (*velocity - gradient));
    }
    let direction = orthogonalised(direction, rows, columns);
    let size = (lr * ADAMW_RMS * (rows.max(columns) as f64).sqrt()) as f32;
    let keep = (1.0 - lr * decay) as f32;
    for (value, direction) in tensor.values.iter_mut().zip(direction) {
        *value = keep * *value - size * direction;
    }
}

/// Newton and Schulz's iteration: rows x columns with singular values near 1. On this thread alone: tensors are shared out
/// among threads.
fn orthogonalised(direction: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    // Products of the smaller side are cheaper. A matrix lies column after column here: this is the transpose of what lies
    // row after row.
    let x = DMatrix::from_vec(columns, rows, direction);
    let wide = columns <= rows;
    let mut x = if wide { x } else { x.transpose() };
    x /= x.norm().max(EPS);
    let (a, b, c) = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        let gram = &x * x.transpose();
        let mut factor = gram.clone();
        factor.gemm(c, &gram, &gram, b);
        let mut next = x.clone();
        next.gemm(1.0, &factor, &x, a);
        x = next;
    }
    if wide { x } else { x.transpose() }.data.into()
}

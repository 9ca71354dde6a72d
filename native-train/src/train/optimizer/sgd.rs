//! Stochastic gradient descent with Nesterov momentum.

use super::Tensor;

/// How much of the last step's velocity goes on.
const MOMENTUM: f32 = 0.9;

pub(super) fn step(tensor: Tensor, decay: f32, lr: f32) {
    for ((value, gradient), velocity) in tensor.values.iter_mut().zip(tensor.update).zip(tensor.velocity) {
        let gradient = gradient + decay * *value;
        *velocity = MOMENTUM * *velocity + gradient;
        *value -= lr * (gradient + MOMENTUM * *velocity);
    }
}

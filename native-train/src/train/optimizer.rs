//! Stochastic gradient descent with Nesterov momentum, as PyTorch's `torch.optim.SGD` and with YOLOX's groups of
//! parameters (`get_optimizer` in `yolox/exp/yolox_base.py`), on the flat array of all of them.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use shared_model::ParameterLayout;

/// How much of the last step's velocity goes on.
const MOMENTUM: f32 = 0.9;

/// How far running statistics follow a batch's: PyTorch's momentum of batch normalisation, as YOLOX sets it.
const STATISTICS_MOMENTUM: f32 = 0.03;

/// Tensors that a thread takes at a time, at least: most are a few numbers.
const TENSORS: usize = 16;

/// The optimizer and its state.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Laid out as the parameters; 0 at running statistics.
    pub velocity: Vec<f32>,
    weight_decay: f32,
    /// Of each entry of the layout.
    frozen: Vec<bool>,
}

impl Sgd {
    /// An optimizer that goes on with `velocity` (at first zeros). `weight_decay` pulls at kernels alone, not at biases
    /// and batch normalisation. Tensors whose names begin with one of `frozen` stay as they are, running statistics
    /// among them.
    ///
    /// # Errors
    /// Fails where no tensor's name begins so, or the velocity has another length than the layout.
    pub fn new(layout: &ParameterLayout, weight_decay: f32, frozen: &[String], velocity: Vec<f32>) -> Result<Self> {
        let (found, expected) = (velocity.len(), layout.len);
        ensure!(found == expected, "the optimizer's state has {found} numbers, the network {expected}");
        for prefix in frozen {
            let known = layout.entries.iter().any(|(parameter, _)| parameter.name.starts_with(prefix));
            ensure!(
                known,
                "nothing is called \"{prefix}...\" in this network, so it cannot be frozen: names begin with \
                 \"backbone.backbone.\" (its backbone), \"backbone.\" (with the neck) or \"head.\"; `yolox-nano cost` lists them"
            );
        }
        let is_frozen = |name: &str| frozen.iter().any(|prefix| name.starts_with(prefix));
        let frozen = layout.entries.iter().map(|(parameter, _)| is_frozen(&parameter.name)).collect();
        Ok(Self { velocity, weight_decay, frozen })
    }

    /// One step. All arrays are laid out as `layout`; `update` is what [`super::Engine::step`] fills: gradients, and the
    /// batch's statistics in the places of running ones.
    pub fn step(&mut self, layout: &ParameterLayout, parameters: &mut [f32], update: &[f32], lr: f32) {
        let mut tensors = Vec::with_capacity(layout.entries.len());
        let (mut parameters, mut velocity, mut begun) = (parameters, self.velocity.as_mut_slice(), 0);
        for ((parameter, place), frozen) in layout.entries.iter().zip(&self.frozen) {
            // Of all that is left, this tensor's part; entries are in order.
            let (values, velocities);
            (values, parameters) = parameters[place.start - begun..].split_at_mut(place.len());
            (velocities, velocity) = velocity[place.start - begun..].split_at_mut(place.len());
            begun = place.end;
            if !frozen {
                tensors.push((parameter, values, &update[place.clone()], velocities));
            }
        }
        let weight_decay = self.weight_decay;
        tensors.into_par_iter().with_min_len(TENSORS).for_each(|(parameter, values, update, velocity)| {
            if !parameter.trainable {
                return follow(values, update);
            }
            let is_kernel = parameter.shape.len() == 4;
            descend(values, update, velocity, if is_kernel { weight_decay } else { 0.0 }, lr);
        });
    }
}

/// Running statistics follow a batch's.
fn follow(values: &mut [f32], batch: &[f32]) {
    for (value, batch) in values.iter_mut().zip(batch) {
        *value = (1.0 - STATISTICS_MOMENTUM) * *value + STATISTICS_MOMENTUM * batch;
    }
}

fn descend(values: &mut [f32], gradients: &[f32], velocity: &mut [f32], decay: f32, lr: f32) {
    for ((value, gradient), velocity) in values.iter_mut().zip(gradients).zip(velocity) {
        let gradient = gradient + decay * *value;
        *velocity = MOMENTUM * *velocity + gradient;
        *value -= lr * (gradient + MOMENTUM * *velocity);
    }
}

#[cfg(test)]
mod tests {
    use shared_model::graph::Parameter;

    use super::*;

    /// A separable network's end: kernel, batch normalisation with statistics, a bias.
    fn layout() -> ParameterLayout {
        let parameter =
            |name: &str, shape: &[usize], trainable| Parameter { name: name.into(), shape: shape.to_vec(), trainable };
        let entries = vec![
            (parameter("a.conv.weight", &[2, 2, 1, 1], true), 0..4),
            (parameter("a.bn.weight", &[2], true), 4..6),
            (parameter("a.bn.bias", &[2], true), 6..8),
            (parameter("a.bn.running_mean", &[2], false), 8..10),
            (parameter("b.bn.running_var", &[1], false), 10..11),
        ];
        ParameterLayout { entries, len: 11 }
    }

    const START: [f32; 11] = [0.5, -1.25, 2.0, 0.1, 1.0, 0.75, 0.2, -0.3, 1.0, 2.0, 4.0];
    const UPDATE: [f32; 11] = [0.3, -0.6, 1.5, 40.0, 0.5, -2.0, 0.01, 7.0, 11.0, 2.0, 0.0];

    fn three_steps(frozen: &[String]) -> (Vec<f32>, Sgd) {
        let layout = layout();
        let mut sgd = Sgd::new(&layout, 5e-4, frozen, vec![0.0; layout.len]).unwrap();
        let mut parameters = START.to_vec();
        for (i, lr) in [0.1, 0.2, 0.05].into_iter().enumerate() {
            sgd.step(&layout, &mut parameters, &UPDATE.map(|value| value * (i + 1) as f32), lr);
        }
        (parameters, sgd)
    }

    // import torch
    // conv = torch.tensor([0.5, -1.25, 2.0, 0.1]).view(2, 2, 1, 1).requires_grad_()
    // bn_weight = torch.tensor([1.0, 0.75], requires_grad=True)
    // bn_bias = torch.tensor([0.2, -0.3], requires_grad=True)
    // sgd = torch.optim.SGD([bn_weight], lr=0.1, momentum=0.9, nesterov=True)
    // sgd.add_param_group({"params": [conv], "weight_decay": 5e-4})
    // sgd.add_param_group({"params": [bn_bias]})
    // for step, lr in enumerate([0.1, 0.2, 0.05]):
    //     for group in sgd.param_groups: group["lr"] = lr
    //     for p, g in [(conv, [0.3, -0.6, 1.5, 40.0]), (bn_weight, [0.5, -2.0]), (bn_bias, [0.01, 7.0])]:
    //         p.grad = (torch.tensor(g) * (step + 1)).view_as(p)
    //     sgd.step()
    // for p in (conv, bn_weight, bn_bias):
    //     print(p.flatten().tolist(), sgd.state[p]["momentum_buffer"].flatten().tolist())
    #[test]
    fn steps_as_pytorch_2_11() {
        let expected = [0.045466825, -0.34082067, -0.2724397, -60.474335, 0.24277495, 3.7789, 0.18485549, -10.901151];
        let velocity = [1.683485, -3.3673086, 8.416747, 224.37448, 2.805, -11.22, 0.056099996, 39.269997];
        let (parameters, sgd) = three_steps(&[]);
        for (found, expected) in parameters.iter().zip(expected).chain(sgd.velocity.iter().zip(velocity)) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} instead of {expected}");
        }
    }

    #[test]
    fn running_statistics_follow_the_batches_and_have_no_velocity() {
        let (parameters, sgd) = three_steps(&[]);
        let mean = [11.0, 22.0, 33.0].into_iter().fold(1.0, |mean, batch| 0.97 * mean + 0.03 * batch);
        assert!((parameters[8] - mean).abs() < 1e-5, "{} instead of {mean}", parameters[8]);
        assert!((parameters[10] - 4.0 * 0.97f32.powi(3)).abs() < 1e-5);
        assert_eq!(sgd.velocity[8..], [0.0; 3]);
    }

    #[test]
    fn what_is_frozen_stays_with_its_statistics() {
        let (parameters, sgd) = three_steps(&["a.bn".into()]);
        assert_eq!(parameters[4..10], START[4..10]);
        assert_eq!(sgd.velocity[4..10], [0.0; 6]);
        let (free, _) = three_steps(&[]);
        assert_eq!((&parameters[..4], &parameters[10..]), (&free[..4], &free[10..]));
        let error = Sgd::new(&layout(), 0.0, &["a.bm".into()], vec![0.0; 11]).unwrap_err().to_string();
        assert!(error.contains("\"a.bm...\"") && error.contains("yolox-nano cost"), "{error}");
        assert!(Sgd::new(&layout(), 0.0, &[], vec![0.0; 3]).is_err());
    }
}

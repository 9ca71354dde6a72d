//! Optimizers on the flat array of all parameters, each as PyTorch's: SGD with Nesterov momentum (`torch.optim.SGD`), AdamW
//! (`torch.optim.AdamW`) and Muon (`torch.optim.Muon`). Groups of parameters are YOLOX's (`get_optimizer` in
//! `yolox/exp/yolox_base.py`): only kernels decay.

mod adamw;
mod muon;
mod sgd;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shared_model::ParameterLayout;
use shared_model::graph::Parameter;

/// How far running statistics follow a batch's: PyTorch's momentum of batch normalisation, as YOLOX sets it.
pub const STATISTICS_MOMENTUM: f64 = 0.03;

/// Tensors that a thread takes at a time, at least: most are a few numbers.
const TENSORS: usize = 16;

/// The rule by which gradients move parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Stochastic gradient descent with Nesterov momentum 0.9: the reference recipe's.
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (<https://arxiv.org/abs/1711.05101>).
    Adamw,
    /// Orthogonalised momentum for the matrices among the kernels (<https://kellerjordan.github.io/posts/muon/>), of the
    /// length of AdamW's steps (<https://arxiv.org/abs/2502.16982>); AdamW for all else.
    Muon,
}

/// What an optimizer is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// The rule.
    pub name: OptimizerName,
    /// Pulls at kernels alone, not at biases and batch normalisation: added to the gradient by SGD, apart from it by the
    /// others.
    pub weight_decay: f64,
    /// How far running statistics follow a batch's.
    pub statistics_momentum: f64,
}

/// What an optimizer remembers; arrays are laid out as the parameters, and 0 at running statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// SGD's velocity; the mean of gradients of the others.
    pub velocity: Vec<f32>,
    /// AdamW's mean of squares of gradients; empty for SGD.
    pub squares: Vec<f32>,
    /// Steps that were made.
    pub steps: usize,
}

impl OptimizerState {
    /// That of no step.
    pub fn new(name: OptimizerName, len: usize) -> Self {
        let squares = if name == OptimizerName::Sgd { Vec::new() } else { vec![0.0; len] };
        Self { velocity: vec![0.0; len], squares, steps: 0 }
    }
}

/// The optimizer and its state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
    state: OptimizerState,
    /// Of each entry of the layout.
    frozen: Vec<bool>,
}

/// A tensor in a step.
struct Tensor<'a> {
    parameter: &'a Parameter,
    values: &'a mut [f32],
    /// Its gradient; of running statistics the batch's.
    update: &'a [f32],
    velocity: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Tensor<'_> {
    /// Whether its rows are what one output makes of many inputs: then directions among them have a meaning. Predictions, the
    /// last layers, are left out, as is usual with Muon.
    fn is_matrix(&self) -> bool {
        let shape = &self.parameter.shape;
        shape.len() == 4 && shape[1] > 1 && self.parameter.name.ends_with(".conv.weight")
    }
}

impl Optimizer {
    /// An optimizer that goes on with `state`. Tensors whose names begin with one of `frozen` stay as they are, running
    /// statistics among them.
    ///
    /// # Errors
    /// Fails where no tensor's name begins so, or the state is not one of this optimizer and layout.
    pub fn new(
        layout: &ParameterLayout,
        settings: OptimizerSettings,
        frozen: &[String],
        state: OptimizerState,
    ) -> Result<Self> {
        let expected = layout.len;
        for (array, expected) in [
            (&state.velocity, expected),
            (&state.squares, if settings.name == OptimizerName::Sgd { 0 } else { expected }),
        ] {
            let found = array.len();
            ensure!(found == expected, "the optimizer's state has {found} numbers instead of {expected}");
        }
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
        Ok(Self { settings, state, frozen })
    }

    /// The reference recipe's, before its first step.
    pub fn sgd(layout: &ParameterLayout, weight_decay: f64) -> Self {
        let name = OptimizerName::Sgd;
        let settings = OptimizerSettings { name, weight_decay, statistics_momentum: STATISTICS_MOMENTUM };
        Self { settings, state: OptimizerState::new(name, layout.len), frozen: vec![false; layout.entries.len()] }
    }

    /// What a later optimizer goes on with.
    pub fn state(&self) -> &OptimizerState {
        &self.state
    }

    /// One step. All arrays are laid out as `layout`; `update` is what [`Engine::step`](crate::engine::Engine::step)
    /// fills: gradients, and the batch's statistics in the places of running ones.
    pub fn step(&mut self, layout: &ParameterLayout, parameters: &mut [f32], update: &[f32], lr: f64) {
        self.state.steps += 1;
        let mut tensors = Vec::with_capacity(layout.entries.len());
        let mut parameters = Rest(parameters);
        let (mut velocity, mut squares) = (Rest(&mut self.state.velocity), Rest(&mut self.state.squares));
        for ((parameter, range), frozen) in layout.entries.iter().zip(&self.frozen) {
            let (values, velocity) = (parameters.take(range.len()), velocity.take(range.len()));
            let squares = squares.take(range.len());
            if !frozen {
                tensors.push(Tensor { parameter, values, update: &update[range.clone()], velocity, squares });
            }
        }
        let (settings, steps) = (self.settings, self.state.steps);
        tensors.into_par_iter().with_min_len(TENSORS).for_each(|tensor| {
            if !tensor.parameter.trainable {
                return follow(tensor.values, tensor.update, settings.statistics_momentum as f32);
            }
            let decay = if tensor.parameter.shape.len() == 4 { settings.weight_decay } else { 0.0 };
            match settings.name {
                OptimizerName::Sgd => sgd::step(tensor, decay as f32, lr as f32),
                OptimizerName::Muon if tensor.is_matrix() => muon::step(tensor, decay, lr),
                OptimizerName::Adamw | OptimizerName::Muon => adamw::step(tensor, steps, decay, lr),
            }
        });
    }
}

/// What is left of an array whose parts are taken one after another.
struct Rest<'a>(&'a mut [f32]);

impl<'a> Rest<'a> {
    /// The next `len` numbers; none of an empty array.
    fn take(&mut self, len: usize) -> &'a mut [f32] {
        let rest = std::mem::take(&mut self.0);
        let (part, rest) = rest.split_at_mut(len.min(rest.len()));
        self.0 = rest;
        part
    }
}

/// Running statistics follow a batch's.
fn follow(values: &mut [f32], batch: &[f32], momentum: f32) {
    for (value, batch) in values.iter_mut().zip(batch) {
        *value = (1.0 - momentum) * *value + momentum * batch;
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

    fn three_steps(name: OptimizerName, weight_decay: f64, frozen: &[String]) -> (Vec<f32>, OptimizerState) {
        let layout = layout();
        let settings = OptimizerSettings { name, weight_decay, statistics_momentum: STATISTICS_MOMENTUM };
        let state = OptimizerState::new(name, layout.len);
        let mut optimizer = Optimizer::new(&layout, settings, frozen, state).unwrap();
        let mut parameters = START.to_vec();
        for (i, lr) in [0.1, 0.2, 0.05].into_iter().enumerate() {
            optimizer.step(&layout, &mut parameters, &UPDATE.map(|value| value * (i + 1) as f32), lr);
        }
        (parameters, optimizer.state)
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
        let (parameters, state) = three_steps(OptimizerName::Sgd, 5e-4, &[]);
        for (found, expected) in parameters.iter().zip(expected).chain(state.velocity.iter().zip(velocity)) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} instead of {expected}");
        }
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 2e-6 * (1.0 + expected.abs()), "{found} instead of {expected}");
        }
    }

    // As above, with
    // adamw = torch.optim.AdamW([{"params": [conv], "weight_decay": 0.05},
    //                            {"params": [bn_weight, bn_bias], "weight_decay": 0.0}])
    #[test]
    fn adamw_steps_as_pytorch_2_11() {
        let expected = [0.1520873, -0.8890277, 1.6259682, -0.24094766, 0.6590636, 1.0909364, -0.14093623, -0.6409365];
        let (parameters, state) = three_steps(OptimizerName::Adamw, 0.05, &[]);
        assert_near(&parameters[..8], &expected);
        assert_eq!(state.steps, 3);
    }

    // muon = torch.optim.Muon([conv.view(2, 2)], weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    // adamw = torch.optim.AdamW([bn_weight, bn_bias], weight_decay=0.0)
    // with `_zeropower_via_newtonschulz` in single precision instead of bfloat16.
    #[test]
    fn muon_steps_as_pytorch_2_11() {
        let expected = [0.41883922, -1.2245167, 1.9615468, 0.029751085, 0.6590636, 1.0909364, -0.14093623, -0.6409365];
        let (parameters, state) = three_steps(OptimizerName::Muon, 0.05, &[]);
        assert_near(&parameters[..8], &expected);
        // A direction's length is nothing to Muon, so the velocity is looked at, too: a twentieth of the way to each of 1, 2
        // and 3 gradients.
        let velocity = [1.0, 2.0, 3.0].into_iter().fold(0.0, |velocity, times| 0.95 * velocity + 0.05 * times);
        assert_near(&state.velocity[..4], &[0, 1, 2, 3].map(|i| velocity * UPDATE[i]));
    }

    #[test]
    fn running_statistics_follow_the_batches_and_have_no_velocity() {
        let (parameters, state) = three_steps(OptimizerName::Sgd, 5e-4, &[]);
        let mean = [11.0, 22.0, 33.0].into_iter().fold(1.0, |mean, batch| 0.97 * mean + 0.03 * batch);
        assert!((parameters[8] - mean).abs() < 1e-5, "{} instead of {mean}", parameters[8]);
        assert!((parameters[10] - 4.0 * 0.97f32.powi(3)).abs() < 1e-5);
        assert_eq!(state.velocity[8..], [0.0; 3]);
    }

    #[test]
    fn what_is_frozen_stays_with_its_statistics() {
        let (parameters, state) = three_steps(OptimizerName::Sgd, 5e-4, &["a.bn".into()]);
        assert_eq!(parameters[4..10], START[4..10]);
        assert_eq!(state.velocity[4..10], [0.0; 6]);
        let (free, _) = three_steps(OptimizerName::Sgd, 5e-4, &[]);
        assert_eq!((&parameters[..4], &parameters[10..]), (&free[..4], &free[10..]));
        let settings = Optimizer::sgd(&layout(), 0.0).settings;
        let error = Optimizer::new(&layout(), settings, &["a.bm".into()], OptimizerState::new(settings.name, 11))
            .unwrap_err()
            .to_string();
        assert!(error.contains("\"a.bm...\"") && error.contains("yolox-nano cost"), "{error}");
        assert!(Optimizer::new(&layout(), settings, &[], OptimizerState::new(settings.name, 3)).is_err());
    }
}

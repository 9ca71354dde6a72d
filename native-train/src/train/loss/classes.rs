//! What a logit costs against its target: of the objectness, and of each class.

use serde::{Deserialize, Serialize};

/// The loss of a logit against a target from 0 to 1, of which `p = sigmoid(logit)` is the network's guess. It is that of
/// the objectness (all anchors) and of the classes (all classes of the anchors that are to find an object); sums of both
/// are divided by the number of these anchors, whatever the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClassLoss {
    /// Binary cross-entropy, as YOLOX.
    #[default]
    Bce,
    /// Quality focal loss: `|target - p|^2 * BCE` (Li et al. 2020, <https://arxiv.org/abs/2006.04388>, equation 5,
    /// beta 2).
    Qfl,
    /// Varifocal loss: `target * BCE` where the target is above 0, `0.75 * p^2 * BCE` where it is 0 (Zhang et al. 2021,
    /// <https://arxiv.org/abs/2008.13367>, equation 2, alpha 0.75 and gamma 2).
    Vfl,
}

/// Varifocal loss: weight of what is to be 0.
const ALPHA: f32 = 0.75;

impl ClassLoss {
    /// The loss, and its slope along the logit; the target is a constant.
    pub(super) fn of(self, logit: f32, target: f32) -> (f32, f32) {
        let (loss, slope) = cross_entropy(logit, target);
        match self {
            Self::Bce => (loss, slope),
            // The slope of the cross-entropy is the distance, `p - target`.
            Self::Qfl => {
                let distance = slope;
                let by_logit = 2.0 * distance * sigmoid_slope(logit);
                (distance * distance * loss, distance * distance * slope + by_logit * loss)
            }
            Self::Vfl if target > 0.0 => (target * loss, target * slope),
            Self::Vfl => {
                // The target is 0, so that the slope is `p`.
                let p = slope;
                (ALPHA * p * p * loss, ALPHA * (p * p * slope + 2.0 * p * sigmoid_slope(logit) * loss))
            }
        }
    }
}

/// The slope of `sigmoid(x)`: `p * (1 - p)`, without loss where `p` is close to 1.
fn sigmoid_slope(logit: f32) -> f32 {
    let small = (-logit.abs()).exp();
    small / ((1.0 + small) * (1.0 + small))
}

/// Binary cross-entropy of `sigmoid(logit)` against `target`, and its slope. The form that neither overflows nor loses
/// small losses: `max(x, 0) - x * t + log(1 + exp(-|x|))`.
pub(in crate::train) fn cross_entropy(logit: f32, target: f32) -> (f32, f32) {
    let small = (-logit.abs()).exp();
    let loss = logit.max(0.0) - logit * target + small.ln_1p();
    let probability = if logit < 0.0 { small } else { 1.0 } / (1.0 + small);
    (loss, probability - target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_logits_neither_overflow_nor_lose_their_gradient() {
        assert_eq!(cross_entropy(200.0, 1.0), (0.0, 0.0));
        assert_eq!(cross_entropy(-200.0, 1.0), (200.0, -1.0));
        assert_eq!(cross_entropy(200.0, 0.0), (200.0, 1.0));
        let (loss, slope) = cross_entropy(-20.0, 0.0);
        assert!(
            (loss / 2.061_153_6e-9 - 1.0).abs() < 1e-6 && (slope / 2.061_153_6e-9 - 1.0).abs() < 1e-6,
            "{loss} {slope}"
        );
        for loss in [ClassLoss::Qfl, ClassLoss::Vfl] {
            for logit in [-200.0, -90.0, 90.0, 200.0] {
                for target in [0.0, 0.4, 1.0] {
                    let (value, slope) = loss.of(logit, target);
                    assert!(value.is_finite() && slope.is_finite(), "{loss:?} {logit} {target}: {value} {slope}");
                }
            }
        }
    }

    #[test]
    fn values_and_slopes_are_pytorch_s() {
        // x = torch.tensor(logit, dtype=torch.double, requires_grad=True)
        // bce, p = F.binary_cross_entropy_with_logits(x, t), x.sigmoid()
        // qfl: loss = bce * (t - p).abs() ** 2
        // vfl: loss = bce * (t * (t > 0) + 0.75 * (p - t).abs() ** 2 * (t <= 0))
        // loss.backward(); loss, x.grad
        for (loss, logit, target, value, slope) in [
            (ClassLoss::Qfl, 0.4, 0.0, 0.327_249_2, 0.477_244_1),
            (ClassLoss::Qfl, -3.0, 0.0, 0.000_109_283_3, 0.000_314_871_8),
            (ClassLoss::Qfl, 0.4, 0.7, 0.006_497_389, -0.031_856_82),
            (ClassLoss::Qfl, 2.5, 0.3, 0.712_449_5, 0.403_181_2),
            (ClassLoss::Qfl, -2.0, 1.0, 1.650_078, -1.076_714),
            (ClassLoss::Vfl, 0.4, 0.0, 0.245_436_9, 0.357_933_1),
            (ClassLoss::Vfl, -3.0, 0.0, 8.196_249e-5, 0.000_236_153_9),
            (ClassLoss::Vfl, 0.4, 0.7, 0.443_110_7, -0.070_918_64),
            (ClassLoss::Vfl, 2.5, 0.3, 0.548_666_9, 0.187_242_5),
            (ClassLoss::Vfl, -2.0, 1.0, 2.126_928, -0.880_797_1),
        ] {
            let found = loss.of(logit, target);
            for (found, expected) in [(found.0, value), (found.1, slope)] {
                let expected: f32 = expected;
                assert!((found - expected).abs() <= 2e-6 * expected.abs(), "{loss:?} {logit} {target}: {found}");
            }
        }
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        const STEP: f64 = 1e-5;
        let in_double = |loss: ClassLoss, logit: f64, target: f64| {
            let p = 1.0 / (1.0 + (-logit).exp());
            let bce = -(target * p.ln() + (1.0 - target) * (1.0 - p).ln());
            match loss {
                ClassLoss::Bce => bce,
                ClassLoss::Qfl => bce * (target - p).abs().powi(2),
                ClassLoss::Vfl if target > 0.0 => bce * target,
                ClassLoss::Vfl => bce * 0.75 * p * p,
            }
        };
        for loss in [ClassLoss::Bce, ClassLoss::Qfl, ClassLoss::Vfl] {
            for logit in (-60..=60).map(|i| f64::from(i) / 10.0) {
                for target in [0.0, 0.25, 0.5, 1.0] {
                    let at = |logit: f64| in_double(loss, logit, target);
                    let slope = (at(logit + STEP) - at(logit - STEP)) / (2.0 * STEP);
                    let found = loss.of(logit as f32, target as f32);
                    let close = |found: f32, expected: f64| (f64::from(found) - expected).abs() < 2e-6;
                    assert!(
                        close(found.0, at(logit)) && close(found.1, slope),
                        "{loss:?} {logit} {target}: {found:?}, not {} {slope}",
                        at(logit)
                    );
                }
            }
        }
    }
}

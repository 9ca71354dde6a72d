//! Numbers that know their slopes: a formula is written once, and its gradient is exact.

use std::ops::{Add, Div, Mul, Sub};

/// A value and its slopes along the four numbers of a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dual {
    pub(super) value: f64,
    pub(super) slopes: [f64; 4],
}

impl Dual {
    /// A number that the box does not change.
    pub(super) fn constant(value: f64) -> Self {
        Self { value, slopes: [0.0; 4] }
    }

    /// A function's value here, and its derivative.
    fn map(self, value: f64, derivative: f64) -> Self {
        Self { value, slopes: self.slopes.map(|slope| derivative * slope) }
    }

    pub(super) fn exp(self) -> Self {
        let value = self.value.exp();
        self.map(value, value)
    }

    /// A whole power, 1 or more.
    pub(super) fn powi(self, power: i32) -> Self {
        self.map(self.value.powi(power), f64::from(power) * self.value.powi(power - 1))
    }

    /// No slope at 0, as PyTorch.
    pub(super) fn abs(self) -> Self {
        self.map(self.value.abs(), if self.value == 0.0 { 0.0 } else { self.value.signum() })
    }

    /// The angle whose tangent is `self / other`, neither of them negative; 0 where both are 0.
    pub(super) fn atan2(self, other: Self) -> Self {
        let square = (self.value * self.value + other.value * other.value).max(f64::MIN_POSITIVE);
        let slope = |i: usize| (other.value * self.slopes[i] - self.value * other.slopes[i]) / square;
        Self { value: self.value.atan2(other.value), slopes: [0, 1, 2, 3].map(slope) }
    }

    pub(super) fn max(self, other: Self) -> Self {
        self.or(other, self.value > other.value)
    }

    pub(super) fn min(self, other: Self) -> Self {
        self.or(other, self.value < other.value)
    }

    /// One of the two. Where they are equal the slopes are the means of theirs, as PyTorch's.
    fn or(self, other: Self, this: bool) -> Self {
        if self.value == other.value {
            let slope = |i: usize| 0.5 * (self.slopes[i] + other.slopes[i]);
            Self { value: self.value, slopes: [0, 1, 2, 3].map(slope) }
        } else if this {
            self
        } else {
            other
        }
    }
}

impl Add for Dual {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let slope = |i: usize| self.slopes[i] + other.slopes[i];
        Self { value: self.value + other.value, slopes: [0, 1, 2, 3].map(slope) }
    }
}

impl Sub for Dual {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let slope = |i: usize| self.slopes[i] - other.slopes[i];
        Self { value: self.value - other.value, slopes: [0, 1, 2, 3].map(slope) }
    }
}

#[expect(clippy::suspicious_arithmetic_impl, reason = "the product rule adds")]
impl Mul for Dual {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let slope = |i: usize| self.slopes[i] * other.value + self.value * other.slopes[i];
        Self { value: self.value * other.value, slopes: [0, 1, 2, 3].map(slope) }
    }
}

#[expect(clippy::suspicious_arithmetic_impl, reason = "the quotient rule multiplies and subtracts")]
impl Div for Dual {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let slope = |i: usize| (self.slopes[i] - value * other.slopes[i]) / other.value;
        Self { value, slopes: [0, 1, 2, 3].map(slope) }
    }
}

impl Add<Dual> for f64 {
    type Output = Dual;

    fn add(self, other: Dual) -> Dual {
        Dual::constant(self) + other
    }
}

impl Sub<Dual> for f64 {
    type Output = Dual;

    fn sub(self, other: Dual) -> Dual {
        Dual::constant(self) - other
    }
}

impl Mul<Dual> for f64 {
    type Output = Dual;

    fn mul(self, other: Dual) -> Dual {
        other.map(self * other.value, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slopes along the first two numbers.
    fn check(x: f64, y: f64, name: &str, function: impl Fn(Dual, Dual) -> Dual) {
        const STEP: f64 = 1e-6;
        let variable = |value: f64, at: usize| {
            let mut slopes = [0.0; 4];
            slopes[at] = 1.0;
            Dual { value, slopes }
        };
        let at = |x: f64, y: f64| function(variable(x, 0), variable(y, 1));
        let found = at(x, y).slopes;
        let across = (at(x + STEP, y).value - at(x - STEP, y).value) / (2.0 * STEP);
        let down = (at(x, y + STEP).value - at(x, y - STEP).value) / (2.0 * STEP);
        for (found, expected) in found.into_iter().zip([across, down, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-7, "{name} at {x}, {y}: {found}, finite difference {expected}");
        }
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        for (x, y) in [(0.3, 1.7), (2.0, 0.4), (1.0, 1.5)] {
            check(x, y, "+", |x, y| 3.0 + x + y);
            check(x, y, "-", |x, y| (3.0 - x) - y);
            check(x, y, "*", |x, y| 3.0 * (x * y));
            check(x, y, "/", |x, y| x / y);
            check(x, y, "exp", |x, y| (x * y).exp());
            check(x, y, "powi", |x, y| (x - y).powi(3));
            check(x, y, "abs", |x, y| (x - y).abs());
            check(x, y, "max", |x, y| (2.0 * x).max(y));
            check(x, y, "min", |x, y| (2.0 * x).min(y));
            check(x, y, "atan", |x, y| (x * x).atan2(y));
        }
    }

    #[test]
    fn at_corners_slopes_are_pytorch_s() {
        let x = Dual { value: 2.0, slopes: [1.0, 0.0, 0.0, 0.0] };
        let two = Dual::constant(2.0);
        // x = torch.tensor(2.0, requires_grad=True); torch.maximum(x, torch.tensor(2.0)).backward(); x.grad  # 0.5
        assert_eq!((x.max(two).slopes[0], x.min(two).slopes[0], two.max(x).slopes[0]), (0.5, 0.5, 0.5));
        assert_eq!((x - two).abs().slopes, [0.0; 4]);
        assert_eq!(Dual::constant(0.0).atan2(Dual::constant(0.0)), Dual::constant(0.0));
    }
}

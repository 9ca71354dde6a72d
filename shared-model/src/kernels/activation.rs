//! Activations on vectors.

use super::simd::{LARGEST_POWER, PowerConstants, Simd, TO_INTEGER};
use crate::model::graph::Activation;

/// A function of every number of a vector.
pub(crate) trait Activate<S: Simd> {
    /// # Safety
    /// See [`Simd`].
    unsafe fn apply(&self, x: S::V) -> S::V;
}

/// `x * sigmoid(x)`, with the constants that it is computed with.
pub(crate) struct Silu<S: Simd> {
    minus_log2_e: S::V,
    one: S::V,
    power: PowerConstants<S::V>,
    exp2: [S::V; 6],
}

impl<S: Simd> Silu<S> {
    const CONSTANTS: [f32; 11] = {
        let [a, b, c, d, e, f] = S::EXP2;
        [-std::f32::consts::LOG2_E, 1.0, -LARGEST_POWER, LARGEST_POWER, TO_INTEGER, a, b, c, d, e, f]
    };

    /// # Safety
    /// See [`Simd`].
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        // WebAssembly engines build a vector constant anew, from several instructions, wherever one is used. So there the
        // constants are read from memory, and the compiler must not see what they are.
        let constants = &Self::CONSTANTS;
        let constants = if cfg!(target_arch = "wasm32") { std::hint::black_box(constants) } else { constants };
        let [a, b, c, d, e, exp2 @ ..] = constants;
        // SAFETY: the caller's.
        unsafe {
            let power = PowerConstants { least: S::splat(*c), most: S::splat(*d), to_integer: S::splat(*e) };
            let [e0, e1, e2, e3, e4, e5] = *exp2;
            let exp2 = [S::splat(e0), S::splat(e1), S::splat(e2), S::splat(e3), S::splat(e4), S::splat(e5)];
            Self { minus_log2_e: S::splat(*a), one: S::splat(*b), power, exp2 }
        }
    }
}

impl<S: Simd> Silu<S> {
    /// `1 + exp(-x)`, to a relative error of 3e-7: `2^(-x / ln 2)` as a polynomial and a power of two.
    #[inline(always)]
    unsafe fn one_plus_exp_of_minus(&self, x: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            let (f, n) = S::split_power(S::mul(x, self.minus_log2_e), &self.power);
            let mut p = self.exp2[5];
            for &coefficient in self.exp2[..5].iter().rev() {
                p = S::mul_add(p, f, coefficient);
            }
            S::add(self.one, S::scale_by_power(p, n))
        }
    }

    /// The derivative: `s + x s (1 - s)`, where `s = sigmoid(x)`.
    ///
    /// # Safety
    /// See [`Simd`].
    #[inline(always)]
    pub(crate) unsafe fn slope(&self, x: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            let s = S::div(self.one, self.one_plus_exp_of_minus(x));
            S::mul_add(S::mul(x, s), S::sub(self.one, s), s)
        }
    }
}

impl<S: Simd> Activate<S> for Silu<S> {
    #[inline(always)]
    unsafe fn apply(&self, x: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe { S::div(x, self.one_plus_exp_of_minus(x)) }
    }
}

/// Any activation, chosen for every vector: for those that cost little or occur seldom.
pub(crate) struct Other(pub(crate) Activation);

impl<S: Simd> Activate<S> for Other {
    #[inline(always)]
    unsafe fn apply(&self, x: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            match self.0 {
                Activation::Identity => x,
                Activation::Silu => Silu::<S>::new().apply(x),
                Activation::Relu => S::max(x, S::splat(0.0)),
                Activation::HardSigmoid => {
                    let shifted = S::mul_add(x, S::splat(1.0 / 6.0), S::splat(0.5));
                    S::min(S::max(shifted, S::splat(0.0)), S::splat(1.0))
                }
            }
        }
    }
}

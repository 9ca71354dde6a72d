//! Activations on vectors.

use super::simd::Simd;
use crate::graph::Activation;

/// Coefficients of 2^f for f in -0.5..0.5: a least-maximum fit, whose relative error is 7.5e-8 in exact arithmetic.
const EXP2: [f32; 6] = [1.0000001, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_1];

/// Adding this to a number under 2^22 leaves its nearest integer in the low bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Applies `activation`.
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(activation: Activation, x: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        match activation {
            Activation::Identity => x,
            Activation::Silu => silu::<S>(x),
            Activation::Relu => S::max(x, S::splat(0.0)),
            Activation::HardSigmoid => {
                let shifted = S::mul_add(x, S::splat(1.0 / 6.0), S::splat(0.5));
                S::min(S::max(shifted, S::splat(0.0)), S::splat(1.0))
            }
        }
    }
}

/// `x * sigmoid(x) = x / (1 + 2^(-x / ln 2))`.
#[inline(always)]
unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe { S::div(x, S::add(S::splat(1.0), exp2::<S>(S::mul(x, S::splat(-std::f32::consts::LOG2_E))))) }
}

/// 2^t, for t beyond +-126 that of +-126.
#[inline(always)]
unsafe fn exp2<S: Simd>(t: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        let t = S::min(S::max(t, S::splat(-126.0)), S::splat(126.0));
        let shifted = S::add(t, S::splat(TO_INTEGER));
        let f = S::sub(t, S::sub(shifted, S::splat(TO_INTEGER)));
        let mut p = S::splat(EXP2[5]);
        for &coefficient in EXP2[..5].iter().rev() {
            p = S::mul_add(p, f, S::splat(coefficient));
        }
        S::scale_by_power(p, shifted)
    }
}

//! Activations on vectors.

use super::simd::Simd;
use crate::graph::Activation;

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

/// 2^t; saturates at nearly zero and at huge numbers.
#[inline(always)]
unsafe fn exp2<S: Simd>(t: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        let (f, n) = S::split_power(t);
        let mut p = S::splat(S::EXP2[5]);
        for &coefficient in S::EXP2[..5].iter().rev() {
            p = S::mul_add(p, f, S::splat(coefficient));
        }
        S::scale_by_power(p, n)
    }
}

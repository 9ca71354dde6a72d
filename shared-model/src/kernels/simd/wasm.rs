//! WebAssembly: simd128, with relaxed multiply-adds in builds that have them.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every function hands its caller's promise on, see `Simd`")]

use super::intrinsics::intrinsics;
use super::{EXP2_AROUND_ZERO, PowerConstants, Simd, split_power};
use std::arch::wasm32::*;

#[inline(always)]
unsafe fn load_first(from: *const f32, count: usize) -> v128 {
    unsafe {
        match count {
            0 => f32x4_splat(0.0),
            1 => v128_load32_zero(from.cast()),
            2 => v128_load64_zero(from.cast()),
            _ => v128_load32_lane::<2>(v128_load64_zero(from.cast()), from.add(2).cast()),
        }
    }
}

#[inline(always)]
unsafe fn store_first(to: *mut f32, v: v128, count: usize) {
    unsafe {
        match count {
            0 => {}
            1 => v128_store32_lane::<0>(v, to.cast()),
            2 => v128_store64_lane::<0>(v, to.cast()),
            _ => {
                v128_store64_lane::<0>(v, to.cast());
                v128_store32_lane::<2>(v, to.add(2).cast());
            }
        }
    }
}

#[inline(always)]
unsafe fn deinterleave(a: v128, b: v128) -> (v128, v128) {
    (i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
}

#[inline(always)]
unsafe fn interleave(a: v128, b: v128) -> (v128, v128) {
    (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b))
}

#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_add(f32x4_mul(a, b), c)
}

/// One instruction, rounded once or twice as the processor likes.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_relaxed_madd(a, b, c)
}

#[inline(always)]
unsafe fn scale(x: v128, n: v128) -> v128 {
    i32x4_add(x, i32x4_shl(n, 23))
}

intrinsics!(Simd128, v128, 4, splat f32x4_splat, load v128_load, store v128_store, load_first load_first,
    store_first store_first, deinterleave deinterleave, interleave interleave, add f32x4_add, sub f32x4_sub, mul f32x4_mul, div f32x4_div, max f32x4_pmax,
    min f32x4_pmin, mul_add mul_add, exp2 EXP2_AROUND_ZERO, split_power split_power::<Simd128>, scale_by_power scale);

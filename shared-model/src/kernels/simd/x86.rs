//! AVX2 with FMA, and AVX-512.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every function hands its caller's promise on, see `Simd`")]

use super::intrinsics::intrinsics;
use super::{EXP2_AROUND_ZERO, PowerConstants, Simd, split_power};
use std::arch::x86_64::*;

/// `FIRST[8 - count..]` selects the first `count` of eight numbers.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn first256(count: usize) -> __m256i {
    unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - count).cast()) }
}

#[inline(always)]
unsafe fn load_first256(from: *const f32, count: usize) -> __m256 {
    unsafe { _mm256_maskload_ps(from, first256(count)) }
}

#[inline(always)]
unsafe fn store_first256(to: *mut f32, v: __m256, count: usize) {
    unsafe { _mm256_maskstore_ps(to, first256(count), v) }
}

#[inline(always)]
unsafe fn deinterleave256(a: __m256, b: __m256) -> (__m256, __m256) {
    unsafe {
        // Inside halves of four first: a0 a2 b0 b2 a4 a6 b4 b6; then the halves' pairs in order.
        let in_order = |v| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)));
        (in_order(_mm256_shuffle_ps::<0b10_00_10_00>(a, b)), in_order(_mm256_shuffle_ps::<0b11_01_11_01>(a, b)))
    }
}

#[inline(always)]
unsafe fn interleave256(a: __m256, b: __m256) -> (__m256, __m256) {
    unsafe {
        // Inside halves first: a0 b0 a1 b1 a4 b4 a5 b5, and the rest; then halves.
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
    }
}

#[inline(always)]
unsafe fn scale256(x: __m256, n: __m256) -> __m256 {
    unsafe {
        let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n))
    }
}

#[inline(always)]
unsafe fn load_first512(from: *const f32, count: usize) -> __m512 {
    unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) }
}

#[inline(always)]
unsafe fn store_first512(to: *mut f32, v: __m512, count: usize) {
    unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, v) }
}

#[inline(always)]
unsafe fn deinterleave512(a: __m512, b: __m512) -> (__m512, __m512) {
    unsafe {
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
    }
}

#[inline(always)]
unsafe fn interleave512(a: __m512, b: __m512) -> (__m512, __m512) {
    unsafe {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        (_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b))
    }
}

/// [`Simd::EXP2`] for f in 0..1.
const EXP2_FROM_ZERO: [f32; 6] =
    [0.999_999_94, 0.693_153_1, 0.240_153_61, 0.055_826_318, 0.008_989_34, 0.001_877_576_7];

/// Infinities have an f of zero, and are what [`_mm512_scalef_ps`] takes.
#[inline(always)]
unsafe fn split512(t: __m512, _: &PowerConstants<__m512>) -> (__m512, __m512) {
    unsafe { (_mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF }>(t), t) }
}

intrinsics!(Avx2, __m256, 8, splat _mm256_set1_ps, load _mm256_loadu_ps, store _mm256_storeu_ps,
    load_first load_first256, store_first store_first256, deinterleave deinterleave256, interleave interleave256, add _mm256_add_ps, sub _mm256_sub_ps,
    mul _mm256_mul_ps, div _mm256_div_ps, max _mm256_max_ps, min _mm256_min_ps, mul_add _mm256_fmadd_ps,
    exp2 EXP2_AROUND_ZERO, split_power split_power::<Avx2>, scale_by_power scale256);
intrinsics!(Avx512, __m512, 16, splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps,
    load_first load_first512, store_first store_first512, deinterleave deinterleave512, interleave interleave512, add _mm512_add_ps, sub _mm512_sub_ps,
    mul _mm512_mul_ps, div _mm512_div_ps, max _mm512_max_ps, min _mm512_min_ps, mul_add _mm512_fmadd_ps,
    exp2 EXP2_FROM_ZERO, split_power split512, scale_by_power _mm512_scalef_ps);

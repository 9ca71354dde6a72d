//! One vector type a target: what the kernels need of it, and the choice of the fastest one that the machine has.
//!
//! Kernels are written once, generic over [`Simd`], and compiled once for each target's instructions.

/// A vector of single-precision numbers.
///
/// # Safety
/// The functions may only be called where the target's instructions exist, which [`Instructions`] makes sure of; loads and
/// stores touch `LANES` numbers from the pointer on, at any alignment.
pub(crate) trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// Numbers in a vector.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    /// The first `count` (fewer than `LANES`) numbers from the pointer on, then zeros; touches no others.
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V;
    /// Stores the first `count` (fewer than `LANES`) numbers; touches no others.
    unsafe fn store_first(to: *mut f32, v: Self::V, count: usize);
    /// Of the numbers of `a`, then `b`: those at even positions, and those at odd ones.
    unsafe fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The numbers of `a` and `b` by turns: those of the first halves, and those of the second halves.
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, in one rounding where the target can.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Coefficients of 2^f for the f of `split_power`, the constant first: a least-maximum fit, whose relative error is
    /// 7.5e-8 in exact arithmetic.
    const EXP2: [f32; 6];
    /// `t = n + f`, n an integer: f, and n in the form that `scale_by_power` takes. Of the constants it uses what it needs.
    unsafe fn split_power(t: Self::V, constants: &PowerConstants<Self::V>) -> (Self::V, Self::V);
    /// `x * 2^n`, for an `n` from `split_power` and `x` in 0.5..2; saturates at nearly zero and at huge numbers.
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V;
}

/// Vectors that hold one number each, which [`Simd::split_power`] computes with.
#[derive(Clone, Copy)]
pub(crate) struct PowerConstants<V> {
    pub(crate) least: V,
    pub(crate) most: V,
    pub(crate) to_integer: V,
}

/// Adding this to a number under 2^22 leaves its nearest integer in the low bits.
pub(crate) const TO_INTEGER: f32 = 12_582_912.0;
/// Powers of two beyond these are outside the numbers' range.
pub(crate) const LARGEST_POWER: f32 = 126.0;

/// [`Simd::EXP2`] for f in -0.5..0.5.
const EXP2_AROUND_ZERO: [f32; 6] = [1.0000001, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_1];

/// [`Simd::split_power`] without instructions for it: n, the nearest integer, stays in the low bits of a sum.
#[inline(always)]
unsafe fn split_power<S: Simd>(t: S::V, constants: &PowerConstants<S::V>) -> (S::V, S::V) {
    // SAFETY: the caller's.
    unsafe {
        let t = S::min(S::max(t, constants.least), constants.most);
        let shifted = S::add(t, constants.to_integer);
        (S::sub(t, S::sub(shifted, constants.to_integer)), shifted)
    }
}

/// Loads `count` numbers, or a whole vector if there are so many.
///
/// # Safety
/// As [`Simd::load_first`] and [`Simd::load`].
#[inline(always)]
pub(crate) unsafe fn load_up_to<S: Simd>(from: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { if count >= S::LANES { S::load(from) } else { S::load_first(from, count) } }
}

/// Stores `count` numbers, or a whole vector if there are so many.
///
/// # Safety
/// As [`Simd::store_first`] and [`Simd::store`].
#[inline(always)]
pub(crate) unsafe fn store_up_to<S: Simd>(to: *mut f32, v: S::V, count: usize) {
    // SAFETY: the caller's.
    unsafe { if count >= S::LANES { S::store(to, v) } else { S::store_first(to, v, count) } }
}

/// Numbers in the longest vector of all.
pub(crate) const MOST_LANES: usize = 16;

/// Work that is generic over the vector type.
pub(crate) trait Kernel {
    /// # Safety
    /// See [`Simd`]. Implementations are `#[inline(always)]` and, as closures are compiled on their own, call nothing
    /// through a closure: so they are compiled with the target's instructions.
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self);
}

/// Instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// 16 numbers in a vector, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 numbers in a vector, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 numbers in a vector.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// Whatever the compiler makes of arrays.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable,
}

impl Instructions {
    /// All that this machine can run, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")).then_some(Self::Avx512),
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self::Avx2),
        ];
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let vectors = [Some(Self::Simd128)];
        #[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
        let vectors = [None];
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        let portable = [Self::Portable];
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let portable = [];
        vectors.into_iter().flatten().chain(portable).collect()
    }

    /// The fastest that this machine can run.
    pub(crate) fn best() -> Self {
        Self::available()[0]
    }

    /// Output channels that a matrix product computes together: `ROWS` of [`Kernel::run`]. Their sums, `TILE` vectors
    /// each, stay in registers. The values are those that measured fastest; sixteen registers without fused
    /// multiply-adds must also hold the products.
    pub(crate) fn register_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 4,
            _ => 2,
        }
    }

    /// Neighbouring pixels that a matrix product computes together: `TILE` vectors.
    pub(crate) fn tile_pixels(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 48,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 24,
            _ => 16,
        }
    }

    /// Runs `kernel`. Only what comes from [`Instructions::available`] may be run.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq")]
        unsafe fn avx512<K: Kernel>(kernel: K) {
            // SAFETY: compiled for, and only called on, machines with AVX-512.
            unsafe { kernel.run::<x86::Avx512, 8, 3>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<K: Kernel>(kernel: K) {
            // SAFETY: compiled for, and only called on, machines with AVX2 and FMA.
            unsafe { kernel.run::<x86::Avx2, 4, 3>() }
        }
        // SAFETY: detected, or part of this build, or in need of nothing.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(kernel),
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                Self::Simd128 => kernel.run::<wasm::Simd128, 2, 4>(),
                #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
                Self::Portable => kernel.run::<Portable, 2, 4>(),
            }
        }
    }
}

/// Arrays of four, which compilers turn into whatever vectors there are.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const EXP2: [f32; 6] = EXP2_AROUND_ZERO;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
        // SAFETY: the caller's.
        std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, v: Self::V, count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn split_power(t: Self::V, constants: &PowerConstants<Self::V>) -> (Self::V, Self::V) {
        // SAFETY: the caller's.
        unsafe { split_power::<Self>(t, constants) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
        zip(x, n, |x, n| f32::from_bits(x.to_bits().wrapping_add(n.to_bits() << 23)))
    }
}

/// Implements [`Simd`] by one intrinsic a function.
macro_rules! intrinsics {
    ($name:ident, $vector:ty, $lanes:literal, splat $splat:path, load $load:expr, store $store:expr,
     load_first $load_first:path, store_first $store_first:path, deinterleave $deinterleave:path,
     interleave $interleave:path, add $add:path, sub $sub:path, mul $mul:path,
     div $div:path, max $max:path, min $min:path, mul_add $mul_add:path, exp2 $exp2:expr,
     split_power $split:path, scale_by_power $scale:path) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        // SAFETY (all functions): the caller's, see the trait.
        #[allow(unused_unsafe, reason = "most of WebAssembly's intrinsics are safe")]
        impl Simd for $name {
            type V = $vector;
            const LANES: usize = $lanes;
            const EXP2: [f32; 6] = $exp2;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self::V {
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self::V {
                unsafe { $load(from.cast()) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut f32, v: Self::V) {
                unsafe { $store(to.cast(), v) }
            }
            #[inline(always)]
            unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
                unsafe { $load_first(from, count) }
            }
            #[inline(always)]
            unsafe fn store_first(to: *mut f32, v: Self::V, count: usize) {
                unsafe { $store_first(to, v, count) }
            }
            #[inline(always)]
            unsafe fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
                unsafe { $deinterleave(a, b) }
            }
            #[inline(always)]
            unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
                unsafe { $interleave(a, b) }
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $mul_add(a, b, c) }
            }
            #[inline(always)]
            unsafe fn split_power(t: Self::V, constants: &PowerConstants<Self::V>) -> (Self::V, Self::V) {
                unsafe { $split(t, constants) }
            }
            #[inline(always)]
            unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
                unsafe { $scale(x, n) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    // SAFETY (all functions): the caller's, see `Simd`.
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
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    // SAFETY (all functions): the caller's, see `Simd`.
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
}

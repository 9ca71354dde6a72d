//! One vector type a target: what the kernels need of it, and the choice of the fastest one that the machine has.
//!
//! Kernels are written once, generic over [`Simd`], and compiled once for each target's instructions.

#[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod intrinsics;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A vector of single-precision numbers.
///
/// # Safety
/// The functions may only be called where the target's instructions exist, which [`Instructions`] makes sure of; loads and
/// stores touch `LANES` numbers from the pointer on, at any alignment.
pub(crate) trait Simd: Copy {
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
                Self::Portable => kernel.run::<portable::Portable, 2, 4>(),
            }
        }
    }
}

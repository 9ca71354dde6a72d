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
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, in one rounding where the target can.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `mantissa * 2^n`, where `n` is the integer in the low bits of `shifted` (see `activation::exp2`).
    unsafe fn scale_by_power(mantissa: Self::V, shifted: Self::V) -> Self::V;
}

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
            is_x86_feature_detected!("avx512f").then_some(Self::Avx512),
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

    /// Runs `kernel`. Only what comes from [`Instructions::available`] may be run.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
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
    unsafe fn scale_by_power(mantissa: Self::V, shifted: Self::V) -> Self::V {
        zip(mantissa, shifted, |m, s| f32::from_bits(m.to_bits().wrapping_add(s.to_bits() << 23)))
    }
}

/// Implements [`Simd`] by one intrinsic a function.
macro_rules! intrinsics {
    ($name:ident, $vector:ty, $lanes:literal, splat $splat:path, load $load:expr, store $store:expr, add $add:path,
     sub $sub:path, mul $mul:path, div $div:path, max $max:path, min $min:path, mul_add $mul_add:expr,
     scale_by_power $scale:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        // SAFETY (all functions): the caller's, see the trait.
        #[allow(unused_unsafe, reason = "most of WebAssembly's intrinsics are safe")]
        impl Simd for $name {
            type V = $vector;
            const LANES: usize = $lanes;

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
            unsafe fn scale_by_power(mantissa: Self::V, shifted: Self::V) -> Self::V {
                unsafe { $scale(mantissa, shifted) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    #[inline(always)]
    unsafe fn scale256(m: __m256, s: __m256) -> __m256 {
        // SAFETY: the caller's, see `Simd`.
        unsafe {
            let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(s));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(m), n))
        }
    }

    #[inline(always)]
    unsafe fn scale512(m: __m512, s: __m512) -> __m512 {
        // SAFETY: the caller's, see `Simd`.
        unsafe {
            let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(s));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(m), n))
        }
    }

    intrinsics!(Avx2, __m256, 8, splat _mm256_set1_ps, load _mm256_loadu_ps, store _mm256_storeu_ps,
        add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, div _mm256_div_ps, max _mm256_max_ps,
        min _mm256_min_ps, mul_add _mm256_fmadd_ps, scale_by_power scale256);
    intrinsics!(Avx512, __m512, 16, splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps,
        add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, div _mm512_div_ps, max _mm512_max_ps,
        min _mm512_min_ps, mul_add _mm512_fmadd_ps, scale_by_power scale512);
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::Simd;
    use std::arch::wasm32::*;

    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }

    #[inline(always)]
    unsafe fn scale(m: v128, s: v128) -> v128 {
        i32x4_add(m, i32x4_shl(s, 23))
    }

    intrinsics!(Simd128, v128, 4, splat f32x4_splat, load v128_load, store v128_store,
        add f32x4_add, sub f32x4_sub, mul f32x4_mul, div f32x4_div, max f32x4_pmax, min f32x4_pmin,
        mul_add mul_add, scale_by_power scale);
}

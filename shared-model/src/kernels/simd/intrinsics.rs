//! What implementations by intrinsics have in common.

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

pub(super) use intrinsics;

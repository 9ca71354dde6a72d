//! The network's arithmetic on plain slices. One file a kernel: the fast version, and beside it, in its tests, a naive
//! reference that it must equal over random shapes.
//!
//! Tensors are planar (channels x height x width, the last axis fastest), one image at a time.
#![expect(unsafe_code, reason = "vector instructions, and threads that write disjoint parts of one slice")]

pub(crate) mod activation;
pub(crate) mod block;
pub(crate) mod depthwise;
pub(crate) mod depthwise_gradient;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod norm;
mod padded;
pub(crate) mod parallel;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod pool_gradient;
pub(crate) mod predict;
pub(crate) mod products;
pub(crate) mod simd;
pub(crate) mod stem;
pub(crate) mod stem_gradient;

#[cfg(test)]
pub(crate) mod testing;

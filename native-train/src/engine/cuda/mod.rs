//! Training and inference on a GPU by this project's own kernels.
//!
//! The plan of the CPU's engine ([`shared_model::training`]) is a list of kernels on one array; here the kernels are in CUDA C
//! (`kernels/`), and the list is written down once for every size of batch: `layers` is what the kernels must know of each
//! convolution, `memory` where everything lies, `programs` and `conv` write the commands, `engine` runs them. What runs a command is a
//! [`device::Device`]: `driver` on a GPU; in tests an emulator, so that everything but `driver` is tested on any machine.

#[cfg(feature = "cuda")]
mod blas;
pub mod check;
mod conv;
pub mod device;
#[cfg(feature = "cuda")]
mod driver;
mod engine;
#[cfg(feature = "cuda")]
mod kernels;
mod layers;
mod memory;
mod programs;

#[cfg(feature = "cuda")]
pub use driver::{Cuda, Properties};
pub use engine::CudaEngine;
#[cfg(feature = "cuda")]
pub use kernels::compile;

//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod engine;
pub mod loader;
mod sample;

pub use engine::{Batch, Engine, HeadOutput};
pub use sample::{LabelledBatch, Object};

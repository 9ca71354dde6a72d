//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod dry_run;
mod engine;
pub mod loader;
mod native;
mod sample;

pub use dry_run::dry_run;
pub use engine::{Batch, Engine, HeadOutput};
pub use native::NativeEngine;
pub use sample::{LabelledBatch, Object};

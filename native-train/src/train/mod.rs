//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

pub mod checkpoint;
pub mod console;
mod dry_run;
mod engine;
pub mod flags;
pub mod interrupt;
pub mod loader;
pub mod metrics;
pub mod pace;
pub mod plan;
pub mod run_folder;
mod sample;
pub mod settings;
pub mod tensorboard;
pub mod text;
pub mod timeline;
pub mod validation;

pub use dry_run::dry_run;
pub use engine::{Batch, Engine, HeadOutput};
pub use sample::{LabelledBatch, Object};

//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod anchor;
mod assign;
pub mod checkpoint;
pub mod console;
mod dry_run;
pub mod ema;
mod engine;
pub mod flags;
pub mod init;
pub mod interrupt;
pub mod loader;
mod loss;
pub mod metrics;
pub mod native;
pub mod optimizer;
pub mod pace;
pub mod plan;
pub mod report;
pub mod run_folder;
mod sample;
pub mod schedule;
pub mod settings;
pub mod start;
pub mod tensorboard;
pub mod text;
pub mod timeline;
pub mod trainer;
pub mod validation;
pub mod warnings;

pub use anchor::{Anchor, anchors};
pub use assign::{CenterRadius, Match, assign};
pub use dry_run::dry_run;
pub use engine::{Batch, Engine, HeadOutput};
pub use loss::{LossSettings, Losses, loss};
pub use sample::{LabelledBatch, Object};

//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod anchor;
mod assign;
mod dry_run;
mod ema;
mod engine;
pub mod loader;
mod loss;
mod native;
mod norm;
mod optimizer;
mod sample;
mod schedule;
mod transfer;

pub use anchor::{Anchor, anchors};
pub use assign::{CenterRadius, Match, assign};
pub use dry_run::dry_run;
pub use ema::Ema;
pub use engine::{Batch, Engine, HeadOutput};
pub use loss::{LossSettings, Losses, loss};
pub use native::NativeEngine;
pub use norm::{recreate_norm, unfolded};
pub use optimizer::Sgd;
pub use sample::{LabelledBatch, Object};
pub use schedule::Schedule;
pub use transfer::{Fate, TransferReport, transfer};

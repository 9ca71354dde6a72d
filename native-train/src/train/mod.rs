//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod anchor;
mod assign;
mod engine;
mod loss;
mod sample;

pub use anchor::{Anchor, anchors};
pub use assign::{CenterRadius, Match, assign};
pub use engine::{Batch, Engine, HeadOutput};
pub use loss::{LossSettings, Losses, loss};
pub use sample::{LabelledBatch, Object};

//! Training: plain Rust on flat arrays, around an [`Engine`] that computes the network forward and backward.

mod anchor;
mod assign;
mod candle;
pub mod checkpoint;
pub mod console;
mod device;
pub mod distill;
mod dry_run;
mod ema;
mod engine;
pub mod flags;
pub mod init;
pub mod interrupt;
pub mod loader;
mod loss;
pub mod metrics;
mod native;
mod norm;
mod optimizer;
pub mod pace;
pub mod plan;
pub mod report;
pub mod run_folder;
mod sample;
mod schedule;
pub mod settings;
pub mod start;
pub mod tensorboard;
pub mod text;
pub mod timeline;
#[cfg(feature = "torch")]
mod torch;
pub mod trainer;
mod transfer;
pub mod validation;
pub mod warnings;

pub use anchor::{Anchor, anchors};
pub use assign::{CenterRadius, Match, assign};
pub use candle::CandleEngine;
pub use device::{DeviceName, EngineChoice, EngineName, Precision};
pub use dry_run::dry_run;
pub use ema::Ema;
pub use engine::{Batch, Engine, HeadOutput, Lesson, OutputGradients, Outputs};
pub use loss::{BoxLoss, ClassLoss, LossSettings, Losses, ObjectnessTarget, loss};
pub use native::NativeEngine;
pub use norm::{recreate_norm, settle_norm, unfolded};
pub use optimizer::{Optimizer, OptimizerName, OptimizerSettings, OptimizerState};
pub use sample::{LabelledBatch, Object};
pub use schedule::Schedule;
#[cfg(feature = "torch")]
pub use torch::TorchEngine;
pub use transfer::{Fate, TransferReport, transfer};

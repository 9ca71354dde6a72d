//! Pruning: how much each channel matters (`importance`), and which of them leave so that the network becomes small enough
//! (`selection`). What can leave at all, and the network without it, are [`shared_model::dependency_groups`] and
//! [`shared_model::Weights::without`].

mod importance;
mod selection;

pub use importance::{ChannelScores, Criterion, by_weights, taylor};
pub use selection::{Limits, Measure, select};

//! The picture of a network, without a browser: what kind each layer is, where it stands, what leads where, and what of
//! it differs from another network. [`super::views`] draws it.

mod blocks;
mod differences;
mod kind;
mod layout;
mod route;

pub use blocks::Part;
pub use differences::{Change, Difference, Differences, differences};
pub use kind::{Kind, symbol};
pub use layout::{Anchor, Block, CELL, Lane, Plan, Span, plan};

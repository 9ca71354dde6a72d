//! The picture of a network, without a browser: what kind each layer is, where it stands, what leads where, and what of
//! it differs from another network. [`super::views`] draws it.

mod differences;
mod kind;
mod layout;
mod route;

pub use differences::{Change, Difference, Differences, differences};
pub use kind::{LayerKind, symbol};
pub use layout::{BlockFrame, CELL, Diagram, LabelSide, Lane, Span, lay_out};

//! YOLOX-nano and its structural variants: one definition of every network, what it costs, its weights, and a runtime
//! that turns a picture into boxes, natively and in WebAssembly.

mod backbone;
mod blocks;
mod cost;
mod ghost;
pub mod graph;
mod head;
mod neck;
mod variant;

pub use cost::{Cost, LayerCost, cost};
pub use graph::Graph;
pub use variant::{UnknownVariant, VARIANTS, Variant};

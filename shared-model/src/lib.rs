//! YOLOX-nano and its structural variants: one definition of every network, what it costs, its weights, and a runtime
//! that turns an image into boxes, natively and in WebAssembly.

// Other crates here have no readers but this project's, who need no sentence where a name says all.
#![warn(missing_docs)]

mod anchor;
pub mod annotations;
pub mod candle;
mod classes;
mod colour;
mod detection;
mod detector;
pub mod evaluation;
mod kernels;
pub mod lowering;
mod manifest;
mod memory;
mod model;
mod pixels;
mod runtime;
pub mod training;
pub mod voc;

pub use anchor::{Anchor, anchors};
pub use classes::{COCO_CLASSES, VOC_CLASSES, canonical_class};
pub use colour::Colour;
pub use detection::{BBox, Detection, clip, decode, nms, to_image};
pub use detector::{Detector, Input};
pub use manifest::{
    MANIFEST_VERSION, Manifest, ManifestEntry, ManifestError, Protocol, Reported, ReportedFigures, SmallFile,
};
pub use model::cost::{Cost, LayerCost, cost};
pub use model::graph;
pub use model::graph::{Graph, NormState};
pub use model::head::STRIDES;
pub use model::layout::{NormRanges, ParameterLayout};
pub use model::prune::{Channel, CoupledChannels, Group, dependency_groups};
pub use model::variant::{UnknownVariant, VARIANTS, Variant};
pub use model::weights::{
    ColourOrder, FORMAT_VERSION, Metadata, NEWEST_FORMAT_VERSION, PRUNED_FORMAT_VERSION, WeightPrecision, WeightTensor,
    Weights, WeightsError,
};
pub use model::widths::{Channels, ChannelsError};
pub use pixels::colour_shift::ColourShift;
pub use pixels::letterbox::{Image, ImageError, Letterbox, PAD, letterbox};
pub use pixels::warp::Quads;
pub use runtime::Network;
pub use training::Training;

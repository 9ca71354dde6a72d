//! YOLOX-nano and its structural variants: one definition of every network, what it costs, its weights, and a runtime
//! that turns a picture into boxes, natively and in WebAssembly.

mod backbone;
mod blocks;
pub mod candle;
mod classes;
mod colour;
mod cost;
mod detection;
mod detector;
mod ghost;
pub mod graph;
mod head;
mod init;
mod kernels;
mod layout;
pub mod lowering;
mod manifest;
mod memory;
mod neck;
mod picture;
mod runtime;
pub mod training;
mod variant;
pub mod voc;
mod weights;

pub use classes::{COCO_CLASSES, VOC_CLASSES, canonical_class};
pub use colour::Colour;
pub use cost::{Cost, LayerCost, cost};
pub use detection::{BBox, Detection, clip, decode, nms, to_picture};
pub use detector::{Detector, Input};
pub use graph::{Graph, NormState};
pub use head::STRIDES;
pub use kernels::colour::ColourShift;
pub use kernels::warp::Quads;
pub use layout::ParameterLayout;
pub use manifest::{MANIFEST_VERSION, Manifest, ManifestEntry, ManifestError, Protocol};
pub use picture::{Letterbox, PAD, Picture, PictureError, letterbox};
pub use runtime::Network;
pub use training::Training;
pub use variant::{UnknownVariant, VARIANTS, Variant};
pub use weights::{ColourOrder, FORMAT_VERSION, Metadata, Precision, WeightTensor, Weights, WeightsError};

//! Weights from Megvii's ONNX files of YOLOX-nano, recognised by what the network computes, not by its names.

mod file;
mod focus;
mod output;
mod recognise;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use shared_model::{ColourOrder, FORMAT_VERSION, Metadata, NormState, Variant, Weights, WeightsError};

use crate::data::coco;
use file::OnnxFile;
use recognise::Recogniser;

/// What was found instead of what was wanted, as the end of a sentence.
type Found<T> = Result<T, String>;

/// The variant that Megvii publishes.
const VARIANT: &str = "baseline";

/// Why an ONNX file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No ONNX file, or one cut short.
    #[error("not a complete ONNX file ({0}): was the download or the copy cut short?")]
    NotOnnx(String),
    /// The picture goes in otherwise than in Megvii's network.
    #[error("the network's input is {0}, but Megvii's YOLOX-nano takes (1, 3, side, side) in single precision")]
    Input(String),
    /// A layer is not what Megvii's network has in its place.
    #[error("not Megvii's YOLOX-nano: where its layer \"{layer}\" ({operation}) must be, {found}")]
    Misfit {
        /// Name of the layer in the official PyTorch code.
        layer: String,
        /// What it computes.
        operation: String,
        /// What was found instead.
        found: String,
    },
    /// It has all of YOLOX-nano's layers and more.
    #[error("not Megvii's YOLOX-nano alone: {count} of its operations are left over, the first a {operation}")]
    LeftOver {
        /// How many.
        count: usize,
        /// Name of the first operation.
        operation: String,
    },
    /// The class names are not known.
    #[error("the network has {0} classes, not COCO's 80: name them with --classes FILE, one a line")]
    UnnamedClasses(usize),
    /// Not one name a class.
    #[error("the network has {classes} classes, but {names} names were given")]
    ClassNames {
        /// Classes of the network.
        classes: usize,
        /// Names given.
        names: usize,
    },
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Weights of the baseline from the bytes of an ONNX file. The classes get COCO's names, where `class_names` has none
/// and there are 80; `source` says where the weights come from.
///
/// # Errors
/// [`ImportError`] says what does not fit.
pub fn import(bytes: &[u8], class_names: Option<Vec<String>>, source: String) -> Result<Weights, ImportError> {
    let file = OnnxFile::parse(bytes)?;
    let input_size = file.input_size()?;
    let classes = output::class_count(&file)?;
    let class_names = match class_names {
        Some(names) if names.len() != classes => return Err(ImportError::ClassNames { classes, names: names.len() }),
        Some(names) => names,
        None if classes == coco::CLASSES.len() => coco::CLASSES.map(String::from).to_vec(),
        None => return Err(ImportError::UnnamedClasses(classes)),
    };
    let variant = Variant::named(VARIANT).map_err(WeightsError::from)?;
    let graph = variant.graph(classes);
    let tensors = Recogniser::new(&file, &graph).tensors()?;
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        variant: VARIANT.into(),
        class_names,
        colour_order: ColourOrder::Bgr,
        input_size,
        norm: NormState::Folded,
        source,
        training: None,
    };
    let weights = Weights { metadata, tensors };
    weights.check(&graph)?;
    Ok(weights)
}

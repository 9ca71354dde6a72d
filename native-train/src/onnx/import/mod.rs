//! Weights from ONNX files of YOLOX-nano and its variants, Megvii's and our own, recognised by what the network
//! computes, not by its names.

mod convolution;
mod file;
mod output;
mod recognise;
mod stem;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use shared_model::{
    COCO_CLASSES, ColourOrder, FORMAT_VERSION, Metadata, NormState, VARIANTS, WeightTensor, Weights, WeightsError,
};

use file::OnnxFile;
use recognise::Recogniser;

/// What was found instead of what was wanted, as the end of a sentence.
type Found<T> = Result<T, String>;

/// Why an ONNX file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No ONNX file, or one cut short.
    #[error("not a complete ONNX file ({0}): was the download or the copy cut short?")]
    NotOnnx(String),
    /// The picture goes in otherwise than in YOLOX-nano.
    #[error("the network's input is {0}, but YOLOX-nano takes (1, 3, side, side) in single precision")]
    Input(String),
    /// A layer is not what a variant has in its place.
    #[error(
        "no variant of YOLOX-nano: {variant} is the nearest, but where its layer \"{layer}\" ({operation}) must be, \
         {found}"
    )]
    Misfit {
        /// The variant that has most in common with the network.
        variant: &'static str,
        /// Name of the layer in the official PyTorch code.
        layer: String,
        /// What it computes.
        operation: String,
        /// What was found instead.
        found: String,
    },
    /// The predictions do not become the output as in YOLOX.
    #[error("no variant of YOLOX-nano: {0}")]
    Output(String),
    /// It has all of a variant's layers and more.
    #[error("not the variant {variant} alone: {count} of its operations are left over, the first a {operation}")]
    LeftOver {
        /// The variant.
        variant: &'static str,
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
    /// A file of this program's, but its metadata cannot be read.
    #[error("the ONNX file's metadata cannot be read: {0}")]
    Metadata(#[from] serde_json::Error),
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Weights from the bytes of an ONNX file. Files of this program's say themselves what they are; of others, the classes
/// get COCO's names where there are 80, and `name`, what the file is called, tells where the weights come from.
/// `class_names` come before both.
///
/// # Errors
/// [`ImportError`] says what does not fit.
pub fn import(bytes: &[u8], class_names: Option<Vec<String>>, name: &str) -> Result<Weights, ImportError> {
    let file = OnnxFile::parse(bytes)?;
    let classes = output::class_count(&file)?;
    let mut metadata = match file.metadata()? {
        Some(metadata) => metadata,
        None => foreign_metadata(&file, classes, class_names.is_some(), name)?,
    };
    if let Some(names) = class_names {
        metadata.class_names = names;
    }
    let names = metadata.class_names.len();
    if names != classes {
        return Err(ImportError::ClassNames { classes, names });
    }
    let tensors;
    (metadata.variant, tensors) = recognise(&file, classes)?;
    let weights = Weights { metadata, tensors };
    weights.check(&weights.graph().map_err(WeightsError::from)?)?;
    Ok(weights)
}

/// What is known about a file that says nothing about itself.
fn foreign_metadata(file: &OnnxFile, classes: usize, named: bool, name: &str) -> Result<Metadata, ImportError> {
    let [_, height, width] = file.input_shape()?;
    if height != width {
        return Err(ImportError::Input(format!("{height} x {width} pixels")));
    }
    if !named && classes != COCO_CLASSES.len() {
        return Err(ImportError::UnnamedClasses(classes));
    }
    Ok(Metadata {
        format_version: FORMAT_VERSION,
        variant: String::new(),
        class_names: COCO_CLASSES.map(String::from).to_vec(),
        colour_order: ColourOrder::Bgr,
        input_size: height,
        norm: NormState::Folded,
        source: format!("imported from {name}"),
        training: None,
    })
}

/// The variant that the file holds, and its kernels and biases by name.
fn recognise(file: &OnnxFile, classes: usize) -> Result<(String, BTreeMap<String, WeightTensor>), ImportError> {
    let mut nearest = None;
    for variant in &VARIANTS {
        let graph = variant.graph(classes);
        let mut recogniser = Recogniser::new(file, &graph)?;
        match recogniser.tensors(variant.name) {
            Ok(tensors) => return Ok((variant.name.into(), tensors)),
            Err(error) => {
                let reached = recogniser.recognised();
                if nearest.as_ref().is_none_or(|(most, _)| reached > *most) {
                    nearest = Some((reached, error));
                }
            }
        }
    }
    let (_, error) = nearest.expect("there are variants");
    Err(error)
}

//! Weights from ONNX files of YOLOX-nano and its variants, whichever program wrote them, recognised by what the network
//! computes, not by its names.
//!
//! `file.rs` reads, `normalise.rs` brings every spelling into one, `recognise.rs` compares that with the variants. The first
//! operation and the last ones have too many spellings for that: they are computed (`compute/`) and their results
//! compared. Nothing that a file says is believed before it is checked; what is computed has a budget.

mod compute;
mod convolution;
mod file;
mod head;
mod normalise;
mod operation;
mod output;
mod recognise;
mod stem;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

use shared_model::{Metadata, NormState, VARIANTS, Variant, WeightTensor, Weights, WeightsError};

use crate::foreign::{DEFAULT_SIDE, Source, UnnamedClasses};
use file::OnnxFile;
use normalise::normalise;
use recognise::Recogniser;

/// What was found instead of what was wanted, as the end of a sentence.
type Recognised<T> = Result<T, String>;

/// Why an ONNX file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No ONNX file, or one cut short.
    #[error("not a complete ONNX file ({0}): was the download or the copy cut short?")]
    NotOnnx(String),
    /// The image goes in otherwise than in YOLOX-nano.
    #[error(
        "the network's input is {0}, but YOLOX-nano takes (1, 3, side, side) in real numbers, sides multiples of 32"
    )]
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
    /// Operations that are not ONNX's own.
    #[error(
        "its operation {operation} of \"{domain}\" is none of ONNX's own: such files are made for one program alone; \
         export the network anew, without optimisation for that program, or simplify the file with onnxslim"
    )]
    Domain {
        /// Name of the first operation.
        operation: String,
        /// Whose it is.
        domain: String,
    },
    /// Far more operations than any variant has.
    #[error("no variant of YOLOX-nano: it has {0} operations")]
    Operations(usize),
    /// Images are so many or so large that not everything can be checked.
    #[error(
        "its images are too many or too large to check what it computes: export it for one image of 416 x 416 pixels"
    )]
    TooLarge,
    /// Weights that lie in another file, which cannot be used.
    #[error(
        "its weights are in the file \"{file}\" beside it, which cannot be used ({cause}): keep both files together, or \
         export with external_data=False"
    )]
    External {
        /// What the other file is called.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The class names are not known.
    #[error(transparent)]
    UnnamedClasses(#[from] UnnamedClasses),
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
/// get the names that `source` has for so many. Its names come before both.
///
/// # Errors
/// [`ImportError`] says what does not fit.
pub fn import(bytes: &[u8], source: &Source) -> Result<Weights, ImportError> {
    let file = OnnxFile::parse(bytes, source)?;
    let said = file.metadata()?;
    let batch = file.input_shape.batch.unwrap_or(1);
    let mut first_error = None;
    for [height, width] in sides(&file, said.as_ref().map(|metadata| metadata.input_size)) {
        match recognise(&file, [batch, height, width], said.as_ref()) {
            Ok((variant, classes, tensors)) => {
                let mut metadata = match said {
                    Some(metadata) => metadata,
                    None if height != width => return Err(ImportError::Input(format!("{height} x {width} pixels"))),
                    None => source.metadata("", classes, height, NormState::Fused)?,
                };
                if let Some(names) = &source.class_names {
                    metadata.class_names.clone_from(names);
                }
                let names = metadata.class_names.len();
                if names != classes {
                    return Err(ImportError::ClassNames { classes, names });
                }
                metadata.variant = variant.into();
                let weights = Weights { metadata, tensors };
                weights.check(&weights.graph()?)?;
                return Ok(weights);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(ImportError::TooLarge))
}

/// Heights and widths of the image that the file may be made for; `said` is what it says it is best with.
fn sides(file: &OnnxFile, said: Option<usize>) -> Vec<[usize; 2]> {
    match file.input_shape.sides {
        [Some(height), Some(width)] => vec![[height, width]],
        [Some(side), None] | [None, Some(side)] => vec![[side; 2]],
        // Any size will do, unless boxes are decoded by constants of one size.
        [None, None] => said.into_iter().chain([DEFAULT_SIDE, 640, 320, 512, 256]).map(|side| [side; 2]).collect(),
    }
}

/// The variant that the file holds, the number of its classes, and its kernels and biases by name. A file that says of itself (`said`)
/// that its network is pruned is compared with that one alone.
fn recognise(
    file: &OnnxFile,
    input_shape: [usize; 3],
    said: Option<&Metadata>,
) -> Result<(&'static str, usize, BTreeMap<String, WeightTensor>), ImportError> {
    let mut network = normalise(file, input_shape)?;
    let classes = network.sort()?;
    let space_to_depth = network.space_to_depth()?;
    if let Some(said) = said.filter(|said| !said.channels.is_empty()) {
        let variant = Variant::named(&said.variant).map_err(WeightsError::from)?;
        let graph = variant.graph(classes).with_channels(&said.channels).map_err(WeightsError::from)?;
        let tensors = Recogniser::new(&network, &graph).tensors(variant.name, space_to_depth.as_deref())?;
        return Ok((variant.name, classes, tensors));
    }
    let mut nearest = None;
    for variant in &VARIANTS {
        let graph = variant.graph(classes);
        let mut recogniser = Recogniser::new(&network, &graph);
        match recogniser.tensors(variant.name, space_to_depth.as_deref()) {
            Ok(tensors) => return Ok((variant.name, classes, tensors)),
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

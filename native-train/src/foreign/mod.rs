//! Weights in whatever file they come: this program's, another one's safetensors, ONNX, PyTorch. What a file is, its
//! content tells, not its name; what cannot be read gets a sentence that says what it is and what to do.

mod content;
mod pickle;
mod state_dict;
#[cfg(test)]
mod tests;
mod torch;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use shared_model::{
    COCO_CLASSES, Channels, ColourOrder, FORMAT_VERSION, Metadata, NormState, VOC_CLASSES, Weights, WeightsError,
};

use crate::onnx;
use content::Content;

/// Side of the image in pixels that YOLOX-nano is trained for, where a file says nothing.
pub const DEFAULT_SIDE: usize = 416;

/// Longest file that is read, in bytes: the largest variant's weights have 8 million, checkpoints a few times as many.
const MAX_BYTES: u64 = 1 << 30;

/// What is known about a file besides its bytes.
#[derive(Clone, Debug, Default)]
pub struct Source<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Where files that belong to it are.
    pub folder: Option<&'a Path>,
    /// Names of the classes, in the order of the network's outputs; they come before those in the file.
    pub class_names: Option<Vec<String>>,
}

/// The file does not name its classes, and their number does not tell.
#[derive(Debug, thiserror::Error)]
#[error(
    "the network has {0} classes, not COCO's 80 or Pascal VOC's 20, and the file does not name them: write their names \
     into a text file, one a line, and make a weight file: yolox-nano import FILE --classes NAMES.txt --out \
     NEW.safetensors"
)]
pub struct UnnamedClasses(pub usize);

impl Source<'_> {
    /// What is known about weights that say nothing about themselves: images as YOLOX reads them, and classes by their
    /// number.
    ///
    /// # Errors
    /// Fails where the names of the classes are not known.
    pub fn metadata(
        &self,
        variant: &str,
        classes: usize,
        input_size: usize,
        norm: NormState,
    ) -> Result<Metadata, UnnamedClasses> {
        let class_names = match &self.class_names {
            Some(names) => names.clone(),
            None if classes == COCO_CLASSES.len() => COCO_CLASSES.map(String::from).into(),
            None if classes == VOC_CLASSES.len() => VOC_CLASSES.map(String::from).into(),
            None => return Err(UnnamedClasses(classes)),
        };
        Ok(Metadata {
            format_version: FORMAT_VERSION,
            variant: variant.into(),
            channels: Channels::default(),
            class_names,
            colour_order: ColourOrder::Bgr,
            input_size,
            norm,
            source: format!("imported from {}", self.name),
            training: None,
        })
    }
}

/// Reads the weights in a file of any of the formats.
///
/// # Errors
/// Fails, naming the file, what is wrong with it and what to do, where there are none that fit a variant.
pub fn read(path: &Path, class_names: Option<Vec<String>>) -> Result<Weights> {
    let bytes = read_bytes(path).with_context(|| format!("the weight file {} cannot be read", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let source = Source { name: &name, folder: Some(path.parent().unwrap_or(Path::new(""))), class_names };
    parse(&bytes, &source).with_context(|| path.display().to_string())
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("it has more than {} MiB: weights of these networks have a hundredth of that", MAX_BYTES >> 20);
    }
    Ok(bytes)
}

/// Weights from the bytes of a file.
///
/// # Errors
/// Fails where the bytes are no weights that fit a variant, and says what they are.
pub fn parse(bytes: &[u8], source: &Source) -> Result<Weights> {
    match Content::of(bytes)? {
        Content::Safetensors => match (Weights::from_bytes(bytes), &source.class_names) {
            (Err(WeightsError::NoMetadata), _) => state_dict::safetensors(bytes, source),
            (Ok(mut weights), Some(names)) => {
                let classes = weights.metadata.class_names.len();
                if names.len() != classes {
                    bail!("the network has {classes} classes, but {} names were given", names.len());
                }
                weights.metadata.class_names.clone_from(names);
                Ok(weights)
            }
            (weights, _) => Ok(weights?),
        },
        Content::Torch => torch::parse(bytes, source),
        Content::Onnx => Ok(onnx::import(bytes, source)?),
    }
}

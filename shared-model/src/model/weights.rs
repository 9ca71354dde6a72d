//! Weight files: named tensors and what is needed to use them, in the safetensors format.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::model::graph::{Graph, NormState};
use crate::model::quantize::{QuantizedKernel, dequantize, quantize};
use crate::model::variant::{UnknownVariant, Variant};
use crate::model::widths::{Channels, ChannelsError};

/// The only key of the file's metadata; its value is [`Metadata`] as JSON.
const METADATA_KEY: &str = "yolox-nano";

/// Version of the format that this code writes for networks with all of their variant's channels.
pub const FORMAT_VERSION: u32 = 1;

/// What it writes for pruned networks.
pub const PRUNED_FORMAT_VERSION: u32 = 2;

/// The newest version that this code reads, and writes for kernels in a byte a number.
pub const NEWEST_FORMAT_VERSION: u32 = 3;

/// What is added to a kernel's name for the scales of its output channels, and of its input channels.
const SCALES: [&str; 2] = [".scale", ".input_scale"];

/// Order of the colour channels in the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Blue, green, red: OpenCV's, and so YOLOX's.
    Bgr,
    /// Red, green, blue.
    Rgb,
}

/// What a weight file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the format, by [`Channels::format_version`].
    pub format_version: u32,
    /// Name of the [`Variant`].
    pub variant: String,
    /// Channels, where pruning has left fewer than the variant has.
    #[serde(default, skip_serializing_if = "Channels::is_empty")]
    pub channels: Channels,
    /// Names of the classes, in the order of the network's outputs.
    pub class_names: Vec<String>,
    /// Colour order of the input, whose values are 0-255.
    pub colour_order: ColourOrder,
    /// Side in pixels of the square that images are fitted into by default.
    pub input_size: usize,
    /// Whether batch normalisation is still there.
    pub norm: NormState,
    /// Where the weights come from, in a sentence.
    pub source: String,
    /// How they were trained (recipe, data, results), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<serde_json::Value>,
}

/// A named array.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightTensor {
    /// As PyTorch has it: output channels first.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub values: Vec<f32>,
}

/// How numbers are written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightPrecision {
    /// Single precision: lossless.
    Single,
    /// Half precision: half the bytes. Running statistics that it cannot hold stay in single precision.
    Half,
    /// As half precision, but large kernels take a byte a number: for downloads, not for training on.
    Int8,
}

/// A network's parameters and statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// What the file says about itself.
    pub metadata: Metadata,
    /// The arrays by name.
    pub tensors: BTreeMap<String, WeightTensor>,
}

/// Why bytes are no usable weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// No safetensors file, or one cut short.
    #[error("not a complete .safetensors file ({0}): was the download or the copy cut short?")]
    NotSafetensors(#[from] safetensors::SafeTensorError),
    /// A safetensors file of another program.
    #[error("a .safetensors file without yolox-nano's metadata: it was not written by `yolox-nano`")]
    NoMetadata,
    /// Metadata that this program cannot read.
    #[error("the weight file's metadata cannot be read: {0}")]
    BadMetadata(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error(
        "the weight file has format version {0}, newer than this program's ({NEWEST_FORMAT_VERSION}): update the program"
    )]
    Newer(u32),
    /// An unknown variant.
    #[error(transparent)]
    Variant(#[from] UnknownVariant),
    /// Numbers of channels that make no network.
    #[error("the weight file's numbers of channels make no network: {0}")]
    Channels(#[from] ChannelsError),
    /// Metadata that contradicts itself.
    #[error("the weight file's metadata is wrong: {0}")]
    Inconsistent(String),
    /// An array in a number format that is not supported.
    #[error("tensor \"{name}\" holds {dtype:?}: only F32, F16, and I8 for kernels are supported")]
    Dtype {
        /// Which.
        name: String,
        /// Its format.
        dtype: Dtype,
    },
    /// A kernel in a byte a number whose scales are missing, or of another number.
    #[error("the kernel \"{name}\" cannot be read: {what}")]
    Scales {
        /// Which.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// NaN or infinity.
    #[error("tensor \"{0}\" holds a value that is not finite: the training that wrote it had diverged")]
    NotFinite(String),
    /// A parameter that half precision cannot hold.
    #[error("tensor \"{name}\" holds {value:e}, which half precision ends before (at {:e})", f16::MAX)]
    TooLarge {
        /// Which.
        name: String,
        /// The first such value.
        value: f32,
    },
    /// Names or shapes differ from the variant's.
    #[error("the weights do not fit the variant \"{variant}\": {}", problems.join("; "))]
    Misfit {
        /// Its name in the table of variants.
        variant: String,
        /// What is missing, extra or misshapen.
        problems: Vec<String>,
    },
}

impl Weights {
    /// Reads a weight file and checks that it is complete: every tensor of its variant is there with its shape, no
    /// other, all values finite.
    ///
    /// # Errors
    /// [`WeightsError`] says what is wrong with the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WeightsError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let json = header.metadata().as_ref().and_then(|all| all.get(METADATA_KEY)).ok_or(WeightsError::NoMetadata)?;
        let version: FormatVersion = serde_json::from_str(json)?;
        if version.format_version > NEWEST_FORMAT_VERSION {
            return Err(WeightsError::Newer(version.format_version));
        }
        let mut metadata: Metadata = serde_json::from_str(json)?;
        metadata.check()?;
        // In memory all numbers are alike.
        metadata.format_version = metadata.channels.format_version();

        let file = SafeTensors::deserialize(bytes)?;
        let kernels: BTreeSet<&str> =
            file.iter().filter(|(_, view)| view.dtype() == Dtype::I8).map(|(name, _)| name).collect();
        let is_scale =
            |name: &str| SCALES.iter().any(|end| name.strip_suffix(end).is_some_and(|of| kernels.contains(of)));
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter().filter(|(name, _)| !is_scale(name)) {
            let values = if kernels.contains(name) { kernel(&file, name, &view)? } else { numbers(name, &view)? };
            if !values.iter().all(|value| value.is_finite()) {
                return Err(WeightsError::NotFinite(name.into()));
            }
            tensors.insert(name.into(), WeightTensor { shape: view.shape().to_vec(), values });
        }
        let weights = Self { metadata, tensors };
        weights.check(&weights.graph()?)?;
        Ok(weights)
    }

    /// The bytes of a weight file.
    ///
    /// # Errors
    /// Fails where the metadata or a shape cannot be written, or half precision does not hold a parameter.
    pub fn to_bytes(&self, precision: WeightPrecision) -> Result<Vec<u8>, WeightsError> {
        let statistics: BTreeSet<_> = match precision {
            WeightPrecision::Single => BTreeSet::new(),
            WeightPrecision::Half | WeightPrecision::Int8 => {
                let parameters = self.graph()?.parameters(self.metadata.norm);
                parameters.into_iter().filter(|parameter| !parameter.trainable).map(|p| p.name).collect()
            }
        };
        let mut data = Vec::new();
        for (name, tensor) in &self.tensors {
            let quantized = if precision == WeightPrecision::Int8 { quantize(tensor) } else { None };
            let (dtype, bytes) = match (precision, too_large(tensor), quantized) {
                (_, _, Some(QuantizedKernel { values, scale, input_scale })) => {
                    for (end, scale) in SCALES.into_iter().zip([scale, input_scale]) {
                        data.push((format!("{name}{end}"), vec![scale.len()], Dtype::F32, single(&scale)));
                    }
                    (Dtype::I8, values.iter().flat_map(|value| value.to_le_bytes()).collect())
                }
                (WeightPrecision::Single, ..) => (Dtype::F32, single(&tensor.values)),
                (_, None, _) => (Dtype::F16, half(&tensor.values)),
                // Variances of the layers near the image, whose values go to 255, grow beyond 65,504.
                (_, Some(_), _) if statistics.contains(name) => (Dtype::F32, single(&tensor.values)),
                (_, Some(value), _) => return Err(WeightsError::TooLarge { name: name.clone(), value }),
            };
            data.push((name.clone(), tensor.shape.clone(), dtype, bytes));
        }
        let mut views = Vec::new();
        for (name, shape, dtype, bytes) in &data {
            views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?));
        }
        let mut metadata = self.metadata.clone();
        if data.iter().any(|(_, _, dtype, _)| *dtype == Dtype::I8) {
            metadata.format_version = NEWEST_FORMAT_VERSION;
        }
        let metadata = [(METADATA_KEY.to_string(), serde_json::to_string(&metadata)?)];
        Ok(serialize(views, Some(metadata.into_iter().collect()))?)
    }

    /// The network these weights belong to.
    ///
    /// # Errors
    /// Fails where the variant is unknown, or has no network with these channels.
    pub fn graph(&self) -> Result<Graph, WeightsError> {
        Ok(self.metadata.variant_graph()?.with_channels(&self.metadata.channels)?)
    }

    /// Checks that these are all of `graph`'s tensors and no others.
    ///
    /// # Errors
    /// [`WeightsError::Misfit`] names what is missing, extra or misshapen.
    pub fn check(&self, graph: &Graph) -> Result<(), WeightsError> {
        let expected = graph.parameters(self.metadata.norm);
        let names: BTreeSet<&str> = expected.iter().map(|parameter| parameter.name.as_str()).collect();
        let mut problems = Vec::new();
        for parameter in &expected {
            match self.tensors.get(&parameter.name) {
                None => problems.push(format!("\"{}\" is missing", parameter.name)),
                Some(tensor) if tensor.shape != parameter.shape => problems.push(format!(
                    "\"{}\" has shape {:?} instead of {:?}",
                    parameter.name, tensor.shape, parameter.shape
                )),
                Some(_) => {}
            }
        }
        let extra = self.tensors.keys().filter(|name| !names.contains(name.as_str()));
        problems.extend(extra.map(|name| format!("\"{name}\" does not belong to it")));
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(WeightsError::Misfit { variant: self.metadata.variant.clone(), problems })
    }
}

/// A kernel in a byte a number, by the scales beside it.
fn kernel(file: &SafeTensors, name: &str, view: &TensorView) -> Result<Vec<f32>, WeightsError> {
    let scales = |end: &str| {
        let name = format!("{name}{end}");
        let missing = |_| WeightsError::Scales { name: name.clone(), what: "it is missing".into() };
        numbers(&name, &file.tensor(&name).map_err(missing)?)
    };
    let values = view.data().iter().map(|&byte| i8::from_le_bytes([byte])).collect();
    let kernel = QuantizedKernel { values, scale: scales(SCALES[0])?, input_scale: scales(SCALES[1])? };
    dequantize(&kernel, view.shape()).map_err(|what| WeightsError::Scales { name: name.into(), what })
}

/// The values of any other tensor.
fn numbers(name: &str, view: &TensorView) -> Result<Vec<f32>, WeightsError> {
    match view.dtype() {
        Dtype::F32 => Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::F16 => Ok(view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
        dtype => Err(WeightsError::Dtype { name: name.into(), dtype }),
    }
}

fn single(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn half(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
}

/// The first finite value that is infinite in half precision.
fn too_large(tensor: &WeightTensor) -> Option<f32> {
    tensor.values.iter().copied().find(|&value| value.is_finite() && f16::from_f32(value).is_infinite())
}

/// Misfits named in an error: a wrong variant has hundreds.
const MAX_PROBLEMS: usize = 6;

#[derive(Deserialize)]
struct FormatVersion {
    format_version: u32,
}

impl Metadata {
    /// The variant's network with all its channels.
    pub(crate) fn variant_graph(&self) -> Result<Graph, UnknownVariant> {
        Ok(Variant::named(&self.variant)?.graph(self.class_names.len()))
    }

    fn check(&self) -> Result<(), WeightsError> {
        let wrong = |what: String| Err(WeightsError::Inconsistent(what));
        if self.class_names.is_empty() {
            return wrong("there are no class names".into());
        }
        let names: BTreeSet<_> = self.class_names.iter().collect();
        if names.len() != self.class_names.len() {
            return wrong("a class name occurs twice".into());
        }
        let multiple = crate::model::graph::SIZE_MULTIPLE;
        if self.input_size == 0 || !self.input_size.is_multiple_of(multiple) || self.input_size > 4096 {
            return wrong(format!("input size {} is no multiple of {multiple} up to 4096", self.input_size));
        }
        Ok(())
    }
}

//! ONNX files for onnxruntime, ncnn, OpenVINO and whatever else reads them, written from a network's definition.

mod layers;
mod predictions;
mod writer;

use prost::Message;
use shared_model::{ColourOrder, PAD, Weights, WeightsError};

use super::METADATA_KEY;
use super::proto::{
    Dimension, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto, data_type,
};
use writer::Writer;

/// Version of the file format that belongs to opset 11.
const IR_VERSION: i64 = 6;

/// The operations' version, which Megvii's files have too: the oldest with the resizing that is needed, so that the
/// largest number of programs read it.
pub(crate) const OPSET: i64 = 11;

/// Name of the network's input.
pub const INPUT: &str = "images";
/// Name of the network's output.
pub const OUTPUT: &str = "output";

/// What an ONNX file's output is: (batch, anchors, 5 + classes), a row `x, y, w, h, objectness, classes` an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputForm {
    /// Boxes in strides relative to their anchors, logits of objectness and classes: the head's output as it is.
    Raw,
    /// Boxes likewise, probabilities of objectness and classes: what Megvii's files have, and programs for them expect.
    Yolox,
    /// Boxes as centre and size in pixels of the input, probabilities of objectness and classes.
    Decoded,
}

impl OutputForm {
    /// A row of the output, in words.
    pub fn row(self) -> &'static str {
        match self {
            Self::Raw => "x, y, log w, log h in strides from the anchor, logits of objectness and of each class",
            Self::Yolox => {
                "x, y, log w, log h in strides from the anchor, probabilities of objectness and of each class"
            }
            Self::Decoded => "centre x, y, w, h in pixels of the input, probabilities of objectness and of each class",
        }
    }
}

/// What an ONNX file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Images at once.
    pub batch: usize,
    /// Rows of an image in pixels, a multiple of 32.
    pub height: usize,
    /// Columns of an image in pixels, a multiple of 32.
    pub width: usize,
    pub output: OutputForm,
}

/// Why a network cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The metadata cannot be written.
    #[error("the metadata cannot be written: {0}")]
    Metadata(#[from] serde_json::Error),
}

/// The bytes of an ONNX file of the network with `weights`: batch normalisation folded, single precision.
///
/// Input `images`: (batch, 3, height, width), in the weights' colour order, 0-255. OutputForm `output`: (batch, anchors,
/// 5 + classes), see [`OutputForm`].
///
/// # Errors
/// [`ExportError`] says what does not fit.
pub fn export(weights: &Weights, export: &Export) -> Result<Vec<u8>, ExportError> {
    let weights = weights.fused()?;
    let graph = weights.graph()?;
    let mut writer = Writer::default();
    let mut values: Vec<String> = Vec::new();
    for layer in &graph.layers {
        let inputs: Vec<&str> = layer.inputs.iter().map(|input| values[input.0].as_str()).collect();
        let value = layers::layer(&mut writer, &graph, layer, &inputs, &weights);
        values.push(value);
    }
    predictions::predictions(&mut writer, &graph, &values, export);

    let Export { batch, height, width, .. } = *export;
    let rows = graph.anchors(height, width);
    let graph = GraphProto {
        node: writer.nodes,
        name: Some(format!("yolox-nano {}", weights.metadata.variant)),
        initializer: writer.constants,
        input: vec![value_info(&values[0], &[batch, 3, height, width])],
        output: vec![value_info(OUTPUT, &[batch, rows, 5 + graph.classes])],
    };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("yolox-nano".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: properties(&weights, export)?,
    };
    Ok(model.encode_to_vec())
}

/// What the file says about itself: for people and other programs, and, as JSON, for `yolox-nano import`.
fn properties(weights: &Weights, export: &Export) -> Result<Vec<StringStringEntryProto>, serde_json::Error> {
    let metadata = &weights.metadata;
    let colours = match metadata.colour_order {
        ColourOrder::Bgr => "BGR",
        ColourOrder::Rgb => "RGB",
    };
    let input = format!(
        "batch, channels, height, width; {colours}, 0-255; images scaled into the top-left corner, sides in \
         proportion, the rest {PAD}"
    );
    let entries = [
        ("variant", metadata.variant.clone()),
        ("class_names", serde_json::to_string(&metadata.class_names)?),
        ("input", input),
        ("output", format!("batch, anchors, values; {}", export.output.row())),
        ("source", metadata.source.clone()),
        ("licence", "the network: Apache-2.0; the weights: see source".into()),
        (METADATA_KEY, serde_json::to_string(metadata)?),
    ];
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    Ok(entries.map(entry).into())
}

fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape.iter().map(|&size| Dimension { dim_value: Some(size as i64), dim_param: None }).collect();
    let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

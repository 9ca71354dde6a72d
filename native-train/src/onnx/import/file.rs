//! An ONNX file: what it says about itself, its input and output, its constants and operations as they stand there.

use std::collections::HashMap;
use std::path::{Component, Path};

use prost::Message;
use shared_model::Metadata;
use shared_model::graph::SIZE_MULTIPLE;

use super::super::proto::{
    Dimension, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto, data_type,
};
use super::super::{METADATA_KEY, property};
use super::ImportError;
use super::value::Value;
use crate::foreign::Source;

/// Greatest side of the image in pixels.
const MAX_SIDE: usize = 4096;
/// Most images at once.
const MAX_BATCH: usize = 1024;
/// Most operations; the largest variant has 300, and programs that fold nothing write four times as many.
const MAX_OPERATIONS: usize = 20_000;

/// Number of images, and their height and width; `None` what is chosen when the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputShape {
    pub(super) batch: Option<usize>,
    pub(super) sides: [Option<usize>; 2],
}

/// A parsed file.
pub(super) struct OnnxFile {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: HashMap<String, Value>,
    pub(super) input: String,
    pub(super) input_shape: InputShape,
    pub(super) output: String,
    properties: Vec<StringStringEntryProto>,
}

impl OnnxFile {
    /// Reads a file; constants that lie in other files are looked for where `source` says.
    pub(super) fn parse(bytes: &[u8], source: &Source) -> Result<Self, ImportError> {
        let model = ModelProto::decode(bytes).map_err(|error| ImportError::NotOnnx(error.to_string()))?;
        let graph = model.graph.filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or_else(|| ImportError::NotOnnx("it holds no network".into()))?;
        if graph.node.len() > MAX_OPERATIONS {
            return Err(ImportError::Operations(graph.node.len()));
        }
        let domain = |node: &&NodeProto| !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx"));
        if let Some(node) = graph.node.iter().find(domain) {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            return Err(ImportError::Domain { operation: text(&node.op_type), domain: text(&node.domain) });
        }
        let constants = constants(&graph, source)?;
        let info = input(&graph, &constants)?;
        let output = match graph.output.as_slice() {
            [output] => output.name.clone().unwrap_or_default(),
            outputs => return Err(ImportError::Output(format!("it has {} outputs, not one", outputs.len()))),
        };
        Ok(Self {
            input: info.name.clone().unwrap_or_default(),
            input_shape: input_shape(info)?,
            output,
            constants,
            nodes: graph.node,
            properties: model.metadata_props,
        })
    }

    /// What the file says about its weights, if this program wrote it.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, ImportError> {
        Ok(property(&self.properties, METADATA_KEY).map(serde_json::from_str).transpose()?)
    }
}

fn constants(graph: &GraphProto, source: &Source) -> Result<HashMap<String, Value>, ImportError> {
    let mut files = HashMap::new();
    let mut constants = HashMap::new();
    for tensor in &graph.initializer {
        let Some(name) = tensor.name.clone().filter(|name| !name.is_empty()) else { continue };
        let external = match tensor.data_location {
            Some(1) => Some(external(tensor, source, &mut files)?),
            _ => None,
        };
        // What cannot be read is missed where it is needed, if it is.
        if let Some(value) = Value::parse(tensor, external) {
            constants.insert(name, value);
        }
    }
    Ok(constants)
}

/// The bytes of a constant that lie in a file beside this one.
fn external<'a>(
    tensor: &TensorProto,
    source: &Source,
    files: &'a mut HashMap<String, Vec<u8>>,
) -> Result<&'a [u8], ImportError> {
    let entry = |key: &str| property(&tensor.external_data, key);
    let file = entry("location").unwrap_or_default();
    let error = |cause: String| ImportError::External { file: file.into(), cause };
    // A file must not name what is no part of it.
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = source.folder.filter(|_| inside && !file.is_empty()).map(|folder| folder.join(file));
    let path = path.ok_or_else(|| error("it is looked for only in the folder of the ONNX file".into()))?;
    if !files.contains_key(file) {
        let bytes = std::fs::read(&path).map_err(|cause| error(cause.to_string()))?;
        files.insert(file.into(), bytes);
    }
    let bytes = &files[file];
    let number = |key: &str| entry(key).map(|text| text.parse::<usize>().ok());
    let part = || {
        let begin = number("offset").unwrap_or(Some(0))?;
        let length = number("length").unwrap_or(bytes.len().checked_sub(begin))?;
        bytes.get(begin..begin.checked_add(length)?)
    };
    part().ok_or_else(|| {
        error(format!("its {} bytes are fewer than the ONNX file expects: was it cut short?", bytes.len()))
    })
}

/// Old files list the constants among the inputs.
fn input<'a>(graph: &'a GraphProto, constants: &HashMap<String, Value>) -> Result<&'a ValueInfoProto, ImportError> {
    let mut inputs =
        graph.input.iter().filter(|input| !constants.contains_key(input.name.as_deref().unwrap_or_default()));
    match (inputs.next(), inputs.next()) {
        (Some(input), None) => Ok(input),
        (None, _) => Err(ImportError::Input("missing".into())),
        _ => Err(ImportError::Input("more than one value".into())),
    }
}

fn input_shape(info: &ValueInfoProto) -> Result<InputShape, ImportError> {
    let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let Some((tensor, shape)) = tensor.and_then(|tensor| Some((tensor, tensor.shape.as_ref()?))) else {
        return Err(ImportError::Input("without a shape".into()));
    };
    let dims: Vec<Option<i64>> = shape.dim.iter().map(|dim| dim.dim_value.filter(|&size| size > 0)).collect();
    let format = tensor.elem_type.unwrap_or_default();
    let is_real = [data_type::FLOAT, data_type::FLOAT16].contains(&format);
    let size = |dim: Option<i64>, limit: usize| match dim {
        None => Some(None),
        Some(size) => usize::try_from(size).ok().filter(|size| (1..=limit).contains(size)).map(Some),
    };
    let side = |dim| size(dim, MAX_SIDE).filter(|side| side.is_none_or(|side| side.is_multiple_of(SIZE_MULTIPLE)));
    let found = || {
        let [batch, Some(3) | None, height, width] = dims[..] else { return None };
        Some(InputShape { batch: size(batch, MAX_BATCH)?, sides: [side(height)?, side(width)?] })
    };
    found().filter(|_| is_real).ok_or_else(|| {
        let shown = |dim: &Dimension| match (dim.dim_value, &dim.dim_param) {
            (Some(size), _) => size.to_string(),
            (None, Some(name)) => name.clone(),
            (None, None) => "?".into(),
        };
        let dims: Vec<String> = shape.dim.iter().map(shown).collect();
        let format = if is_real { "real numbers".into() } else { format!("number format {format}") };
        ImportError::Input(format!("({}) in {format}", dims.join(", ")))
    })
}

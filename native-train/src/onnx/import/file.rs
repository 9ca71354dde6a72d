//! An ONNX file as nodes that consume values and constants with names.

use std::collections::HashMap;

use rten_onnx::onnx::{
    AttributeProto, DataType, Dimension, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use shared_model::graph::SIZE_MULTIPLE;
use shared_model::{Metadata, WeightTensor};

use super::super::{METADATA_KEY, property};
use super::ImportError;

/// Greatest side of the picture in pixels: a damaged number must not exhaust the memory.
const MAX_SIDE: usize = 4096;

/// A parsed file.
pub(super) struct OnnxFile {
    graph: GraphProto,
    /// Positions of the constants in the graph, by name.
    constants: HashMap<String, usize>,
    properties: Vec<StringStringEntryProto>,
}

impl OnnxFile {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImportError> {
        let model = ModelProto::parse_buf(bytes).map_err(|error| ImportError::NotOnnx(error.to_string()))?;
        let graph = model.graph.filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or_else(|| ImportError::NotOnnx("it holds no network".into()))?;
        let constants = graph.initializer.iter().enumerate();
        let constants = constants.filter_map(|(i, tensor)| Some((tensor.name.clone()?, i))).collect();
        Ok(Self { graph, constants, properties: model.metadata_props })
    }

    /// What the file says about its weights, if this program wrote it.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, ImportError> {
        Ok(property(&self.properties, METADATA_KEY).map(serde_json::from_str).transpose()?)
    }

    /// The operations, in order of execution.
    pub(super) fn nodes(&self) -> &[NodeProto] {
        &self.graph.node
    }

    /// The value that holds the picture.
    pub(super) fn input(&self) -> Result<&str, ImportError> {
        Ok(self.input_info()?.name.as_deref().unwrap_or_default())
    }

    /// The value that is the network's only output.
    pub(super) fn output(&self) -> Option<&str> {
        match self.graph.output.as_slice() {
            [output] => output.name.as_deref(),
            _ => None,
        }
    }

    /// Number of pictures, and their height and width.
    pub(super) fn input_shape(&self) -> Result<[usize; 3], ImportError> {
        let tensor = self.input_info()?.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let Some((tensor, shape)) = tensor.and_then(|tensor| Some((tensor, tensor.shape.as_ref()?))) else {
            return Err(ImportError::Input("without a shape".into()));
        };
        // Sizes without a number are shown as 0.
        let size = |dim: &Dimension| dim.dim_value.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let dims: Vec<usize> = shape.dim.iter().map(size).collect();
        match dims[..] {
            [batch, 3, height, width]
                if batch > 0
                    && [height, width].iter().all(|side| (1..=MAX_SIDE).contains(side))
                    && [height, width].iter().all(|side| side.is_multiple_of(SIZE_MULTIPLE))
                    && tensor.elem_type == Some(DataType::FLOAT) =>
            {
                Ok([batch, height, width])
            }
            _ => {
                let format = tensor.elem_type.map_or("?".into(), |format| format.to_string());
                Err(ImportError::Input(format!("{dims:?} in {format}")))
            }
        }
    }

    /// Old files list the constants among the inputs.
    fn input_info(&self) -> Result<&ValueInfoProto, ImportError> {
        let mut inputs = self
            .graph
            .input
            .iter()
            .filter(|input| !self.constants.contains_key(input.name.as_deref().unwrap_or_default()));
        match (inputs.next(), inputs.next()) {
            (Some(input), None) => Ok(input),
            (None, _) => Err(ImportError::Input("missing".into())),
            _ => Err(ImportError::Input("more than one value".into())),
        }
    }

    fn constant(&self, name: &str) -> Option<&TensorProto> {
        Some(&self.graph.initializer[*self.constants.get(name)?])
    }

    /// Shape of a constant.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.constant(name)?.dims.iter().map(|&size| usize::try_from(size).ok()).collect()
    }

    /// A constant of single-precision numbers.
    pub(super) fn floats(&self, name: &str) -> Option<WeightTensor> {
        let tensor = self.constant(name).filter(|tensor| tensor.data_type == Some(DataType::FLOAT))?;
        let shape = self.shape(name)?;
        let values = if tensor.float_data.is_empty() {
            raw(tensor)?.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        } else {
            tensor.float_data.clone()
        };
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
        (values.len() == count).then_some(WeightTensor { shape, values })
    }

    /// A constant of 64-bit integers.
    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.constant(name).filter(|tensor| tensor.data_type == Some(DataType::INT64))?;
        if !tensor.int64_data.is_empty() {
            return Some(tensor.int64_data.clone());
        }
        Some(raw(tensor)?.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
    }
}

/// The bytes of a constant that lie in the file itself.
fn raw(tensor: &TensorProto) -> Option<Vec<u8>> {
    Some(tensor.raw_data.as_ref()?.borrow().clone())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

/// An integer attribute of an operation, or its default.
pub(super) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).and_then(|attribute| attribute.i).unwrap_or(default)
}

/// An attribute that is a number, or its default.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).and_then(|attribute| attribute.f).unwrap_or(default)
}

/// An attribute that is a list of integers, or its default.
pub(super) fn integers<'a>(node: &'a NodeProto, name: &str, default: &'a [i64]) -> &'a [i64] {
    attribute(node, name).map_or(default, |attribute| &attribute.ints)
}

/// A text attribute of an operation, or its default.
pub(super) fn text<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    attribute(node, name).and_then(|attribute| attribute.s.as_deref()).unwrap_or(default)
}

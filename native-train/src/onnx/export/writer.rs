//! A growing list of ONNX operations and the constants they use.

use std::collections::HashSet;

use super::super::proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type};

/// Operations and constants so far.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
    /// Names of layers, and of the constants that operations share.
    taken: HashSet<String>,
}

impl Writer {
    /// A name that no other layer has: `name`, if need be with a number.
    pub(super) fn unique(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let mut candidates = std::iter::once(name.to_string()).chain(numbered);
        candidates.find(|candidate| self.taken.insert(candidate.clone())).expect("numbers do not run out")
    }

    /// Appends an operation with one output, which is called as the operation is: `name`.
    pub(super) fn node(&mut self, name: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.push(name, op, inputs, vec![name.into()], attributes);
        name.into()
    }

    /// Appends the splitting of `input` along the channels into parts of `sizes`.
    pub(super) fn split(&mut self, name: &str, input: &str, sizes: &[usize]) -> Vec<String> {
        let parts: Vec<String> = (0..sizes.len()).map(|i| format!("{name}.{i}")).collect();
        // An attribute until opset 12, an input from 13 on.
        self.push(name, "Split", &[input], parts.clone(), vec![int("axis", 1), ints("split", sizes)]);
        parts
    }

    fn push(&mut self, name: &str, op: &str, inputs: &[&str], output: Vec<String>, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            name: Some(name.into()),
            op_type: Some(op.into()),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output,
            attribute,
            domain: None,
        });
    }

    /// Appends a constant of single-precision numbers.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, data_type::FLOAT, raw);
        name.into()
    }

    /// A list of integers as a constant, which all operations that use it share.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let texts: Vec<_> = values.iter().map(i64::to_string).collect();
        let name = format!("integers.{}", texts.join("."));
        if self.taken.insert(name.clone()) {
            let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.constant(&name, &[values.len()], data_type::INT64, raw);
        }
        name
    }

    fn constant(&mut self, name: &str, shape: &[usize], format: i32, raw: Vec<u8>) {
        self.constants.push(TensorProto {
            name: Some(name.into()),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(format),
            raw_data: Some(raw),
            ..Default::default()
        });
    }
}

pub(super) fn int(name: &str, value: usize) -> AttributeProto {
    let kind = Some(attribute_type::INT);
    AttributeProto { name: Some(name.into()), i: Some(value as i64), r#type: kind, ..Default::default() }
}

/// An attribute that is a list of integers.
pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: Some(name.into()), ints, r#type: Some(attribute_type::INTS), ..Default::default() }
}

/// An attribute that is a number.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    let kind = Some(attribute_type::FLOAT);
    AttributeProto { name: Some(name.into()), f: Some(value), r#type: kind, ..Default::default() }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let kind = Some(attribute_type::STRING);
    AttributeProto { name: Some(name.into()), s: Some(value.into()), r#type: kind, ..Default::default() }
}

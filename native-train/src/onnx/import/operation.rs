//! One operation of a file, and its settings.

use super::super::proto::{AttributeProto, NodeProto, TensorProto, attribute_type};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    /// What it computes, by ONNX's name.
    pub(super) name: String,
    /// The values it reads. One that is left out is an empty text.
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    attributes: Vec<AttributeProto>,
}

impl Operation {
    /// An operation without settings.
    pub(super) fn new(name: &str, inputs: &[&str], output: &str) -> Self {
        let inputs = inputs.iter().map(|&input| input.into()).collect();
        Self { name: name.into(), inputs, outputs: vec![output.into()], attributes: Vec::new() }
    }

    pub(super) fn of(node: NodeProto) -> Self {
        Self {
            name: node.op_type.unwrap_or_default(),
            inputs: node.input,
            outputs: node.output,
            attributes: node.attribute,
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// A setting that is an integer, or its default.
    pub(super) fn integer(&self, name: &str, default: i64) -> i64 {
        // Some programs leave zeros out.
        self.attribute(name).map_or(default, |attribute| attribute.i.unwrap_or(0))
    }

    /// A setting that is a number, or its default.
    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f.unwrap_or(0.0))
    }

    /// A setting that is a list of integers, or its default.
    pub(super) fn integers<'a>(&'a self, name: &str, default: &'a [i64]) -> &'a [i64] {
        self.attribute(name).map_or(default, |attribute| &attribute.ints)
    }

    /// A setting that is a list of numbers.
    pub(super) fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    /// A setting that is a text, or its default.
    pub(super) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        let text = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        text.map_or(default, |text| str::from_utf8(text).unwrap_or_default())
    }

    /// A setting that is an array.
    pub(super) fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name)?.t.as_ref()
    }

    /// Replaces a setting by a list of integers.
    pub(super) fn set(&mut self, name: &str, ints: Vec<i64>) {
        self.attributes.retain(|attribute| attribute.name.as_deref() != Some(name));
        let r#type = Some(attribute_type::INTS);
        self.attributes.push(AttributeProto { name: Some(name.into()), ints, r#type, ..Default::default() });
    }

    /// Replaces a setting by an integer.
    pub(super) fn set_integer(&mut self, name: &str, i: i64) {
        self.attributes.retain(|attribute| attribute.name.as_deref() != Some(name));
        let r#type = Some(attribute_type::INT);
        self.attributes.push(AttributeProto { name: Some(name.into()), i: Some(i), r#type, ..Default::default() });
    }

    /// Removes a setting.
    pub(super) fn unset(&mut self, name: &str) {
        self.attributes.retain(|attribute| attribute.name.as_deref() != Some(name));
    }
}

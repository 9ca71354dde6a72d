//! The outermost messages of an ONNX file. rten-onnx's own leave out the graph's name, without which a file is not
//! valid.

use rten_onnx::onnx::{GraphProto, OperatorSetIdProto, StringStringEntryProto};
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

/// Version of the file format that belongs to opset 11.
const IR_VERSION: i64 = 6;

/// The operations' version, which Megvii's files have too: the oldest with the resizing that is needed, so that the
/// largest number of programs read it.
pub(crate) const OPSET: i64 = 11;

/// A network with what the file says about itself.
pub(super) struct File {
    pub(super) graph: NamedGraph,
    pub(super) properties: Vec<StringStringEntryProto>,
}

/// A network and its name.
pub(super) struct NamedGraph {
    pub(super) name: String,
    pub(super) graph: GraphProto,
}

impl File {
    /// The bytes of the file.
    ///
    /// # Errors
    /// Fails where a message is longer than protobuf allows.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        let mut writer = ValueWriter::new(Vec::new());
        self.encode(&mut writer)?;
        Ok(writer.into_inner())
    }
}

/// Field numbers are those of <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>.
impl EncodeMessage for File {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        fields.write_int64(1, IR_VERSION)?;
        fields.write_string(2, "yolox-nano")?;
        fields.write_string(3, env!("CARGO_PKG_VERSION"))?;
        fields.write_message(7, &self.graph)?;
        fields.write_message(8, &OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) })?;
        fields.write_repeated_message(14, &self.properties)
    }
}

impl EncodeMessage for NamedGraph {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        fields.write_string(2, &self.name)?;
        self.graph.encode_fields(fields)
    }
}

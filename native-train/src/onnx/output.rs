//! The network's last operations: predictions joined over their kinds and over the pyramid's levels.

use rten_onnx::onnx::NodeProto;

use super::file::{OnnxFile, integers, op};
use super::recognise::{Recogniser, same};
use super::{Found, ImportError};

pub(super) fn misfit(found: String) -> ImportError {
    ImportError::Misfit { layer: "head".into(), operation: "joining of the predictions".into(), found }
}

/// The number of classes: channels of the last of the three predictions that are joined for the first level.
pub(super) fn class_count(file: &OnnxFile) -> Result<usize, ImportError> {
    let producer = |value: &str| file.nodes().iter().find(|node| node.output.iter().any(|output| output == value));
    let above = |node: &NodeProto, input: usize, name: &str| {
        let above = producer(node.input.get(input)?)?;
        (op(above) == name).then_some(above)
    };
    let count = || {
        let output = producer(file.output()?)?;
        let levels = above(output, 0, "Concat")?;
        let level = above(above(levels, 0, "Reshape")?, 0, "Concat")?;
        let conv = above(above(level, 2, "Sigmoid")?, 0, "Conv")?;
        file.shape(conv.input.get(1)?)?.first().copied().filter(|&classes| classes > 0)
    };
    count().ok_or_else(|| misfit("other operations were found in front of its output".into()))
}

impl Recogniser<'_> {
    /// Finds what follows the head's convolutions, up to the network's output.
    pub(super) fn output(&mut self) -> Found<()> {
        let (file, graph) = (self.file, self.graph);
        let values = 5 + graph.classes as i64;
        let mut levels = Vec::new();
        for level in &graph.head {
            let obj = self.claim("Sigmoid", &[self.value(level.obj)], |_| Ok(()))?;
            let cls = self.claim("Sigmoid", &[self.value(level.cls)], |_| Ok(()))?;
            let joined = self.concat(&[self.value(level.reg), obj, cls], 1)?;
            levels.push(self.claim("Reshape", &[joined], |node| {
                let shape = node.input.get(1).and_then(|name| file.integers(name)).unwrap_or_default();
                same("shape", &shape, &[1, values, -1])
            })?);
        }
        let joined = self.concat(&levels, 2)?;
        let output =
            self.claim("Transpose", &[joined], |node| same("order", integers(node, "perm", &[]), &[0, 2, 1]))?;
        if file.output() == Some(&output) { Ok(()) } else { Err("the result is not the file's only output".into()) }
    }
}

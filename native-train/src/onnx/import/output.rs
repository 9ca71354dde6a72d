//! The network's last operations: predictions joined over their kinds and over the pyramid's levels.

use rten_onnx::onnx::NodeProto;

use super::super::{anchors, op};
use super::file::{OnnxFile, integers};
use super::recognise::{Recogniser, same};
use super::{Found, ImportError};

/// The number of classes: channels of the last of the three predictions that are joined for the first level.
pub(super) fn class_count(file: &OnnxFile) -> Result<usize, ImportError> {
    let producer = |value: &str| file.nodes().iter().find(|node| node.output.iter().any(|output| output == value));
    let above = |node: &NodeProto, input: usize, name: &str| {
        let above = producer(node.input.get(input)?)?;
        (op(above) == name).then_some(above)
    };
    let count = || {
        let output = producer(file.output()?)?;
        let joined = above(output, 0, "Concat")?;
        // Where boxes are decoded, the levels are taken apart and joined again.
        let levels = above(joined, 2, "Split").map_or(Some(joined), |split| above(split, 0, "Concat"))?;
        let level = above(above(levels, 0, "Reshape")?, 0, "Concat")?;
        let conv =
            above(level, 2, "Sigmoid").map_or_else(|| above(level, 2, "Conv"), |sigmoid| above(sigmoid, 0, "Conv"))?;
        file.shape(conv.input.get(1)?)?.first().copied().filter(|&classes| classes > 0)
    };
    count().ok_or_else(|| {
        ImportError::Output("the predictions are not joined in front of its output as YOLOX joins them".into())
    })
}

impl Recogniser<'_> {
    /// Finds what follows the head's convolutions, up to the network's output.
    pub(super) fn output(&mut self) -> Found<()> {
        let (file, graph, [batch, height, width]) = (self.file, self.graph, self.input_shape);
        let values = 5 + graph.classes;
        // Of all logits or of none.
        let probabilities =
            graph.head.first().is_some_and(|level| self.has_consumer(&self.value(level.obj), "Sigmoid"));
        let mut levels = Vec::new();
        for level in &graph.head {
            let [mut obj, mut cls] = [level.obj, level.cls].map(|node| self.value(node));
            if probabilities {
                obj = self.claim("Sigmoid", &[obj], |_| Ok(()))?;
                cls = self.claim("Sigmoid", &[cls], |_| Ok(()))?;
            }
            let joined = self.concat(&[self.value(level.reg), obj, cls], 1)?;
            let anchors = (height / level.stride) * (width / level.stride);
            levels.push(self.claim("Reshape", &[joined], |node| {
                let shape = node.input.get(1).and_then(|name| file.integers(name)).unwrap_or_default();
                let rest = if shape.last() == Some(&-1) { -1 } else { anchors as i64 };
                same("shape", &shape, &[batch as i64, values as i64, rest])
            })?);
        }
        let mut joined = self.concat(&levels, 2)?;
        if self.has_consumer(&joined, "Split") {
            joined = self.decoded(joined)?;
        }
        let output =
            self.claim("Transpose", &[joined], |node| same("order", integers(node, "perm", &[]), &[0, 2, 1]))?;
        if file.output() == Some(&output) { Ok(()) } else { Err("the result is not the file's only output".into()) }
    }

    /// Finds the decoding of boxes.
    fn decoded(&mut self, rows: String) -> Found<String> {
        let [_, height, width] = self.input_shape;
        let [positions, strides] = anchors(self.graph, height, width);
        let parts = self.split(&rows, &[2, 2, 1 + self.graph.classes])?;
        let centre = self.with_constant("Add", parts[0].clone(), &positions)?;
        let centre = self.with_constant("Mul", centre, &strides)?;
        let size = self.claim("Exp", &[parts[1].clone()], |_| Ok(()))?;
        let size = self.with_constant("Mul", size, &strides)?;
        self.concat(&[centre, size, parts[2].clone()], 1)
    }

    /// Finds the sum or product of a value and the anchors' `numbers`.
    fn with_constant(&mut self, name: &str, value: String, numbers: &[f32]) -> Found<String> {
        let file = self.file;
        self.claim(name, &[value], |node| {
            let found = node.input.get(1).and_then(|name| file.floats(name)).map(|tensor| tensor.values);
            if found.as_deref() == Some(numbers) { Ok(()) } else { Err("other anchors were found".into()) }
        })
    }
}

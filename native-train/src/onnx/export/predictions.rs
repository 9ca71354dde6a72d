//! What follows the head's convolutions: one row of numbers an anchor.

use shared_model::Graph;

use super::super::anchors;
use super::writer::{Writer, int, ints};
use super::{Export, OUTPUT, OutputForm};

/// Joins the predictions, the values called `values` of the graph's layers, to the network's output: first over their
/// kinds, then over the pyramid's levels, as Megvii's files do.
pub(super) fn predictions(writer: &mut Writer, graph: &Graph, values: &[String], export: &Export) {
    let channels = 5 + graph.classes;
    let mut levels = Vec::new();
    for level in &graph.head {
        let name = |what: &str| format!("{OUTPUT}/{what}{}", level.stride);
        let [reg, mut obj, mut cls] = [level.reg, level.obj, level.cls].map(|node| values[node.0].clone());
        if export.output != OutputForm::Raw {
            obj = writer.node(&name("obj"), "Sigmoid", &[&obj], vec![]);
            cls = writer.node(&name("cls"), "Sigmoid", &[&cls], vec![]);
        }
        let joined = writer.node(&name("map"), "Concat", &[&reg, &obj, &cls], vec![int("axis", 1)]);
        let anchors = (export.height / level.stride) * (export.width / level.stride);
        let shape = writer.integers(&[export.batch, channels, anchors].map(|size| size as i64));
        levels.push(writer.node(&name("level"), "Reshape", &[&joined, &shape], vec![]));
    }
    let levels: Vec<&str> = levels.iter().map(String::as_str).collect();
    let mut rows = writer.node(&format!("{OUTPUT}/levels"), "Concat", &levels, vec![int("axis", 2)]);
    if export.output == OutputForm::Decoded {
        rows = decoded(writer, graph, &rows, export);
    }
    writer.node(OUTPUT, "Transpose", &[&rows], vec![ints("perm", &[0, 2, 1])]);
}

/// Boxes in pixels of the input.
fn decoded(writer: &mut Writer, graph: &Graph, rows: &str, export: &Export) -> String {
    let name = |what: &str| format!("{OUTPUT}/{what}");
    let [positions, strides] = anchors(graph, export.height, export.width);
    let strides = writer.floats(&name("strides"), &[1, 1, strides.len()], &strides);
    let positions = writer.floats(&name("anchors"), &[1, 2, positions.len() / 2], &positions);
    let parts = writer.split(&name("split"), rows, &[2, 2, 1 + graph.classes]);
    let centre = writer.node(&name("moved"), "Add", &[&parts[0], &positions], vec![]);
    let centre = writer.node(&name("centre"), "Mul", &[&centre, &strides], vec![]);
    let size = writer.node(&name("exp"), "Exp", &[&parts[1]], vec![]);
    let size = writer.node(&name("size"), "Mul", &[&size, &strides], vec![]);
    writer.node(&name("decoded"), "Concat", &[&centre, &size, &parts[2]], vec![int("axis", 1)])
}

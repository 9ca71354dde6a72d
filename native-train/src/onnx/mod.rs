//! Networks as ONNX files: written from their definition, and recognised in files by what they compute.

pub mod export;
mod focus;
pub mod import;
mod proto;

use shared_model::Graph;

use proto::StringStringEntryProto;

pub use export::{Export, ExportError, OutputForm, export};
pub use import::{ImportError, import};

/// The key under which an exported file keeps its weights' [`shared_model::Metadata`], as JSON.
const METADATA_KEY: &str = "yolox-nano";

/// Slope and offset of the hard sigmoid `min(max(x + 3, 0), 6) / 6`.
const HARD_SIGMOID: [f32; 2] = [1.0 / 6.0, 0.5];

/// Column and row of every anchor of `graph` on an input of `height` x `width` pixels (all columns, then all rows), and
/// every anchor's stride in pixels: a box's centre is `(output + anchor) * stride`, its size `exp(output) * stride`.
fn anchors(graph: &Graph, height: usize, width: usize) -> [Vec<f32>; 2] {
    let (mut columns, mut rows, mut strides) = (Vec::new(), Vec::new(), Vec::new());
    for level in &graph.head {
        for row in 0..height / level.stride {
            for column in 0..width / level.stride {
                columns.push(column as f32);
                rows.push(row as f32);
                strides.push(level.stride as f32);
            }
        }
    }
    columns.append(&mut rows);
    [columns, strides]
}

/// The value of a key in a file's metadata.
fn property<'a>(properties: &'a [StringStringEntryProto], key: &str) -> Option<&'a str> {
    properties.iter().find(|entry| entry.key.as_deref() == Some(key))?.value.as_deref()
}

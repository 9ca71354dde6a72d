//! Where every layer stands. Down the picture: the lanes, one for each stride, so that the backbone goes down and the
//! pyramid up and down again. Along it: the order of computation, the heads at the right end. All lengths are pixels at
//! zoom 1.

use std::collections::BTreeMap;

use shared_model::graph::{Graph, Node, Part, Resolution};

use super::route::route;

/// Side of a layer's cell.
pub const CELL: f64 = 18.0;
/// From a layer to the next one in its block.
const PITCH: f64 = 22.0;
/// What is added where the next layer is in another block.
const GAP: f64 = 16.0;
/// From a row of cells to the next one.
const ROW: f64 = 31.0;
/// Between a block's cells and its frame.
const PAD: f64 = 5.0;
/// Above the first row of a block: its label, and the arcs of its first row.
const HEAD: f64 = 34.0;
/// Below a block.
const FOOT: f64 = 10.0;
/// Left of the picture: the lanes' names.
const MARGIN: f64 = 108.0;
/// Above the picture: the parts' names.
const TOP: f64 = 32.0;
/// Width of a letter of a label, at most.
const LETTER: f64 = 9.5;

/// A network's drawing: where everything in it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagram {
    /// Width of the whole.
    pub width: f64,
    /// Height of the whole.
    pub height: f64,
    /// The lanes, from the picture's own size to the coarsest features.
    pub lanes: Vec<Lane>,
    /// Where backbone, pyramid and heads begin and end.
    pub parts: Vec<(Part, Span)>,
    /// Frames around layers that belong together; one that spans two lanes has a frame in each, the first one labelled.
    pub blocks: Vec<BlockFrame>,
    /// One a layer, in [`Graph::layers`]' order.
    pub cells: Vec<LayerCell>,
    /// What leads where: a layer, one that reads it, and the line between them as an SVG path.
    pub edges: Vec<(Node, Node, String)>,
}

/// From the lesser end to the greater.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub start: f64,
    pub end: f64,
}

/// All layers of one stride.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane {
    /// Pixels of the picture between neighbouring values.
    pub stride: usize,
    /// From top to bottom.
    pub y: Span,
}

/// A frame around layers.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockFrame {
    /// What stands above it, and which end of that is above which end of the frame.
    pub label: Option<(&'static str, LabelSide)>,
    /// From left to right.
    pub x: Span,
    /// From top to bottom.
    pub y: Span,
}

/// Which end of a label stays in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSide {
    /// The left one.
    Start,
    /// The right one: there is no room to the right.
    End,
}

/// The middle of a layer's cell, from the top left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerCell {
    pub x: f64,
    pub y: f64,
}

/// Layers of a block in one lane.
struct Segment {
    label: &'static str,
    lane: usize,
    layers: Vec<usize>,
    /// Rows of cells.
    rows: usize,
    /// Which of the lane's tracks it is in: those that overlap from left to right are in different ones.
    track: usize,
    x: Span,
}

/// Lays out a network.
pub fn lay_out(graph: &Graph) -> Diagram {
    let lanes = lanes(graph);
    let (mut segments, of_layer) = segments(graph, &lanes);
    let x = columns(graph, &of_layer);
    let rows = rows(graph, &mut segments, &of_layer, &x);
    tracks(&mut segments, &x);
    let (lane_spans, tops) = heights(&segments);

    let cells: Vec<LayerCell> = (0..graph.layers.len())
        .map(|layer| LayerCell { x: x[layer], y: tops[of_layer[layer]] + HEAD + ROW * rows[layer] as f64 + CELL / 2.0 })
        .collect();
    let edges = graph.layers.iter().enumerate().flat_map(|(to, layer)| {
        let cells = &cells;
        layer.inputs.iter().map(move |&from| (from, Node(to), route(cells, from.0, to)))
    });
    let width = x.iter().fold(0.0, |most: f64, &x| most.max(x)) + CELL / 2.0 + PAD + GAP;
    Diagram {
        width,
        height: lane_spans.last().map_or(TOP, |lane| lane.y.end),
        parts: parts(graph, &x),
        blocks: blocks(&segments, &tops, width),
        edges: edges.collect(),
        cells,
        lanes: lane_spans,
    }
}

/// The stride of each layer; single values are in the lane of what they are computed from.
fn lanes(graph: &Graph) -> Vec<usize> {
    let mut lanes: Vec<usize> = Vec::with_capacity(graph.layers.len());
    for layer in &graph.layers {
        lanes.push(match layer.resolution {
            Resolution::Stride(stride) => stride,
            Resolution::Global => layer.inputs.first().map_or(1, |input| lanes[input.0]),
        });
    }
    lanes
}

/// The layers of each block in each lane, in order of execution, and which of these every layer is in.
fn segments(graph: &Graph, lanes: &[usize]) -> (Vec<Segment>, Vec<usize>) {
    let mut segments: Vec<Segment> = Vec::new();
    let mut of_layer = Vec::with_capacity(lanes.len());
    for (i, (layer, &lane)) in graph.layers.iter().zip(lanes).enumerate() {
        let label = layer.scope.block;
        let known = segments.iter().position(|segment| segment.label == label && segment.lane == lane);
        let segment = known.unwrap_or_else(|| {
            let x = Span { start: 0.0, end: 0.0 };
            segments.push(Segment { label, lane, layers: Vec::new(), rows: 1, track: 0, x });
            segments.len() - 1
        });
        segments[segment].layers.push(i);
        of_layer.push(segment);
    }
    (segments, of_layer)
}

/// How far from the left each layer stands: right of all that it reads; a block as near as possible to what reads it, so
/// that all heads end at the right, and within a block each layer as near as possible to what it reads.
fn columns(graph: &Graph, of_layer: &[usize]) -> Vec<f64> {
    let count = graph.layers.len();
    let step = |from: usize, to: usize| if of_layer[from] == of_layer[to] { PITCH } else { PITCH + GAP };
    let after_inputs = |layer: usize, x: &[f64], least: f64| {
        let inputs = graph.layers[layer].inputs.iter();
        inputs.fold(least, |least: f64, input| least.max(x[input.0] + step(input.0, layer)))
    };
    let mut x = vec![0.0; count];
    for layer in 0..count {
        x[layer] = after_inputs(layer, &x, MARGIN + PAD + CELL / 2.0);
    }

    let end = x.iter().fold(0.0, |most: f64, &x| most.max(x));
    let mut latest = vec![end; count];
    for layer in (0..count).rev() {
        for input in &graph.layers[layer].inputs {
            latest[input.0] = latest[input.0].min(latest[layer] - step(input.0, layer));
        }
    }

    let mut starts: BTreeMap<usize, f64> = BTreeMap::new();
    for layer in 0..count {
        let start = starts.entry(of_layer[layer]).or_insert(f64::INFINITY);
        *start = start.min(latest[layer]);
    }
    for layer in 0..count {
        x[layer] = after_inputs(layer, &x, starts[&of_layer[layer]]);
    }
    x
}

/// The row of each layer in its block: that of its first input, unless another layer stands there already.
fn rows(graph: &Graph, segments: &mut [Segment], of_layer: &[usize], x: &[f64]) -> Vec<usize> {
    let mut rows = vec![0; graph.layers.len()];
    let mut ends: Vec<Vec<f64>> = segments.iter().map(|_| Vec::new()).collect();
    for (i, layer) in graph.layers.iter().enumerate() {
        let ends = &mut ends[of_layer[i]];
        let first = layer.inputs.first().filter(|input| of_layer[input.0] == of_layer[i]);
        let mut row = first.map_or(0, |input| rows[input.0]);
        while ends.get(row).is_some_and(|&end| end >= x[i]) {
            row += 1;
        }
        ends.resize(ends.len().max(row + 1), f64::NEG_INFINITY);
        ends[row] = x[i];
        rows[i] = row;
        segments[of_layer[i]].rows = ends.len();
    }
    rows
}

/// Gives each block a track of its lane in which nothing else stands at its place.
fn tracks(segments: &mut [Segment], x: &[f64]) {
    let mut taken: BTreeMap<(usize, usize), Vec<Span>> = BTreeMap::new();
    for segment in segments {
        let at = segment.layers.iter().map(|&layer| x[layer]);
        let start = at.clone().fold(f64::INFINITY, f64::min) - CELL / 2.0 - PAD;
        let end = at.fold(0.0, f64::max) + CELL / 2.0 + PAD;
        segment.x = Span { start, end };
        loop {
            let spans = taken.entry((segment.lane, segment.track)).or_default();
            if spans.iter().all(|other| end <= other.start || other.end <= start) {
                spans.push(segment.x);
                break;
            }
            segment.track += 1;
        }
    }
}

/// From where to where each lane goes, and the top of each block.
fn heights(segments: &[Segment]) -> (Vec<Lane>, Vec<f64>) {
    // Rows of every track, by lane and track.
    let mut rows: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for segment in segments {
        let most = rows.entry((segment.lane, segment.track)).or_default();
        *most = segment.rows.max(*most);
    }
    let mut lanes: Vec<Lane> = Vec::new();
    let mut tops = BTreeMap::new();
    let mut y = TOP;
    for (&(stride, track), &rows) in &rows {
        if track == 0 {
            lanes.push(Lane { stride, y: Span { start: y, end: y } });
        }
        tops.insert((stride, track), y);
        y += HEAD + CELL + ROW * (rows - 1) as f64 + PAD + FOOT;
        if let Some(lane) = lanes.last_mut() {
            lane.y.end = y;
        }
    }
    (lanes, segments.iter().map(|segment| tops[&(segment.lane, segment.track)]).collect())
}

/// From where to where backbone, pyramid and heads go.
fn parts(graph: &Graph, x: &[f64]) -> Vec<(Part, Span)> {
    let mut parts: BTreeMap<Part, Span> = BTreeMap::new();
    for (layer, &x) in graph.layers.iter().zip(x) {
        let span = parts.entry(layer.scope.part).or_insert(Span { start: x, end: x });
        *span = Span { start: span.start.min(x), end: span.end.max(x) };
    }
    let widen = |span: Span| Span { start: span.start - CELL / 2.0 - PAD, end: span.end + CELL / 2.0 + PAD };
    parts.into_iter().map(|(part, span)| (part, widen(span))).collect()
}

/// Frames and their labels.
fn blocks(segments: &[Segment], tops: &[f64], width: f64) -> Vec<BlockFrame> {
    let frame = |(i, (segment, &top)): (usize, (&Segment, &f64))| {
        let is_first = !segments[..i].iter().any(|other| other.label == segment.label);
        let label = is_first.then(|| {
            // Where the next block in the same track begins.
            let rest = segments.iter().filter(|other| (other.lane, other.track) == (segment.lane, segment.track));
            let next = rest.map(|other| other.x.start).filter(|&start| start > segment.x.start).fold(width, f64::min);
            let fits = segment.x.start + LETTER * segment.label.len() as f64 <= next;
            (segment.label, if fits { LabelSide::Start } else { LabelSide::End })
        });
        let cells = CELL + ROW * (segment.rows - 1) as f64;
        let y = Span { start: top + HEAD - 12.0 - PAD, end: top + HEAD + cells + PAD };
        BlockFrame { label, x: segment.x, y }
    };
    segments.iter().zip(tops).enumerate().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use shared_model::VARIANTS;
    use shared_model::graph::Op;

    use super::*;

    fn all() -> impl Iterator<Item = (&'static str, Graph, Diagram)> {
        VARIANTS.iter().map(|variant| {
            let graph = variant.graph(20);
            let diagram = lay_out(&graph);
            (variant.name, graph, diagram)
        })
    }

    #[test]
    fn every_layer_has_a_place_of_its_own_right_of_what_it_reads() {
        for (name, graph, diagram) in all() {
            assert_eq!(diagram.cells.len(), graph.layers.len());
            for (i, cell) in diagram.cells.iter().enumerate() {
                assert!(
                    cell.x < diagram.width && cell.y < diagram.height && cell.x > MARGIN && cell.y > TOP,
                    "{name} {i}"
                );
                for input in &graph.layers[i].inputs {
                    assert!(diagram.cells[input.0].x + CELL < cell.x, "{name}: {}", graph.layers[i].name);
                }
                for other in &diagram.cells[..i] {
                    let apart = (cell.x - other.x).abs() >= CELL || (cell.y - other.y).abs() >= CELL;
                    assert!(apart, "{name}: {} lies on another layer", graph.layers[i].name);
                }
            }
        }
    }

    #[test]
    fn lanes_are_strides_and_single_values_stand_with_what_they_scale() {
        for (name, graph, diagram) in all() {
            let strides: Vec<usize> = diagram.lanes.iter().map(|lane| lane.stride).collect();
            assert_eq!(strides, [1, 2, 4, 8, 16, 32], "{name}");
            let lane = |layer: usize| {
                let inside =
                    |lane: &&Lane| lane.y.start < diagram.cells[layer].y && diagram.cells[layer].y < lane.y.end;
                diagram.lanes.iter().find(inside).unwrap().stride
            };
            for (i, layer) in graph.layers.iter().enumerate() {
                match layer.resolution {
                    Resolution::Stride(stride) => assert_eq!(lane(i), stride, "{name}: {}", layer.name),
                    Resolution::Global => assert_eq!(lane(i), lane(layer.inputs[0].0), "{name}: {}", layer.name),
                }
                if layer.op == Op::Scale {
                    assert_eq!(lane(layer.inputs[1].0), lane(i), "{name}: {}", layer.name);
                }
            }
        }
    }

    #[test]
    fn backbone_pyramid_and_heads_follow_each_other_and_heads_end_at_the_right() {
        for (name, graph, diagram) in all() {
            let spans: Vec<Span> = diagram.parts.iter().map(|(_, span)| *span).collect();
            assert_eq!(
                diagram.parts.iter().map(|(part, _)| *part).collect::<Vec<_>>(),
                [Part::Backbone, Part::Pyramid, Part::Head]
            );
            assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "{name}: {spans:?}");
            let last = diagram.cells.iter().fold(0.0, |most: f64, cell| most.max(cell.x));
            for level in &graph.head {
                for node in [level.reg, level.obj, level.cls] {
                    assert!((diagram.cells[node.0].x - last).abs() < 1e-6, "{name}: {}", graph.layer(node).name);
                }
            }
        }
    }

    #[test]
    fn frames_hold_their_cells_and_do_not_overlap() {
        for (name, _, diagram) in all() {
            for cell in &diagram.cells {
                let inside = |block: &&BlockFrame| {
                    block.x.start < cell.x && cell.x < block.x.end && block.y.start < cell.y && cell.y < block.y.end
                };
                assert_eq!(diagram.blocks.iter().filter(inside).count(), 1, "{name}: {cell:?}");
            }
            let labels = diagram.blocks.iter().filter(|block| block.label.is_some()).count();
            let mut names: Vec<&str> = diagram.blocks.iter().flat_map(|b| b.label.map(|label| label.0)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), labels, "{name}: a block is labelled twice");
        }
    }

    #[test]
    fn every_input_is_an_edge() {
        for (name, graph, diagram) in all() {
            let inputs: usize = graph.layers.iter().map(|layer| layer.inputs.len()).sum();
            assert_eq!(diagram.edges.len(), inputs, "{name}");
            assert!(diagram.edges.iter().all(|(_, _, path)| path.starts_with('M')), "{name}");
        }
    }
}

//! The drawing of a network, as SVG, and what its colours, shapes and marks mean.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::{ev, svg};
use shared_model::graph::Part;
use wasm_bindgen::JsCast;
use web_sys::SvgElement;

use super::network::{DrawnNetwork, Tint, shares};
use super::wording;
use crate::page::diagram::{BlockFrame, CELL, Diagram, Difference, LabelSide, Lane, LayerKind, Span, symbol};
use crate::page::language::text;
use crate::page::results::INPUT_SIZE;

/// The share of the whole that has the full colour.
const FULL_SHARE: f64 = 0.06;

/// Lanes, frames, lines and cells; the layer under the pointer or the focus goes to `layer`.
#[component]
pub fn Drawing(
    network: Arc<DrawnNetwork>,
    layer: RwSignal<usize>,
    tint: RwSignal<Tint>,
    dim: RwSignal<bool>,
    zoom: RwSignal<Option<f64>>,
    times: Memo<Option<Arc<[f64]>>>,
) -> impl IntoView {
    let cells_group = NodeRef::<svg::G>::new();
    let Diagram { width, height, .. } = network.diagram;
    let count = network.graph.layers.len();
    let shares = {
        let network = Arc::clone(&network);
        Memo::new(move |_| shares(tint.get(), &network.cost, times.get().as_deref()))
    };
    let keys = move |event: ev::KeyboardEvent| {
        let now = layer.get_untracked();
        let next = match event.key().as_str() {
            "ArrowRight" | "ArrowDown" => (now + 1).min(count - 1),
            "ArrowLeft" | "ArrowUp" => now.saturating_sub(1),
            "Home" => 0,
            "End" => count - 1,
            _ => return,
        };
        event.prevent_default();
        layer.set(next);
        let cell =
            cells_group.get_untracked().and_then(|group| group.children().item(next as u32)?.first_element_child());
        if let Some(cell) = cell.and_then(|cell| cell.dyn_into::<SvgElement>().ok()) {
            let _ = cell.focus();
        }
    };
    // Without a chosen zoom the style sheet fits it in.
    let zoomed = move || zoom.get().map(|zoom| format!("{}px", width * zoom)).unwrap_or_default();
    let differs = network.differences.layers.iter().any(|difference| *difference != Difference::Same);
    let cells: Vec<_> = (0..count).map(|i| cell(&network, i, layer, shares)).collect();
    let name = text!("%{variant}: %{count} layers", variant = network.variant.name, count = count);
    let lanes = network.diagram.lanes.iter().map(|lane| lane_view(lane, width)).collect_view();
    let parts = network.diagram.parts.iter().map(|(part, span)| part_view(*part, *span)).collect_view();
    let blocks = network.diagram.blocks.iter().map(block_view).collect_view();
    let lines = network.diagram.edges.iter().map(|(_, _, path)| view! { <path d=path.clone()></path> }).collect_view();
    let touched = Arc::clone(&network);
    view! {
        <svg
            class="plan"
            class:shares=move || shares.read().is_some()
            class:dim=move || dim.get() && differs
            viewBox=format!("0 0 {width} {height}")
            style:width=zoomed
            style:--width=format!("{width}px")
            role="group"
            aria-label=name
            data-testid="plan"
            data-layers=count
        >
            {lanes}
            {parts}
            {blocks}
            <g class="lines">{lines}</g>
            <Touched network=touched layer/>
            <g class="cells" node_ref=cells_group on:keydown=keys>{cells}</g>
            <Ring network layer/>
        </svg>
    }
}

fn lane_view(lane: &Lane, width: f64) -> impl IntoView + use<> {
    let (stride, middle) = (lane.stride, (lane.y.start + lane.y.end) / 2.0);
    let size = INPUT_SIZE / stride;
    view! {
        <rect class="lane" class:odd=stride.trailing_zeros() % 2 == 1 x="0" y=lane.y.start width=width height=lane.y.end - lane.y.start></rect>
        <text class="lane-name" x="8" y=middle - 2.0 aria-hidden="true">{format!("{size} \u{d7} {size}")}</text>
        <text class="lane-stride" x="8" y=middle + 15.0 aria-hidden="true">{text!("stride %{stride}", stride = stride)}</text>
    }
}

fn part_view(part: Part, span: Span) -> impl IntoView {
    let name = match part {
        Part::Backbone => text!("Backbone: from the picture to features"),
        Part::Pyramid => text!("Pyramid: coarse features up, fine ones down"),
        Part::Head => text!("Heads"),
    };
    view! {
        <text class="part" x=span.start y="19" aria-hidden="true">{name}</text>
        <line class="part" x1=span.start x2=span.end y1="25" y2="25"></line>
    }
}

fn block_view(block: &BlockFrame) -> impl IntoView + use<> {
    let BlockFrame { x, y, label } = block;
    let label = label.map(|(name, anchor)| {
        let (at, anchor) = match anchor {
            LabelSide::Start => (x.start, "start"),
            LabelSide::End => (x.end, "end"),
        };
        view! { <text class="block-name" x=at y=y.start - 4.0 text-anchor=anchor aria-hidden="true">{name}</text> }
    });
    view! {
        <rect class="block" x=x.start y=y.start width=x.end - x.start height=y.end - y.start rx="6"></rect>
        {label}
    }
}

/// A layer's cell.
fn cell(
    network: &DrawnNetwork,
    i: usize,
    layer: RwSignal<usize>,
    shares: Memo<Option<Vec<f64>>>,
) -> impl IntoView + use<> {
    let (here, at) = (&network.graph.layers[i], network.diagram.cells[i]);
    let difference = &network.differences.layers[i];
    let kind = LayerKind::of(&here.op);
    let (x, y) = (at.x - CELL / 2.0, at.y - CELL / 2.0);
    let rounded = match kind {
        LayerKind::Depthwise | LayerKind::Mixed => 6.0,
        LayerKind::Pool | LayerKind::Elementwise => CELL / 2.0,
        _ => 2.0,
    };
    let (state, mark) = match difference {
        Difference::Same => ("same", None),
        Difference::Changed(_) => ("changed", Some("")),
        Difference::Added => ("added", Some("+")),
    };
    let words = wording::difference(difference, here, network.graph.channels_in(here));
    let label = text!(
        "%{layer}: %{op}; against the baseline: %{difference}",
        layer = here.name,
        op = here.op,
        difference = words
    );
    let part =
        move || shares.read().as_ref().map_or(String::new(), |shares| (shares[i] / FULL_SHARE).min(1.0).to_string());
    view! {
        <g class=format!("cell {} {state}", kind.class()) style:--part=part>
            <g
                role="button"
                tabindex=move || if layer.get() == i { "0" } else { "-1" }
                aria-label=label
                aria-pressed=move || (layer.get() == i).to_string()
                data-testid="layer"
                data-layer=here.name.clone()
                data-difference=state
                on:pointerenter=move |_| layer.set(i)
                on:click=move |_| layer.set(i)
                on:focus=move |_| layer.set(i)
            >
                // The pointer finds more than is seen.
                <rect class="target" x=x - 2.0 y=y - 2.0 width=CELL + 4.0 height=CELL + 4.0></rect>
                <rect class="face" x=x y=y width=CELL height=CELL rx=rounded></rect>
            </g>
            // Beside the button: signs for the eye are no part of its name.
            <text x=at.x y=at.y aria-hidden="true">{symbol(&here.op)}</text>
            {mark.map(|mark| view! {
                <circle class="mark" cx=x + CELL cy=y r=if mark.is_empty() { "3" } else { "5" }></circle>
                <text class="mark-sign" x=x + CELL y=y aria-hidden="true">{mark}</text>
            })}
        </g>
    }
}

/// The lines to and from the layer that is shown.
#[component]
fn Touched(network: Arc<DrawnNetwork>, layer: RwSignal<usize>) -> impl IntoView {
    let lines = move || {
        let shown = layer.get();
        let edges = network.diagram.edges.iter().filter(|(from, to, _)| from.0 == shown || to.0 == shown);
        edges.map(|(_, _, path)| view! { <path d=path.clone()></path> }).collect_view()
    };
    view! { <g class="lines touched">{lines}</g> }
}

/// A ring around the layer that is shown.
#[component]
fn Ring(network: Arc<DrawnNetwork>, layer: RwSignal<usize>) -> impl IntoView {
    let corner = {
        let network = Arc::clone(&network);
        move || network.diagram.cells.get(layer.get()).copied()
    };
    let x = {
        let corner = corner.clone();
        move || corner().map_or(0.0, |cell| cell.x - CELL / 2.0 - 3.5)
    };
    let y = move || corner().map_or(0.0, |cell| cell.y - CELL / 2.0 - 3.5);
    view! { <rect class="ring" x=x y=y width=CELL + 7.0 height=CELL + 7.0 rx="7"></rect> }
}

/// Kinds of layers, or the scale of shares; and the marks.
#[component]
pub fn DiagramLegend(tint: RwSignal<Tint>) -> impl IntoView {
    view! {
        <ul class="legend" aria-label=text!("Legend")>
            {move || match tint.get() {
                Tint::Kind => LayerKind::ALL.map(kind_key).collect_view().into_any(),
                Tint::Flops => scale_key(text!("share of the arithmetic: from none to 6 % or more")).into_any(),
                Tint::Time => scale_key(text!("share of the time: from none to 6 % or more")).into_any(),
            }}
            <li><span class="key changed" aria-hidden="true"></span>{text!("changed against the baseline")}</li>
            <li><span class="key added" aria-hidden="true">"+"</span>{text!("new")}</li>
        </ul>
    }
}

fn scale_key(text: String) -> impl IntoView {
    view! { <li><span class="key scale" aria-hidden="true"></span>{text}</li> }
}

fn kind_key(kind: LayerKind) -> impl IntoView {
    let (sign, text) = match kind {
        LayerKind::Pointwise => ("1", text!("1\u{d7}1 convolution: mixes channels")),
        LayerKind::Depthwise => ("7", text!("depthwise: looks around, channel by channel; its width")),
        LayerKind::Mixed => ("3\u{2013}9", text!("mixed depthwise: several widths")),
        LayerKind::Dense => ("3", text!("full convolution")),
        LayerKind::Pool => ("5", text!("greatest value nearby (\u{3bc}: mean)")),
        LayerKind::Move => ("\u{2016}", text!("\u{2016} concatenation, \u{2191} upsampling, \u{25a6} space to depth")),
        LayerKind::Elementwise => ("+", text!("+ sum, \u{d7} product")),
        LayerKind::Picture => ("in", text!("the picture")),
    };
    view! { <li><span class=format!("key {}", kind.class()) aria-hidden="true">{sign}</span>{text}</li> }
}

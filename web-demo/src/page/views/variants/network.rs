//! A network, drawn from its graph: what to draw, and everything around the drawing.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;
use shared_model::graph::Graph;
use shared_model::{Cost, VARIANTS, Variant, cost};

use super::drawing::{DiagramLegend, Drawing};
use super::layers::{LayerCard, LayerTable};
use super::wording;
use crate::page::diagram::{Diagram, Difference, Differences, differences, lay_out};
use crate::page::driver::WorkerDriver;
use crate::page::language::text;
use crate::page::results::{INPUT_SIZE, VOC_CLASSES};
use crate::page::state::State;

/// What of a variant is shown.
pub struct DrawnNetwork {
    pub variant: &'static Variant,
    pub graph: Graph,
    pub diagram: Diagram,
    pub cost: Cost,
    /// What of them differs from the baseline.
    pub differences: Differences,
}

impl DrawnNetwork {
    fn new(variant: &'static Variant) -> Self {
        let graph = variant.graph(VOC_CLASSES);
        Self {
            variant,
            diagram: lay_out(&graph),
            cost: cost(&graph, INPUT_SIZE, INPUT_SIZE),
            differences: differences(&graph, &VARIANTS[0].graph(VOC_CLASSES)),
            graph,
        }
    }

    /// The layer that is shown before any is chosen: the first that differs, else the first convolution.
    fn first(&self) -> usize {
        let differs = self.differences.layers.iter().position(|difference| *difference != Difference::Same);
        let computes = || self.cost.layers.iter().position(|layer| layer.macs > 0);
        differs.or_else(computes).unwrap_or_default()
    }
}

/// What the colour of a layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    Kind,
    /// Its share of the arithmetic.
    Flops,
    /// Its share of the time.
    Time,
}

/// How much of the whole each layer is, for a tint that is a share.
pub fn shares(tint: Tint, cost: &Cost, times: Option<&[f64]>) -> Option<Vec<f64>> {
    let figures: Vec<f64> = match tint {
        Tint::Kind => return None,
        Tint::Flops => cost.layers.iter().map(|layer| layer.flops as f64).collect(),
        Tint::Time => times?.to_vec(),
    };
    let sum: f64 = figures.iter().sum();
    Some(figures.iter().map(|figure| if sum > 0.0 { figure / sum } else { 0.0 }).collect())
}

/// The choice of a variant, its network, and the layer under the pointer or the focus.
#[component]
pub fn NetworkView() -> impl IntoView {
    let (State { benchmark, .. }, driver) = (State::get(), WorkerDriver::get());
    // The variant with the most that differs, to begin with.
    let chosen = RwSignal::new(VARIANTS[VARIANTS.len() - 1].name.to_owned());
    let network = Memo::new_with_compare(
        move |_| Arc::new(DrawnNetwork::new(variant(&chosen.read()))),
        |a, b| match (a, b) {
            (Some(a), Some(b)) => a.variant != b.variant,
            _ => true,
        },
    );
    let layer = RwSignal::new(network.with_untracked(|network| network.first()));
    let tint = RwSignal::new(Tint::Kind);
    let dim = RwSignal::new(true);
    let zoom = RwSignal::new(None::<f64>);
    let area = NodeRef::<html::Div>::new();
    let times = Memo::new(move |_| benchmark.layer_times(&chosen.read()));
    let is_measuring = move || benchmark.next_layers().is_some();

    let choose = move |event| {
        chosen.set(event_target_value(&event));
        layer.set(network.with_untracked(|network| network.first()));
    };
    let scale = move |by: f64| {
        // From what is seen: the drawing as wide as its card, or the chosen zoom.
        let width = network.with_untracked(|network| network.diagram.width);
        let drawn = area.get_untracked().map_or(width, |area| f64::from(area.scroll_width()));
        zoom.set(Some((zoom.get_untracked().unwrap_or(drawn / width) * by).clamp(0.3, 3.0)));
    };
    view! {
        <section class="card network" aria-labelledby="network-title">
            <h2 id="network-title">{text!("The network")}</h2>
            <p class="explain">
                {text!(
                    "Every cell is a layer; computation goes from left to right. Each lane has half the width and height of the one \
                    above it. Point at a cell, tap it, or move with the arrow keys."
                )}
            </p>
            <div class="controls">
                <label>
                    {text!("Variant")}" "
                    <select data-testid="network-variant" on:change=choose prop:value=chosen>
                        {VARIANTS.iter().map(|variant| view! {
                            <option value=variant.name selected=variant.name == chosen.get_untracked()>{variant.name}</option>
                        }).collect_view()}
                    </select>
                </label>
                <fieldset class="segments">
                    <legend>{text!("Colour")}</legend>
                    <TintChoice tint value=Tint::Kind name=text!("operation")/>
                    <TintChoice tint value=Tint::Flops name=text!("arithmetic")/>
                    <TintChoice tint value=Tint::Time name=text!("time")/>
                </fieldset>
                <button
                    type="button"
                    data-testid="profile"
                    disabled=is_measuring
                    on:click=move |_| {
                        tint.set(Tint::Time);
                        driver.profile(&chosen.get_untracked());
                    }
                >
                    {move || if is_measuring() { text!("Measuring\u{2026}") } else { text!("Measure each layer here") }}
                </button>
                <label>
                    <input type="checkbox" data-testid="dim" prop:checked=dim on:change=move |event| dim.set(event_target_checked(&event))/>
                    " "{text!("Fade what is unchanged")}
                </label>
                <div class="zoom" role="group" aria-label=text!("Zoom")>
                    <button type="button" class="plain" aria-label=text!("Smaller") data-testid="zoom-out" on:click=move |_| scale(0.8)>"\u{2212}"</button>
                    <button type="button" class="plain" data-testid="zoom-fit" on:click=move |_| zoom.set(None)>{text!("Fit")}</button>
                    <button type="button" class="plain" aria-label=text!("Larger") data-testid="zoom-in" on:click=move |_| scale(1.25)>"+"</button>
                </div>
            </div>
            {move || {
                let network = network.get();
                let groups = wording::groups(&network.graph, &network.differences);
                view! {
                    <p class="summary">
                        <strong data-testid="difference-summary" role="status">
                            {wording::summary(network.variant.name, &network.differences)}
                        </strong>
                    </p>
                    <ul class="groups" data-testid="difference-groups">
                        {groups.into_iter().map(|(text, count)| view! {
                            <li><b>{format!("{count} \u{d7} ")}</b>{text}</li>
                        }).collect_view()}
                    </ul>
                }
            }}
            <div class="drawing" node_ref=area>
                {move || view! { <Drawing network=network.get() layer tint dim zoom times/> }}
            </div>
            <DiagramLegend tint/>
            {move || view! { <LayerCard network=network.get() layer times/> }}
            {move || view! { <LayerTable network=network.get() times/> }}
        </section>
    }
}

fn variant(name: &str) -> &'static Variant {
    Variant::named(name).unwrap_or(&VARIANTS[0])
}

#[component]
fn TintChoice(tint: RwSignal<Tint>, value: Tint, name: String) -> impl IntoView {
    view! {
        <label>
            <input
                type="radio"
                name="tint"
                data-testid=format!("tint-{value:?}")
                prop:checked=move || tint.get() == value
                on:change=move |_| tint.set(value)
            />
            {name}
        </label>
    }
}

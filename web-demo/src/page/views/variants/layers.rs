//! Layers in figures: one as a card, all as a table.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::{ev, html};

use super::network::DrawnNetwork;
use super::wording;
use crate::page::language::text;
use crate::page::words;

/// Folded away, and only built when it is unfolded.
#[component]
pub fn LayerTable(network: Arc<DrawnNetwork>, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView {
    let details = NodeRef::<html::Details>::new();
    let is_open = RwSignal::new(false);
    let toggle = move |_: ev::Event| is_open.set(details.get_untracked().is_some_and(|details| details.open()));
    let count = network.graph.layers.len();
    let network = StoredValue::new(network);
    view! {
        <details class="all-layers" node_ref=details on:toggle=toggle>
            <summary data-testid="all-layers">{text!("All %{count} layers as a table", count = count)}</summary>
            <Show when=move || is_open.get()>
                <div class="wide" tabindex="0" role="group" aria-label=text!("Layers")>
                    <table data-testid="layers">
                        <thead>
                            <tr>
                                <th scope="col">{text!("Layer")}</th>
                                <th scope="col">{text!("Operation")}</th>
                                <th scope="col" class="numbers">{text!("Channels")}</th>
                                <th scope="col" class="numbers">{text!("Size")}</th>
                                <th scope="col" class="numbers">{text!("Parameters")}</th>
                                <th scope="col" class="numbers">{text!("MFLOPs")}</th>
                                <th scope="col" class="numbers">{text!("Time here")}</th>
                                <th scope="col">{text!("Against the baseline")}</th>
                            </tr>
                        </thead>
                        <tbody>{(0..count).map(|i| table_row(&network.get_value(), i, times)).collect_view()}</tbody>
                    </table>
                </div>
            </Show>
        </details>
    }
}

fn table_row(network: &DrawnNetwork, i: usize, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView + use<> {
    let (layer, cost) = (&network.graph.layers[i], &network.cost.layers[i]);
    let [channels, height, width] = cost.shape;
    let difference = wording::difference(&network.differences.layers[i], layer, network.graph.channels_in(layer));
    view! {
        <tr>
            <th scope="row">{layer.name.clone()}</th>
            <td>{layer.op.to_string()}</td>
            <td class="figure">{channels}</td>
            <td class="figure">{format!("{height} \u{d7} {width}")}</td>
            <td class="figure">{words::thousands(cost.parameters)}</td>
            <td class="figure">{format!("{:.2}", cost.flops as f64 / 1e6)}</td>
            <td class="figure">{move || time(times.get().as_deref(), i)}</td>
            <td>{difference}</td>
        </tr>
    }
}

/// The layer that is shown: what it computes, what it costs, how it differs.
#[component]
pub fn LayerCard(network: Arc<DrawnNetwork>, layer: RwSignal<usize>, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView {
    let facts = move || {
        let i = layer.get();
        let here = network.graph.layers.get(i)?;
        let cost = &network.cost.layers[i];
        let [channels, height, width] = cost.shape;
        let names = here.inputs.iter().map(|&input| network.graph.layer(input).name.as_str());
        let reads = names.collect::<Vec<_>>().join(", ");
        let channels_in = network.graph.channels_in(here);
        let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        let flops = cost.flops as f64;
        let arithmetic = format!("{:.2} ({:.1} %)", flops / 1e6, share(flops, network.cost.gflops * 1e9));
        let parameters = format!(
            "{} ({:.1} %)",
            words::thousands(cost.parameters),
            share(cost.parameters as f64, network.cost.parameters as f64)
        );
        let difference = wording::difference(&network.differences.layers[i], here, channels_in);
        Some(view! {
            <h3 data-testid="card-name">{here.name.clone()}</h3>
            <dl>
                <div><dt>{text!("Operation")}</dt><dd data-testid="card-op">{here.op.to_string()}</dd></div>
                <div><dt>{text!("Output")}</dt><dd data-testid="card-shape">
                    {text!("%{channels} channels of %{height} \u{d7} %{width}", channels = channels, height = height, width = width)}
                </dd></div>
                <div><dt>{text!("Parameters")}</dt><dd data-testid="card-parameters">{parameters}</dd></div>
                <div><dt>{text!("MFLOPs")}</dt><dd data-testid="card-mflops">{arithmetic}</dd></div>
                <div><dt>{text!("Time here")}</dt><dd data-testid="card-time">{time(times.get().as_deref(), i)}</dd></div>
                <div class="long"><dt>{text!("Against the baseline")}</dt><dd data-testid="card-difference">{difference}</dd></div>
                {(!reads.is_empty()).then(|| view! {
                    <div class="long"><dt>{text!("Reads")}</dt><dd>{reads}</dd></div>
                })}
            </dl>
        })
    };
    view! { <div class="layer-card" data-testid="layer-card">{facts}</div> }
}

/// Milliseconds of a layer, and its share.
fn time(times: Option<&[f64]>, layer: usize) -> String {
    match times.and_then(|times| Some((*times.get(layer)?, times.iter().sum::<f64>()))) {
        None => text!("not measured yet"),
        Some((0.0, _)) => text!("part of another layer's"),
        Some((ms, sum)) => format!("{ms:.2} ms ({:.1} %)", 100.0 * ms / sum),
    }
}

//! The drawing's layers as a table.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::{ev, html};

use super::card::time;
use super::network::Network;
use super::wording;
use crate::page::language::text;
use crate::page::views::words;

/// Folded away, and only built when it is unfolded.
#[component]
pub fn Layers(network: Arc<Network>, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView {
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
                        <tbody>{(0..count).map(|i| row(&network.get_value(), i, times)).collect_view()}</tbody>
                    </table>
                </div>
            </Show>
        </details>
    }
}

fn row(network: &Network, i: usize, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView + use<> {
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

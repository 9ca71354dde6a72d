//! Everything about one layer.

use std::sync::Arc;

use leptos::prelude::*;

use super::network::Network;
use super::wording;
use crate::page::language::text;
use crate::page::views::words;

/// The layer that is shown: what it computes, what it costs, how it differs.
#[component]
pub fn Card(network: Arc<Network>, layer: RwSignal<usize>, times: Memo<Option<Arc<[f64]>>>) -> impl IntoView {
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
pub fn time(times: Option<&[f64]>, layer: usize) -> String {
    match times.and_then(|times| Some((*times.get(layer)?, times.iter().sum::<f64>()))) {
        None => text!("not measured yet"),
        Some((0.0, _)) => text!("part of another layer's"),
        Some((ms, sum)) => format!("{ms:.2} ms ({:.1} %)", 100.0 * ms / sum),
    }
}

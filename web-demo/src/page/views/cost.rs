//! What the model costs: time on this device, size, arithmetic.

use leptos::prelude::*;

use super::words;
use crate::page::state::{Panel, State};
use crate::protocol::Timing;

/// Milliseconds, parameters, GFLOPs, bytes.
#[component]
pub fn Cost(panel: Panel) -> impl IntoView {
    let state = State::get();
    let median = move |part: fn(&Timing) -> f64| {
        let run = panel.run.read();
        let timings = run.as_ref().filter(|run| run.measured).map(|run| run.timings.iter().map(part).collect());
        words::median(timings.unwrap_or_default())
    };
    let runs = move || panel.run.read().as_ref().filter(|run| run.measured).map_or(0, |run| run.timings.len());
    let milliseconds = |time: Option<f64>| time.map_or("\u{2013}".to_string(), |time| format!("{time:.1} ms"));
    view! {
        <section class="card cost" aria-label="Cost">
            <h2>{move || panel.model.get()}</h2>
            <p class="headline">
                <strong data-testid="network-ms">{move || milliseconds(median(|timing| timing.network))}</strong>
                <span>{move || match runs() {
                    0 => "for the network, on this device".to_string(),
                    n => format!("for the network, on this device (median of {n} runs)"),
                }}</span>
            </p>
            <dl>
                <div>
                    <dt>"First run"</dt>
                    <dd data-testid="cold-ms">{move || milliseconds(panel.cold.read().map(|timing| timing.network))}</dd>
                </div>
                <div>
                    <dt>"Fitting the picture"</dt>
                    <dd data-testid="preprocess-ms">{move || milliseconds(median(|timing| timing.preprocess))}</dd>
                </div>
                <div>
                    <dt>"Reading the boxes"</dt>
                    <dd data-testid="postprocess-ms">{move || milliseconds(median(|timing| timing.postprocess))}</dd>
                </div>
                {move || panel.entry(state).map(|entry| view! {
                    <div><dt>"Parameters"</dt><dd data-testid="parameters">{words::thousands(entry.parameters)}</dd></div>
                    <div><dt>"GFLOPs"</dt><dd data-testid="gflops">{format!("{:.4}", entry.gflops)}</dd></div>
                    <div><dt>"Download"</dt><dd>{words::bytes(entry.bytes)}</dd></div>
                    <div><dt>"Input"</dt><dd>{format!("{0} \u{d7} {0}", entry.input_size)}</dd></div>
                    <div><dt>"Classes"</dt><dd>{format!("{} ({})", entry.classes, entry.trained_on)}</dd></div>
                    {entry.voc2007_ap50.map(|ap| view! {
                        <div><dt>"AP50, VOC2007"</dt><dd>{format!("{ap:.2} %")}</dd></div>
                    })}
                    <div class="wide"><dt>"Weights"</dt><dd>{entry.source}" ("{entry.licence}")"</dd></div>
                })}
            </dl>
        </section>
    }
}

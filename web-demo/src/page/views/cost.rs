//! What the model costs: time on this device, size, arithmetic.

use leptos::prelude::*;

use super::words;
use crate::page::state::{Panel, State};
use crate::protocol::Timing;

/// Milliseconds, parameters, GFLOPs, bytes.
#[component]
pub fn Cost(panel: Panel) -> impl IntoView {
    let state = State::get();
    view! {
        <section class="card cost" aria-label="Cost">
            <h2>{move || panel.model.get()}</h2>
            <Times panel/>
            {move || panel.entry(state).map(|entry| view! {
                <dl>
                    <Fact name="Parameters" testid="parameters" value=words::thousands(entry.parameters)/>
                    <Fact name="GFLOPs" testid="gflops" value=format!("{:.4}", entry.gflops)/>
                    <Fact name="Download" testid="bytes" value=words::bytes(entry.bytes)/>
                    <Fact name="Input" testid="input" value=format!("{0} \u{d7} {0} pixels", entry.input_size)/>
                    <Fact name="Classes" testid="classes" value=entry.classes.to_string()/>
                    <Fact name="Trained on" testid="trained-on" value=entry.trained_on/>
                    {entry.voc2007_ap50.map(|ap| view! {
                        <Fact name="AP50 on VOC2007" testid="ap50" value=format!("{ap:.2} %")/>
                    })}
                    <Fact name="Licence" testid="licence" value=entry.licence/>
                </dl>
                <p class="hint">"Weights: "{entry.source}</p>
            })}
        </section>
    }
}

#[component]
fn Fact(name: &'static str, testid: &'static str, value: String) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd data-testid=testid>{value}</dd></div> }
}

/// Cold and warm milliseconds, and where they go.
#[component]
fn Times(panel: Panel) -> impl IntoView {
    let times = move || -> Vec<Timing> {
        let run = panel.run.read();
        run.as_ref().filter(|run| run.measured).map(|run| run.timings.clone()).unwrap_or_default()
    };
    let median = move |part: fn(&Timing) -> f64| milliseconds(words::median(times().iter().map(part).collect()));
    let cold = move || milliseconds(panel.cold.read().map(|timing| timing.network));
    view! {
        <p class="headline">
            <strong data-testid="network-ms">{move || median(|timing| timing.network)}</strong>
            <span>{move || match times().len() {
                0 => "for the network, on this device".to_string(),
                n => format!("for the network, on this device: median of {n} runs"),
            }}</span>
        </p>
        <dl class="steps">
            <div><dt>"First run"</dt><dd data-testid="cold-ms">{cold}</dd></div>
            <div><dt>"Preprocess"</dt><dd data-testid="preprocess-ms">{move || median(|timing| timing.preprocess)}</dd></div>
            <div><dt>"Postprocess"</dt><dd data-testid="postprocess-ms">{move || median(|timing| timing.postprocess)}</dd></div>
        </dl>
    }
}

fn milliseconds(time: Option<f64>) -> String {
    time.map_or("\u{2013}".into(), |time| format!("{time:.1} ms"))
}

//! What the models cost: time on this device, size, arithmetic.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::panel::{Panel, Run, median};
use crate::page::state::State;
use crate::page::words;
use crate::protocol::Timing;
use shared_model::ManifestEntry;

/// A column a model.
#[component]
pub fn CostTable() -> impl IntoView {
    let state = State::get();
    let panels = move || state.panels.shown();
    let times = |label: Signal<String>, testid: &'static str, figure: fn(State, Panel) -> String| {
        view! {
            <tr>
                <th scope="row">{label}</th>
                <For each=panels key=|panel| panel.name() let(panel)>
                    <td data-testid=testid>{move || figure(state, panel)}</td>
                </For>
            </tr>
        }
    };
    let facts = |label: Signal<String>, testid: &'static str, fact: fn(&ManifestEntry) -> String| {
        view! {
            <tr>
                <th scope="row">{label}</th>
                <For each=panels key=|panel| panel.name() let(panel)>
                    <td data-testid=testid>{move || state.models.entry(&panel.name()).as_ref().map(fact)}</td>
                </For>
            </tr>
        }
    };
    view! {
        <section class="card cost" aria-labelledby="cost-title">
            <h2 id="cost-title">{move || text!("Cost on this device")}</h2>
            <div class="table" tabindex="0" role="group" aria-labelledby="cost-title">
                <table>
                    <thead>
                        <tr>
                            <td></td>
                            {move || state.panels.names().into_iter().map(|name| view! {
                                <th scope="col">{name}</th>
                            }).collect_view()}
                        </tr>
                    </thead>
                    <tbody>
                        {times(Signal::derive(|| text!("Network")), "network-ms", network)}
                        {times(Signal::derive(|| text!("Spread")), "spread", spread)}
                        {times(Signal::derive(|| text!("First run")), "cold-ms", |_, panel| {
                            words::milliseconds(panel.cold().map(|timing| timing.network))
                        })}
                        {times(Signal::derive(|| text!("Preprocess")), "preprocess-ms", |state, panel| {
                            middle(state, panel, |timing| timing.preprocess)
                        })}
                        {times(Signal::derive(|| text!("Postprocess")), "postprocess-ms", |state, panel| {
                            middle(state, panel, |timing| timing.postprocess)
                        })}
                        {facts(Signal::derive(|| text!("Parameters")), "parameters", |entry| words::thousands(entry.parameters))}
                        {facts(Signal::derive(|| text!("GFLOPs")), "gflops", |entry| format!("{:.4}", entry.gflops))}
                        {facts(Signal::derive(|| text!("Download")), "bytes", |entry| words::bytes(entry.bytes))}
                        {facts(Signal::derive(|| text!("Input")), "input", |entry| {
                            text!("%{side} \u{d7} %{side} pixels", side = entry.input_size)
                        })}
                        {facts(Signal::derive(|| text!("Classes")), "classes", |entry| entry.classes.to_string())}
                        {facts(Signal::derive(|| text!("AP50 on VOC2007")), "ap50", |entry| words::percent(entry.voc2007_ap50))}
                        {facts(Signal::derive(|| text!("Trained on")), "trained-on", |entry| entry.trained_on.clone())}
                        {facts(Signal::derive(|| text!("Licence")), "licence", |entry| entry.licence.clone())}
                    </tbody>
                </table>
            </div>
            <p class="hint">{move || text!(
                "Time of the network: median of the runs after the first, one model at a time. Fewer operations need not be faster: \
                 depthwise convolutions move much memory for little arithmetic."
            )}</p>
        </section>
    }
}

fn measured(state: State, panel: Panel) -> Option<Vec<Timing>> {
    state.run(panel).filter(Run::is_measured).map(|run| run.warm)
}

fn middle(state: State, panel: Panel, part: fn(&Timing) -> f64) -> String {
    let times = measured(state, panel);
    words::milliseconds(times.and_then(|times| median(times.iter().map(part).collect())))
}

fn network(state: State, panel: Panel) -> String {
    middle(state, panel, |timing| timing.network)
}

/// From the fastest to the slowest run.
fn spread(state: State, panel: Panel) -> String {
    let Some(times) = measured(state, panel).filter(|times| !times.is_empty()) else { return "\u{2013}".into() };
    let least = times.iter().map(|timing| timing.network).fold(f64::INFINITY, f64::min);
    let most = times.iter().map(|timing| timing.network).fold(0.0, f64::max);
    text!(
        "%{least}\u{2013}%{most} ms, %{count} runs",
        least = format!("{least:.1}"),
        most = format!("{most:.1}"),
        count = times.len()
    )
}

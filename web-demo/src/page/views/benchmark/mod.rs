//! The view of the benchmark: every model's time on this device, beside its accuracy.

mod chart;

use leptos::prelude::*;
use shared_model::{VARIANTS, cost};

use super::build;
use crate::page::language::text;
use crate::page::panel::median;
use crate::page::state::{BENCHMARK_RUNS, ModelTimes, State, random_weights, split_size};
use crate::page::words;
use chart::Chart;

/// A line of the table.
#[derive(Clone, PartialEq)]
pub struct BenchmarkRow {
    /// Name of the model, as the worker knows it.
    model: String,
    /// The name to show.
    pub name: String,
    /// AP50 on VOC2007 in per cent, where it was measured.
    pub accuracy: Option<f64>,
    parameters: usize,
    gflops: f64,
    bytes: Option<u64>,
    times: Option<ModelTimes>,
}

impl BenchmarkRow {
    /// Milliseconds of the network: the median.
    pub fn milliseconds(&self) -> Option<f64> {
        median(self.times.as_ref()?.timings.iter().map(|timing| timing.network).collect())
    }

    /// From the fastest to the slowest run.
    fn spread(&self) -> Option<(f64, f64)> {
        let times = &self.times.as_ref()?.timings;
        let fastest = times.iter().map(|timing| timing.network).fold(f64::INFINITY, f64::min);
        let slowest = times.iter().map(|timing| timing.network).fold(0.0, f64::max);
        (!times.is_empty()).then_some((fastest, slowest))
    }
}

/// The models of the list, then those at other input sizes, then the variants of which nobody has published weights: their time is that of random ones.
fn lines(state: State) -> Vec<BenchmarkRow> {
    let Some(manifest) = state.models.manifest() else { return Vec::new() };
    let published = manifest.models.iter().map(|entry| BenchmarkRow {
        model: entry.name.clone(),
        name: entry.name.clone(),
        accuracy: entry.voc2007_ap50,
        parameters: entry.parameters,
        gflops: entry.gflops,
        bytes: Some(entry.bytes),
        times: state.benchmark.times(&entry.name),
    });
    // Models at other sizes than their own, as far as they are on show.
    let sized = state.panels.names().into_iter().filter(|name| split_size(name).1.is_some());
    let sized = sized.filter_map(|name| state.models.entry(&name)).map(|entry| BenchmarkRow {
        times: state.benchmark.times(&entry.name),
        model: entry.name.clone(),
        name: entry.name,
        accuracy: None,
        parameters: entry.parameters,
        gflops: entry.gflops,
        bytes: Some(entry.bytes),
    });
    let is_missing =
        |variant: &&shared_model::Variant| !manifest.models.iter().any(|entry| entry.variant == variant.name);
    let random = VARIANTS.iter().filter(is_missing).map(|variant| {
        let cost = cost(&variant.graph(20), 416, 416);
        let model = random_weights(variant.name);
        BenchmarkRow {
            name: text!("%{variant}, random weights", variant = variant.name),
            accuracy: None,
            parameters: cost.parameters,
            gflops: cost.gflops,
            bytes: None,
            times: state.benchmark.times(&model),
            model,
        }
    });
    published.chain(sized).chain(random).collect()
}
#[component]
pub fn BenchmarkView() -> impl IntoView {
    let state = State::get();
    let lines = Memo::new(move |_| lines(state));
    let queued = move || state.benchmark.remaining();
    let start = move |_| {
        state.benchmark.start(lines.read_untracked().iter().map(|line| line.model.clone()).collect());
    };
    let all = move || lines.read().len().max(1);
    view! {
        <section class="benchmark" aria-labelledby="benchmark-title">
            <h2 id="benchmark-title">{move || text!("Which model is worth its time on this device?")}</h2>
            <p>{move || text!(
                "Every model runs %{runs} times on the picture on show, one after another, after one run to warm up. \
                 What else the device does at the same time shows in the spread.",
                runs = BENCHMARK_RUNS
            )}</p>
            <p class="hint" data-testid="bench-build">{move || state.worker.build().as_ref().map(build::explanation)}</p>
            <div class="toolbar">
                <button type="button" data-testid="bench-start" disabled=move || { queued() > 0 } on:click=start>
                    {move || text!("Measure all models")}
                </button>
                <Show when=move || { queued() > 0 }>
                    <progress aria-label=move || text!("Models measured")
                        value=move || (all() - queued()).to_string() max=move || all().to_string()/>
                    <button type="button" class="plain" data-testid="bench-stop"
                        on:click=move |_| state.benchmark.stop()
                    >{move || text!("Stop")}</button>
                </Show>
            </div>
            <Chart lines/>
            <div class="card"><div class="table" tabindex="0" role="group" aria-labelledby="benchmark-title">
                <table data-testid="bench-table">
                    <thead><tr>
                        <th scope="col">{move || text!("Model")}</th>
                        <th scope="col" class="numbers">{move || text!("Median")}</th>
                        <th scope="col" class="numbers">{move || text!("Spread")}</th>
                        <th scope="col" class="numbers">{move || text!("First run")}</th>
                        <th scope="col" class="numbers">{move || text!("Pictures a second")}</th>
                        <th scope="col" class="numbers">{move || text!("AP50 on VOC2007")}</th>
                        <th scope="col" class="numbers">{move || text!("Parameters")}</th>
                        <th scope="col" class="numbers">{move || text!("GFLOPs")}</th>
                        <th scope="col" class="numbers">{move || text!("Download")}</th>
                    </tr></thead>
                    <tbody>
                        {move || lines.get().into_iter().map(row).collect_view()}
                    </tbody>
                </table>
            </div></div>
        </section>
    }
}

fn row(line: BenchmarkRow) -> impl IntoView {
    let ms = line.milliseconds();
    let cold = line.times.as_ref().and_then(|times| times.cold).map(|timing| timing.network);
    let spread = line.spread().map_or("\u{2013}".into(), |(least, most)| format!("{least:.1}\u{2013}{most:.1} ms"));
    let rate = ms.map_or("\u{2013}".into(), |ms| format!("{:.1}", 1000.0 / ms));
    let failed = line.times.as_ref().and_then(|times| times.failed.clone());
    view! {
        <tr data-testid="bench-row" data-model=line.model.clone()>
            <th scope="row">{line.name.clone()}{failed.map(|why| view! { <p class="error">{why}</p> })}</th>
            <td class="numbers" data-testid="bench-ms">{words::milliseconds(ms)}</td>
            <td class="numbers">{spread}</td>
            <td class="numbers">{words::milliseconds(cold)}</td>
            <td class="numbers">{rate}</td>
            <td class="numbers">{words::percent(line.accuracy)}</td>
            <td class="numbers">{words::thousands(line.parameters)}</td>
            <td class="numbers">{format!("{:.4}", line.gflops)}</td>
            <td class="numbers">{line.bytes.map_or("\u{2013}".into(), words::bytes)}</td>
        </tr>
    }
}

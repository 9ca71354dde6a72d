//! Which class a model takes for which: a table a model, at the page's threshold.

use leptos::prelude::*;
use shared_model::evaluation::Confusion;

use crate::page::evaluation::{ModelEvaluation, SetEvaluation, confusion};
use crate::page::language::text;
use crate::page::state::State;

/// A table a model.
#[component]
pub fn ConfusionTables(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let state = State::get();
    let tables = Memo::new(move |_| {
        let (set, threshold) = (set.read(), state.display.score.get());
        let table = |model: &ModelEvaluation| (model.model.clone(), confusion(&set, model, threshold));
        set.models.iter().filter(|model| model.report.is_some()).map(table).collect::<Vec<_>>()
    });
    view! {
        <section class="card" aria-labelledby="confusion-title">
            <h2 id="confusion-title">{move || text!("Which class is taken for which")}</h2>
            <p class="hint">{move || text!(
                "Rows: what is in the pictures. Columns: what the model says of it, at the score threshold %{score}. Boxes overlap an object by more than half (IoU).",
                score = format!("{:.2}", state.display.score.get())
            )}</p>
            {move || tables.get().into_iter().map(|(model, confusion)| view! { <Table model confusion/> }).collect_view()}
        </section>
    }
}

#[component]
fn Table(model: String, confusion: Confusion) -> impl IntoView {
    let (label, name) = (model.clone(), model.clone());
    let columns: Vec<String> = confusion.class_names.iter().cloned().chain([text!("missed")]).collect();
    let rows = confusion.class_names.iter().cloned().chain([text!("nothing")]);
    let diagonal = confusion.class_names.len();
    let rows = rows.zip(confusion.counts).enumerate().map(|(i, (name, counts))| {
        let all: usize = counts.iter().sum();
        let cell = move |(j, count): (usize, usize)| {
            // The share of the row shows as the strength of the colour.
            let share = if all == 0 { 0.0 } else { count as f64 / all as f64 };
            let kind = if i == j && i < diagonal { "right" } else { "wrong" };
            let shown = if count == 0 { String::new() } else { count.to_string() };
            view! { <td class=format!("numbers confusion {kind}") style:--share=format!("{share:.2}")>{shown}</td> }
        };
        view! { <tr><th scope="row">{name}</th>{counts.into_iter().enumerate().map(cell).collect_view()}</tr> }
    });
    view! {
        <div class="table" tabindex="0" role="group" aria-label=move || text!("Which class %{model} takes for which", model = label)>
            <table data-testid="confusion" data-model=name>
                <caption><strong>{model}</strong></caption>
                <thead><tr>
                    <td></td>
                    {columns.into_iter().map(|name| view! { <th scope="col" class="numbers">{name}</th> }).collect_view()}
                </tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}

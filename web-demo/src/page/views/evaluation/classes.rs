//! AP50 and AP of every class that occurs, model beside model.

use leptos::prelude::*;
use shared_model::evaluation::ReportRow;

use crate::page::evaluation::SetEvaluation;
use crate::page::language::text;

/// A line a class; the best AP50 of each stands out.
#[component]
pub fn ClassScores(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let names = Memo::new(move |_| set.read().models.iter().map(|model| model.model.clone()).collect::<Vec<_>>());
    view! {
        <section class="card" aria-labelledby="class-scores-title">
            <h2 id="class-scores-title">{move || text!("AP50 / AP by class")}</h2>
            <p class="hint">{move || text!("Per cent, with 11 points. The best AP50 of a class stands out.")}</p>
            <div class="table" tabindex="0" role="group" aria-labelledby="class-scores-title">
                <table data-testid="class-scores">
                    <thead><tr>
                        <th scope="col">{move || text!("Class")}</th>
                        <th scope="col" class="numbers">{move || text!("Objects")}</th>
                        {move || names.get().into_iter().map(|name| view! { <th scope="col" class="numbers">{name}</th> }).collect_view()}
                    </tr></thead>
                    <tbody>{move || rows(&set.read()).into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        </section>
    }
}

/// A class, and its line in the report of each model that knows it.
type Row = (String, Vec<Option<ReportRow>>);

fn rows(set: &SetEvaluation) -> Vec<Row> {
    let row = |class: String| {
        let of_model = |model: &crate::page::evaluation::ModelEvaluation| {
            model.report.as_ref()?.per_class.iter().find(|row| row.class == class).cloned()
        };
        let rows = set.models.iter().map(of_model).collect();
        (class, rows)
    };
    set.classes().into_iter().map(row).collect()
}

fn row((class, rows): Row) -> impl IntoView {
    let objects = rows.iter().flatten().map(|row| row.objects).next().unwrap_or_default();
    let best = rows.iter().flatten().map(|row| row.figures.ap50_11).fold(0.0, f64::max);
    let stands_out = rows.len() > 1 && best > 0.0;
    let cell = |row: &Option<ReportRow>| match row {
        Some(ReportRow { figures, .. }) => {
            let text = format!("{:.2} / {:.2}", figures.ap50_11, figures.ap_11);
            let is_best = stands_out && figures.ap50_11 == best;
            view! { <td class="numbers" class:best=is_best>{text}</td> }.into_any()
        }
        None => view! { <td class="numbers">"\u{2013}"</td> }.into_any(),
    };
    let cells = rows.iter().map(cell).collect_view();
    let name = class.clone();
    view! { <tr data-testid="class-score" data-class=name><th scope="row">{class}</th><td class="numbers">{objects}</td>{cells}</tr> }
}

//! AP50 class by class, model beside model.

use std::sync::Arc;

use leptos::prelude::*;
use shared_model::Manifest;

use crate::page::language::text;
use crate::page::results::{ClassRow, class_rows};

/// A table with bars; the greatest differences to the first model are marked.
#[component]
pub fn ClassTable(manifest: Arc<Manifest>) -> impl IntoView {
    let (models, rows) = class_rows(&manifest);
    let first = models.first().cloned().unwrap_or_default();
    (!rows.is_empty()).then(|| view! {
        <section class="card" aria-labelledby="classes-title">
            <h2 id="classes-title">{text!("AP50 by class")}</h2>
            <p class="explain">
                {text!(
                    "Per cent, on the same pictures of Pascal VOC2007 test. Behind the figures: the difference to %{first}. \
                    Triangles mark the three greatest differences of each column.",
                    first = first
                )}
            </p>
            <div class="wide" tabindex="0" role="group" aria-labelledby="classes-title">
                <table class="classes" data-testid="classes">
                    <thead>
                        <tr>
                            <th scope="col">{text!("Class")}</th>
                            {models.iter().map(|model| view! { <th scope="col">{model.clone()}</th> }).collect_view()}
                        </tr>
                    </thead>
                    <tbody>{rows.into_iter().map(class).collect_view()}</tbody>
                </table>
            </div>
        </section>
    })
}

fn class(row: ClassRow) -> impl IntoView {
    let cells = row.ap50.iter().enumerate().map(|(model, ap50)| {
        let Some(ap50) = *ap50 else { return view! { <td>"\u{2013}"</td> }.into_any() };
        let difference = row.difference(model).map(|difference| {
            let sign = if difference < 0.0 { "\u{2212}" } else { "+" };
            let mark = match (row.striking[model], difference < 0.0) {
                (false, _) => "",
                (true, true) => "\u{25bc} ",
                (true, false) => "\u{25b2} ",
            };
            let text = format!("{mark}{sign}{:.1}", difference.abs());
            view! { <small class:striking=row.striking[model]>{text}</small> }
        });
        view! {
            <td data-ap50=ap50.to_string()>
                <span class="meter" style:--part=(ap50 / 100.0).to_string() aria-hidden="true"></span>
                <span class="value">{format!("{ap50:.2}")}</span>
                {difference}
            </td>
        }
        .into_any()
    });
    let cells = cells.collect_view();
    let name = row.class.clone();
    view! { <tr data-testid="class" data-class=name><th scope="row">{row.class}</th>{cells}</tr> }
}

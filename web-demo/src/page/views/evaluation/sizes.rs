//! How many objects of each size the models find, at the page's threshold.

use leptos::prelude::*;

use super::percent;
use crate::page::evaluation::{ModelEvaluation, SetEvaluation, SizeClass, by_size};
use crate::page::language::text;
use crate::page::state::State;

/// A line a model.
#[component]
pub fn SizeTable(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let state = State::get();
    let rows = Memo::new(move |_| {
        let (set, threshold) = (set.read(), state.display.score.get());
        let of_model = |model: &ModelEvaluation| (model.model.clone(), by_size(&set, model, threshold));
        set.models.iter().map(of_model).collect::<Vec<_>>()
    });
    let cell = |SizeClass { objects, found }: SizeClass| match objects {
        0 => "\u{2013}".to_string(),
        _ => format!("{found} / {objects} ({})", percent(found as f64 / objects as f64)),
    };
    view! {
        <section class="card" aria-labelledby="sizes-title">
            <h2 id="sizes-title">{move || text!("Objects found, by size")}</h2>
            <p class="hint">{move || text!(
                "Small: under 32 × 32 pixels of the picture; large: from 96 × 96. At the score threshold %{score}.",
                score = format!("{:.2}", state.display.score.get())
            )}</p>
            <div class="table" tabindex="0" role="group" aria-labelledby="sizes-title">
                <table data-testid="object-sizes">
                    <thead><tr>
                        <th scope="col">{move || text!("Model")}</th>
                        <th scope="col" class="numbers">{move || text!("Small")}</th>
                        <th scope="col" class="numbers">{move || text!("Medium")}</th>
                        <th scope="col" class="numbers">{move || text!("Large")}</th>
                    </tr></thead>
                    <tbody>{move || rows.get().into_iter().map(|(model, sizes)| view! {
                        <tr data-testid="size-row">
                            <th scope="row">{model}</th>
                            {sizes.map(|size| view! { <td class="numbers">{cell(size)}</td> }).collect_view()}
                        </tr>
                    }).collect_view()}</tbody>
                </table>
            </div>
        </section>
    }
}

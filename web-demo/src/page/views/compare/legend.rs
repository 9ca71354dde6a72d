//! What lines mean.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::State;

/// The kinds of lines that the panels may show, each with its meaning.
#[component]
pub fn LineLegend() -> impl IntoView {
    let state = State::get();
    let kinds = move || {
        let comparison = state.display.comparison.read();
        if comparison.truth.is_some() {
            return vec![
                ("hit", text!("really there")),
                ("alarm", text!("false alarm")),
                ("overlooked", text!("overlooked")),
                ("ignored", text!("does not count")),
            ];
        }
        match comparison.predictions.len() {
            0 | 1 => Vec::new(),
            n => {
                let mut kinds = vec![("all", text!("found by all"))];
                if n > 2 {
                    kinds.push(("some", text!("found by some")));
                }
                kinds.push(("only", text!("only here")));
                kinds.push(("missed", text!("missed here")));
                kinds
            }
        }
    };
    view! {
        <Show when=move || !kinds().is_empty()>
            <ul class="legend" aria-label=move || text!("Lines") data-testid="legend">
                {move || kinds().into_iter().map(|(kind, text)| view! {
                    <li><span class=format!("line {kind}") aria-hidden="true"></span>{text}</li>
                }).collect_view()}
            </ul>
        </Show>
    }
}

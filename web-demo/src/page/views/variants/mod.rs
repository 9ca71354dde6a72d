//! What is known about the variants: results, classes, curves of training, and the networks themselves.

mod classes;
mod curves;
mod drawing;
mod layers;
mod network;
mod results;
mod wording;

use leptos::prelude::*;

use crate::page::language::Language;
use crate::page::state::State;
use classes::ClassTable;
use curves::TrainingCurves;
use network::NetworkView;
use results::Results;

/// All of it, from top to bottom.
#[component]
pub fn VariantsView() -> impl IntoView {
    let state = State::get();
    // Nothing here changes but with the list of models and the language: then all of it is made anew.
    move || {
        let _ = Language::current();
        let manifest = state.models.manifest();
        view! {
            <div class="variants" data-testid="variants">
                {manifest.clone().map(|manifest| view! { <Results manifest/> })}
                <NetworkView/>
                {manifest.map(|manifest| view! {
                    <ClassTable manifest=manifest.clone()/>
                    <TrainingCurves manifest/>
                })}
            </div>
        }
    }
}

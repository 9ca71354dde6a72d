//! What is known about the variants: results, classes, curves of training, and the networks themselves.

mod card;
mod classes;
mod curves;
mod drawing;
mod layers;
mod legend;
mod network;
mod results;
mod wording;

use leptos::prelude::*;

use crate::page::state::{Models, State};
use classes::Classes;
use curves::Curves;
use network::NetworkView;
use results::Results;

/// All of it, from top to bottom.
#[component]
pub fn Variants() -> impl IntoView {
    let state = State::get();
    let manifest = move || match &*state.models.read() {
        Models::Listed(manifest) => Some(manifest.clone()),
        _ => None,
    };
    view! {
        <div class="variants" data-testid="variants">
            {move || manifest().map(|manifest| view! { <Results manifest/> })}
            <NetworkView/>
            {move || manifest().map(|manifest| view! {
                <Classes manifest=manifest.clone()/>
                <Curves manifest/>
            })}
        </div>
    }
}

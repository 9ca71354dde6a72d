//! Weights of the visitor's own that this browser keeps, and the way to have them removed.

use leptos::prelude::*;

use crate::page::driver::WorkerDriver;
use crate::page::language::text;
use crate::page::model_list;
use crate::page::state::State;
use crate::page::words;

/// A line for each model that is kept.
#[component]
pub fn KeptWeights() -> impl IntoView {
    let state = State::get();
    let driver = WorkerDriver::get();
    view! {
        <Show when=move || !state.models.kept().is_empty()>
            <section class="card kept" aria-labelledby="kept-title" data-testid="kept">
                <h2 id="kept-title">{move || text!("Weights of your own, kept in this browser")}</h2>
                <ul>
                    <For each=move || state.models.kept() key=|model| model.clone() let(model)>
                        <KeptLine model driver/>
                    </For>
                </ul>
            </section>
        </Show>
    }
}

#[component]
fn KeptLine(model: String, driver: WorkerDriver) -> impl IntoView {
    let state = State::get();
    let model = StoredValue::new(model);
    let size = move || state.models.entry(&model.get_value()).map(|entry| words::bytes(entry.bytes));
    view! {
        <li>
            <span class="name">{model.get_value()}</span>
            <span class="hint">{size}</span>
            <button
                type="button"
                class="plain"
                aria-label=move || text!("Remove %{model} from this browser", model = model.get_value())
                data-testid="kept-remove"
                on:click=move |_| {
                    model_list::remove(state, &model.get_value());
                    driver.discard(&model.get_value());
                }
            >{move || text!("Remove")}</button>
        </li>
    }
}

//! Which classes are shown.

use std::collections::BTreeMap;

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::State;

/// A switch for every class that was found, and for those that are hidden.
#[component]
pub fn Classes() -> impl IntoView {
    let state = State::get();
    let classes = Memo::new(move |_| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for group in &state.comparison.read().groups {
            *counts.entry(group.class.clone()).or_default() += 1;
        }
        for hidden in state.hidden.read().iter() {
            counts.entry(hidden.clone()).or_default();
        }
        counts
    });
    let toggle = move |class: &str| {
        state.hidden.update(|hidden| {
            if !hidden.remove(class) {
                hidden.insert(class.into());
            }
        });
    };
    view! {
        <Show when=move || !classes.read().is_empty()>
            <section class="card classes" aria-labelledby="classes-title">
                <h2 id="classes-title">{move || text!("Classes")}</h2>
                <ul>
                    <For each=move || classes.get() key=|(class, count)| (class.clone(), *count) let((class, count))>
                        <li><button
                            type="button"
                            class="plain chip"
                            aria-pressed={
                                let class = class.clone();
                                move || (!state.hidden.read().contains(&class)).to_string()
                            }
                            data-testid="class"
                            data-class=class.clone()
                            on:click={
                                let class = class.clone();
                                move |_| toggle(&class)
                            }
                        >
                            {class.clone()}
                            {(count > 0).then(|| view! { <span class="count">{count}</span> })}
                        </button></li>
                    </For>
                </ul>
                <Show when=move || !state.hidden.read().is_empty()>
                    <button type="button" class="plain" data-testid="all-classes"
                        on:click=move |_| state.hidden.update(std::collections::BTreeSet::clear)
                    >{move || text!("Show all classes")}</button>
                </Show>
            </section>
        </Show>
    }
}

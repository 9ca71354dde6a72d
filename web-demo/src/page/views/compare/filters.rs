//! What chooses among the boxes that the networks have found: thresholds and classes.

use std::collections::BTreeMap;

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::{State, Threshold};

/// Score and overlap.
#[component]
pub fn Thresholds() -> impl IntoView {
    let state = State::get();
    view! {
        <section class="card thresholds" aria-label=move || text!("Thresholds")>
            <Slider
                label=Signal::derive(|| text!("Score threshold"))
                hint=Signal::derive(|| text!("Boxes the network is less sure of are hidden."))
                testid="score"
                threshold=state.display.score
            />
            <Slider
                label=Signal::derive(|| text!("NMS threshold (IoU)"))
                hint=Signal::derive(|| text!("Of boxes of one class that overlap more, the best one stays."))
                testid="nms"
                threshold=state.display.max_iou
            />
        </section>
    }
}

#[component]
fn Slider(label: Signal<String>, hint: Signal<String>, testid: &'static str, threshold: Threshold) -> impl IntoView {
    let (min, max) = threshold.range();
    let hint_id = format!("{testid}-hint");
    let change = move |event| {
        if let Ok(chosen) = event_target_value(&event).parse::<f32>() {
            threshold.set(chosen);
        }
    };
    view! {
        <div class="slider">
            <label for=testid>{label}</label>
            <output for=testid data-testid=format!("{testid}-value")>{move || format!("{:.2}", threshold.get())}</output>
            <input
                id=testid
                type="range"
                min=min.to_string()
                max=max.to_string()
                step="0.01"
                prop:value=move || format!("{:.2}", threshold.get())
                on:input=change
                aria-describedby=hint_id.clone()
                data-testid=testid
            />
            <p class="hint" id=hint_id>{hint}</p>
        </div>
    }
}

/// A switch for every class that was found, and for those that are hidden.
#[component]
pub fn ClassFilter() -> impl IntoView {
    let state = State::get();
    let classes = Memo::new(move |_| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for object in &state.display.comparison.read().objects {
            *counts.entry(object.class.clone()).or_default() += 1;
        }
        for hidden in state.display.hidden() {
            counts.entry(hidden).or_default();
        }
        counts
    });
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
                                move || (!state.display.is_hidden(&class)).to_string()
                            }
                            data-testid="class"
                            data-class=class.clone()
                            on:click={
                                let class = class.clone();
                                move |_| state.display.toggle_class(&class)
                            }
                        >
                            {class.clone()}
                            {(count > 0).then(|| view! { <span class="count">{count}</span> })}
                        </button></li>
                    </For>
                </ul>
                <Show when=move || !state.display.hidden().is_empty()>
                    <button type="button" class="plain" data-testid="all-classes"
                        on:click=move |_| state.display.hide([])
                    >{move || text!("Show all classes")}</button>
                </Show>
            </section>
        </Show>
    }
}

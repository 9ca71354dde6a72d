//! Where pictures come from: the visitor's own, or samples.

use leptos::html;
use leptos::prelude::*;

use crate::page::intake;
use crate::page::samples::SAMPLES;
use crate::page::state::State;

/// The strip of buttons that choose a picture.
#[component]
pub fn Sources() -> impl IntoView {
    let state = State::get();
    let input = NodeRef::<html::Input>::new();
    let choose = move |_| {
        if let Some(input) = input.get() {
            intake::open_files(state, input.files());
            // So that choosing the same file again is a change.
            input.set_value("");
        }
    };
    let chosen = move || state.picture.read().as_ref().and_then(|opened| opened.picture.sample).map(|sample| sample.id);
    view! {
        <nav class="sources" aria-label="Choose a picture">
            <label class="upload">
                <input
                    type="file"
                    accept="image/jpeg,image/png,image/webp,image/gif,image/bmp,image/avif"
                    multiple
                    node_ref=input
                    on:change=choose
                    data-testid="upload"
                />
                <span class="upload-button">"Choose a picture"</span>
                <span class="upload-hint">"or drop or paste one anywhere"</span>
            </label>
            <ul class="samples" aria-label="Samples">
                {SAMPLES.iter().map(|sample| view! {
                    <li>
                        <button
                            type="button"
                            aria-pressed=move || (chosen() == Some(sample.id)).to_string()
                            title=sample.title
                            data-testid=format!("sample-{}", sample.id)
                            on:click=move |_| intake::open_sample(state, sample)
                        >
                            <img src=state.url(&sample.thumbnail()) alt=sample.title width="96" height="72"/>
                        </button>
                    </li>
                }).collect_view()}
            </ul>
        </nav>
    }
}

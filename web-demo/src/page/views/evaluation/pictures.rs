//! The pictures on which the models differ most.

use leptos::prelude::*;

use crate::page::evaluation::{PictureErrors, SetEvaluation, differences};
use crate::page::intake;
use crate::page::language::text;
use crate::page::state::{PageView, State};

/// The most pictures of the list.
const MOST: usize = 20;

/// A line a picture, the greatest difference first; its name opens it.
#[component]
pub fn DifferingPictures(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let state = State::get();
    let names = Memo::new(move |_| set.read().models.iter().map(|model| model.model.clone()).collect::<Vec<_>>());
    let pictures = Memo::new(move |_| {
        let mut pictures = differences(&set.read(), state.display.score.get());
        pictures.truncate(MOST);
        pictures
    });
    view! {
        <Show when=move || !pictures.read().is_empty()>
            <section class="card" aria-labelledby="differing-title">
                <h2 id="differing-title">{move || text!("Pictures on which the models differ most")}</h2>
                <p class="hint">{move || text!(
                    "False alarms and overlooked objects of each model, at the score threshold %{score}.",
                    score = format!("{:.2}", state.display.score.get())
                )}</p>
                <div class="table" tabindex="0" role="group" aria-labelledby="differing-title">
                    <table data-testid="differing">
                        <thead><tr>
                            <th scope="col">{move || text!("Picture")}</th>
                            {move || names.get().into_iter().map(|name| view! { <th scope="col" class="numbers">{name}</th> }).collect_view()}
                        </tr></thead>
                        <tbody>
                            <For each=move || pictures.get() key=PictureErrors::clone let(picture)>
                                <Row picture/>
                            </For>
                        </tbody>
                    </table>
                </div>
            </section>
        </Show>
    }
}

#[component]
fn Row(picture: PictureErrors) -> impl IntoView {
    let state = State::get();
    let id = picture.id;
    let open = move |_| {
        if let Some(picture) = untrack(|| state.input.find(id)) {
            state.input.set_live(false);
            intake::show(state, picture);
            state.display.view.set(PageView::Compare);
        }
    };
    view! {
        <tr>
            <th scope="row">
                <button type="button" class="plain" data-testid="open-picture" on:click=open>{picture.name}</button>
            </th>
            {picture.errors.into_iter().map(|errors| view! { <td class="numbers">{errors}</td> }).collect_view()}
        </tr>
    }
}

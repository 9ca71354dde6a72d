//! The view of the evaluation: the models' scores on the visitor's annotated pictures, and the threshold to choose.

mod classes;
mod confusion;
mod curves;
mod gather;
mod intervals;
mod pictures;
mod scores;
mod sizes;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::page::evaluation::SetEvaluation;
use crate::page::export;
use crate::page::language::text;
use crate::page::state::State;
use crate::page::views::pause::PauseButton;
use classes::ClassScores;
use confusion::ConfusionTables;
use curves::ThresholdCurves;
use pictures::DifferingPictures;
use scores::ScoreTable;
use sizes::SizeTable;

/// Everything about the set of pictures. Nothing of it is computed unless this is on show.
#[component]
pub fn EvaluationView() -> impl IntoView {
    let state = State::get();
    let set = gather::evaluation(state);
    let has_pictures = Memo::new(move |_| !set.read().pictures.is_empty());
    view! {
        <section class="evaluation" aria-labelledby="evaluation-title" data-testid="evaluation">
            <h2 id="evaluation-title">{move || text!("Which model, and at which threshold, on your pictures?")}</h2>
            <Show
                when=move || has_pictures.get()
                fallback=move || view! {
                    <p data-testid="evaluation-empty">{move || text!(
                        "Drop pictures together with their annotations (VOC, COCO or YOLO): the models on show are scored as soon as they have looked at them."
                    )}</p>
                }
            >
                <Progress set/>
                <ScoreTable set/>
                <ThresholdCurves set/>
                <ClassScores set/>
                <SizeTable set/>
                <ConfusionTables set/>
                <DifferingPictures set/>
            </Show>
        </section>
    }
}

/// How many of the pictures are scored, and the figures to take away.
#[component]
fn Progress(set: ReadSignal<SetEvaluation>) -> impl IntoView {
    let state = State::get();
    let scored = move || set.read().pictures.len();
    let all = move || gather::candidates(state).len();
    let save = move |ending: &'static str| {
        let set = set.get_untracked();
        spawn_local(async move {
            let blob = match ending {
                "json" => export::text_blob(&export::evaluation_json(&set), "application/json"),
                "csv" => export::text_blob(&export::evaluation_csv(&set), "text/csv"),
                "png" => export::evaluation_png(&set).await,
                _ => match export::evaluation_html().await {
                    Ok(page) => export::text_blob(&page, "text/html"),
                    Err(error) => Err(error),
                },
            };
            if blob.and_then(|blob| export::download(&format!("evaluation.{ending}"), &blob)).is_err() {
                state.notices.tell(text!("The browser could not make the file."));
            }
        });
    };
    view! {
        <div class="toolbar">
            <progress aria-label=move || text!("Pictures that are scored")
                value=move || scored().to_string() max=move || all().max(1).to_string()/>
            <span data-testid="evaluation-done">{move || text!(
                "%{scored} of %{all} pictures are annotated and were looked at by all models.",
                scored = scored(),
                all = all()
            )}</span>
            <PauseButton/>
            <span class="group take-away">
                {[("png", "PNG"), ("json", "JSON"), ("csv", "CSV"), ("html", "HTML")].map(|(ending, name)| view! {
                    <button type="button" class="plain" data-testid=format!("save-evaluation-{ending}")
                        title=move || text!("Save the evaluation as %{format}", format = name)
                        on:click=move |_| save(ending)
                    >{name}</button>
                })}
            </span>
        </div>
    }
}

/// Per cent of a part, 0-1.
fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

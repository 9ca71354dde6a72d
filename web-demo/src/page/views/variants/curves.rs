//! How the published weights came about: the curves of their training.

use std::sync::Arc;

use leptos::prelude::*;
use shared_model::Manifest;

use crate::page::language::text;
use crate::page::state::State;

/// One picture a model whose curves the site has.
#[component]
pub fn TrainingCurves(manifest: Arc<Manifest>) -> impl IntoView {
    let state = State::get();
    let url = move |file: &str| state.assets.find(&format!("models/{file}"));
    let figures = manifest.models.iter().filter_map(|model| {
        let url = url(model.curves.as_ref()?)?;
        let link = url.clone();
        let alt = text!("Training of %{model}: loss, learning rate and AP over the epochs", model = model.name);
        let caption = match &model.recipe {
            Some(recipe) => format!("{}: {recipe}", model.name),
            None => model.name.clone(),
        };
        Some(view! {
            <figure data-testid="curves" data-model=model.name.clone()>
                <a href=link><img src=url alt=alt loading="lazy" width="900" height="1000"/></a>
                <figcaption>{caption}</figcaption>
            </figure>
        })
    });
    let figures: Vec<_> = figures.collect();
    (!figures.is_empty()).then(|| view! {
        <section class="card" aria-labelledby="curves-title">
            <h2 id="curves-title">{text!("Training")}</h2>
            <p class="explain">
                {text!("Loss on the training pictures, learning rate, and score on validation pictures, epoch by epoch.")}
            </p>
            <div class="curves">{figures}</div>
        </section>
    })
}

//! The tables of results: what was published, what was measured, what it costs, how it was trained.

use std::sync::Arc;

use leptos::prelude::*;
use shared_model::{Manifest, ManifestEntry, Protocol};

use crate::page::language::text;
use crate::page::results::{COMPARISONS, INPUT_SIZE, ResultRow, SortKey, VOC_CLASSES, rows, sort};
use crate::page::words;

/// Pictures of VOC2007 test.
const VOC_IMAGES: usize = 4952;

/// A table for each comparison that has a row.
#[component]
pub fn Results(manifest: Arc<Manifest>) -> impl IntoView {
    let images = manifest.models.iter().filter_map(|model| model.voc2007_images).min().unwrap_or(VOC_IMAGES);
    view! {
        <section class="card" aria-labelledby="results-title">
            <h2 id="results-title">{text!("Results")}</h2>
            <p class="explain">
                {text!(
                    "AP50 and AP (mean over IoU .50:.05:.95) are per cent on Pascal VOC2007 test, by its own rules (11-point). \
                    Measured: the weights of this page, on %{images} of the %{all} pictures. Published: all pictures, after 300 \
                    epochs from random weights. Trainings and data differ: compare within one table, and there within a pair of columns.",
                    images = words::thousands(images), all = words::thousands(VOC_IMAGES)
                )}
                " "
                {manifest.reported.as_ref().map(|reported| view! {
                    <a href=reported.source.clone()>{text!("The original report")}</a>
                })}
            </p>
            {COMPARISONS.map(|comparison| view! { <ResultTable rows=rows(&manifest, comparison) comparison/> })}
            <p class="hint">
                {text!(
                    "GFLOPs of one picture of %{size} \u{d7} %{size} pixels, counted as in the published figures. Variants without \
                    weights are counted for %{classes} classes.",
                    size = INPUT_SIZE, classes = VOC_CLASSES
                )}
            </p>
        </section>
    }
}

/// The rows of one comparison under its name; headers sort.
#[component]
fn ResultTable(rows: Vec<ResultRow>, comparison: Option<Protocol>) -> impl IntoView {
    // What is sorted by, and whether downwards; at first the variants' own order.
    let order = RwSignal::new(None::<(SortKey, bool)>);
    let (id, code) = match comparison {
        Some(Protocol::Random) => ("results-random", "random"),
        Some(Protocol::Teacher) => ("results-teacher", "teacher"),
        None => ("results-others", "others"),
    };
    if rows.is_empty() {
        return None;
    }
    let sorted = move || {
        let mut rows = rows.clone();
        if let Some((key, descending)) = order.get() {
            sort(&mut rows, key, descending);
        }
        rows
    };
    Some(view! {
        <h3 id=id>{words::comparison(comparison)}</h3>
        <div class="wide" tabindex="0" role="group" aria-labelledby=id>
            <table class="results" data-testid="results" data-comparison=code>
                <thead>
                    <tr>
                        <th scope="col" rowspan="2">{text!("Variant")}</th>
                        <th scope="col" rowspan="2">{text!("Weights")}</th>
                        <th scope="colgroup" colspan="2" class="over">{text!("Measured")}</th>
                        <th scope="colgroup" colspan="2" class="over">{text!("Published")}</th>
                        <SortHeader order key=SortKey::Parameters name=text!("Parameters") rows="2"/>
                        <SortHeader order key=SortKey::Gflops name=text!("GFLOPs") rows="2"/>
                        <SortHeader order key=SortKey::Bytes name=text!("Download") rows="2"/>
                        <th scope="col" rowspan="2" class="numbers">{text!("Classes")}</th>
                        <th scope="col" rowspan="2">{text!("How trained")}</th>
                        <th scope="col" rowspan="2">{text!("Licence")}</th>
                    </tr>
                    <tr>
                        <SortHeader order key=SortKey::Ap50 name="AP50".into()/>
                        <SortHeader order key=SortKey::Ap name="AP".into()/>
                        <SortHeader order key=SortKey::PublishedAp50 name="AP50".into()/>
                        <SortHeader order key=SortKey::PublishedAp name="AP".into()/>
                    </tr>
                </thead>
                <tbody>{move || sorted().into_iter().map(result).collect_view()}</tbody>
            </table>
        </div>
    })
}

/// A column that can be sorted by: the greatest first, then the least first, then as it was.
#[component]
fn SortHeader(
    order: RwSignal<Option<(SortKey, bool)>>,
    key: SortKey,
    name: String,
    #[prop(optional)] rows: &'static str,
) -> impl IntoView {
    let descending = move || order.get().filter(|(by, _)| *by == key).map(|(_, descending)| descending);
    let click = move |_| {
        order.set(match descending() {
            None => Some((key, true)),
            Some(true) => Some((key, false)),
            Some(false) => None,
        });
    };
    let sorted = move || match descending() {
        Some(true) => "descending",
        Some(false) => "ascending",
        None => "none",
    };
    let arrow = move || match descending() {
        Some(true) => "\u{25bc}",
        Some(false) => "\u{25b2}",
        None => "\u{2195}",
    };
    view! {
        <th scope="col" class="numbers" rowspan=if rows.is_empty() { "1" } else { rows } aria-sort=sorted>
            <button type="button" class="sort" data-testid=format!("sort-{key:?}") on:click=click>
                {name}" "<span aria-hidden="true">{arrow}</span>
            </button>
        </th>
    }
}

fn result(row: ResultRow) -> impl IntoView {
    let per_cent = |figure: Option<f64>| figure.map_or("\u{2013}".into(), |figure| format!("{figure:.2}"));
    let figure = |key: SortKey| per_cent(key.of(&row));
    let (ap50, ap) = (figure(SortKey::Ap50), figure(SortKey::Ap));
    let (published_ap50, published_ap) = (figure(SortKey::PublishedAp50), figure(SortKey::PublishedAp));
    let name = row.model.as_ref().map(|model| model.name.clone());
    let data_model = name.clone();
    view! {
        <tr data-testid="result" data-variant=row.variant.name data-model=data_model>
            <th scope="row">{row.variant.name}<small>{row.variant.summary}</small></th>
            <td>{match name {
                Some(name) => view! { <strong>{name}</strong> }.into_any(),
                None => view! { <span class="quiet">{text!("no weights yet")}</span> }.into_any(),
            }}</td>
            <td class="figure" data-key="ap50">{ap50}</td>
            <td class="figure" data-key="ap">{ap}</td>
            <td class="figure" data-key="published-ap50">{published_ap50}</td>
            <td class="figure" data-key="published-ap">{published_ap}</td>
            <td class="figure" data-key="parameters">{words::thousands(row.parameters)}</td>
            <td class="figure" data-key="gflops">{format!("{:.4}", row.gflops)}</td>
            <td class="figure" data-key="bytes">
                {row.model.as_ref().map_or("\u{2013}".into(), |model| words::bytes(model.bytes))}
            </td>
            <td class="figure">{row.classes}</td>
            <td class="recipe">{row.model.as_ref().map_or("\u{2013}".into(), trained)}</td>
            <td>{row.model.as_ref().map_or("\u{2013}".into(), |model| model.licence.clone())}</td>
        </tr>
    }
}

fn trained(model: &ManifestEntry) -> String {
    let recipe = model.recipe.as_ref().map(|recipe| format!("; {recipe}")).unwrap_or_default();
    format!("{}{recipe}", model.trained_on)
}

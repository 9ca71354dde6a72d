//! Models side by side on one picture.

mod cost;
mod filters;
mod gestures;
mod legend;
mod model_choice;
mod objects;
mod panels;
mod phase;
mod stage;
mod summary;
mod take_away;
mod toolbar;

use leptos::prelude::*;

use super::gallery::Gallery;
use super::kept::KeptWeights;
use super::sources::{CameraControls, Sources};
use crate::page::language::text;
use crate::page::state::State;
use cost::CostTable;
use filters::{ClassFilter, Thresholds};
use legend::LineLegend;
use objects::ObjectTable;
use panels::PanelGrid;
use summary::Summary;
use toolbar::Toolbar;

/// The view that the page opens with.
#[component]
pub fn CompareView() -> impl IntoView {
    view! {
        <Sources/>
        <CameraControls/>
        <Gallery/>
        <Toolbar/>
        <Summary/>
        <PanelGrid/>
        <Caption/>
        <LineLegend/>
        <div class="details">
            <ObjectTable/>
            <div class="column">
                <Thresholds/>
                <ClassFilter/>
                <KeptWeights/>
            </div>
            <CostTable/>
        </div>
    }
}

/// What picture it is.
#[component]
fn Caption() -> impl IntoView {
    let state = State::get();
    view! {
        <p class="caption">{move || state.input.shown().map(|opened| {
            let credit = opened.picture.sample.map(|sample| view! {
                <span>
                    {text!("Photograph: %{by},", by = sample.credit)}" "
                    <a href=sample.licence_url rel="license noreferrer">{sample.licence}</a>
                </span>
            });
            view! {
                <span class="file" data-testid="caption">{opened.picture.name.clone()}</span>
                <span>{text!("%{width} \u{d7} %{height} pixels", width = opened.width, height = opened.height)}</span>
                {credit}
            }
        })}</p>
    }
}

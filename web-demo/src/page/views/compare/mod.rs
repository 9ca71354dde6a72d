//! Models side by side on one picture.

mod classes;
mod cost;
mod gestures;
mod legend;
mod objects;
mod options;
mod panels;
mod phase;
mod stage;
mod summary;
mod take_away;
mod toolbar;

use leptos::prelude::*;

use super::camera::Camera;
use super::gallery::Gallery;
use super::sources::Sources;
use super::thresholds::Thresholds;
use crate::page::language::text;
use crate::page::state::State;
use classes::Classes;
use cost::Costs;
use legend::Legend;
use objects::Objects;
use panels::Panels;
use summary::Summary;
use toolbar::Toolbar;

/// The view that the page opens with.
#[component]
pub fn Compare() -> impl IntoView {
    view! {
        <Sources/>
        <Camera/>
        <Gallery/>
        <Toolbar/>
        <Summary/>
        <Panels/>
        <Caption/>
        <Legend/>
        <div class="details">
            <Objects/>
            <div class="column">
                <Thresholds/>
                <Classes/>
            </div>
            <Costs/>
        </div>
    }
}

/// What picture it is.
#[component]
fn Caption() -> impl IntoView {
    let state = State::get();
    view! {
        <p class="caption">{move || state.picture.get().map(|opened| {
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

//! Where pictures come from: the visitor's own, the camera with its controls, or samples.

use leptos::html;
use leptos::prelude::*;

use super::film_counts::FilmCounts;
use crate::page::camera::{Camera, Pace, Position};
use crate::page::intake;
use crate::page::language::text;
use crate::page::samples::SAMPLES;
use crate::page::state::State;

/// Files that the page takes: pictures, annotations, weights.
const ACCEPTED: &str =
    "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/avif,video/*,.xml,.json,.txt,.names,.safetensors";

/// Seconds between two frames of most videos.
const FRAME: f64 = 0.04;

/// The strip of buttons that choose a picture.
#[component]
pub fn Sources() -> impl IntoView {
    let state = State::get();
    let camera = expect_context::<Camera>();
    let (files, folder) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let choose = move |input: NodeRef<html::Input>| {
        if let Some(input) = input.get() {
            intake::open_files(state, input.files());
            // So that choosing the same file again is a change.
            input.set_value("");
        }
    };
    let chosen = move || state.input.shown().and_then(|opened| opened.picture.sample).map(|sample| sample.id);
    view! {
        <nav class="sources" aria-label=move || text!("Choose a picture")>
            <label class="upload">
                <input type="file" accept=ACCEPTED multiple node_ref=files on:change=move |_| choose(files) data-testid="upload"/>
                <span class="upload-button">{move || text!("Choose pictures")}</span>
            </label>
            <Unfold/>
            <label class="upload folder folded">
                <input
                    type="file" multiple prop:webkitdirectory=true
                    node_ref=folder on:change=move |_| choose(folder) data-testid="upload-folder"
                />
                <span class="upload-button quiet">{move || text!("A folder")}</span>
            </label>
            <button type="button" class="plain folded" data-testid="camera-start" on:click=move |_| camera.start()>
                {move || text!("Camera")}
            </button>
            <ul class="samples folded" aria-label=move || text!("Samples")>
                {SAMPLES.iter().map(|sample| view! {
                    <li>
                        <button
                            type="button"
                            aria-pressed=move || (chosen() == Some(sample.id)).to_string()
                            title=move || sample.title()
                            data-testid=format!("sample-{}", sample.id)
                            on:click=move |_| intake::open_sample(state, sample)
                        >
                            <img src=state.assets.url(&sample.thumbnail()) alt=move || sample.title() width="96" height="72"/>
                        </button>
                    </li>
                }).collect_view()}
            </ul>
            <p class="upload-hint folded">{move || text!(
                "Or drop or paste anywhere: pictures, their annotations (VOC, COCO, YOLO) to score the models, a video, or weights of your own (.safetensors)."
            )}</p>
        </nav>
    }
}

/// On a phone, the way to the controls that are folded away there: `folded` in the style sheet.
#[component]
fn Unfold() -> impl IntoView {
    let unfolded = State::get().display.unfolded;
    view! {
        <button
            type="button"
            class="plain unfold"
            aria-expanded=move || unfolded.get().to_string()
            data-testid="unfold"
            on:click=move |_| unfolded.update(|unfolded| *unfolded = !*unfolded)
        >{move || if unfolded.get() { text!("Fewer controls") } else { text!("More controls") }}</button>
    }
}

/// Pause, the other side, off, and how fast frames follow each other.
#[component]
pub fn CameraControls() -> impl IntoView {
    let state = State::get();
    let camera = expect_context::<Camera>();
    // Of a video file. The slider so stays the same element while it plays.
    let length = Memo::new(move |_| camera.position.get().map(|position| position.length));
    view! {
        <Show when=move || state.input.is_live()>
            <div class="camera" role="group" aria-label=move || text!("Camera") data-testid="camera">
                <span class="rate" data-testid="fps">{move || match camera.pace.get() {
                    Some(Pace { rate, busy }) => text!(
                        "%{rate} frames a second; %{percent} % of the time is the networks'",
                        rate = format!("{rate:.1}"),
                        percent = format!("{:.0}", 100.0 * busy)
                    ),
                    None => text!("Starting"),
                }}</span>
                <button type="button" class="plain" data-testid="camera-pause"
                    aria-pressed=move || camera.is_paused.get().to_string()
                    on:click=move |_| camera.is_paused.update(|is_paused| *is_paused = !*is_paused)
                >{move || if camera.is_paused.get() { text!("Go on") } else { text!("Pause") }}</button>
                {move || match length.get() {
                    Some(length) => view! { <Timeline length/> }.into_any(),
                    None => view! {
                        <button type="button" class="plain" data-testid="camera-turn" on:click=move |_| camera.turn()>
                            {move || if camera.is_back.get() { text!("Front camera") } else { text!("Back camera") }}
                        </button>
                    }
                    .into_any(),
                }}
                <button type="button" class="plain" data-testid="camera-stop" on:click=move |_| camera.stop()>
                    {move || if length.get().is_some() { text!("Close") } else { text!("Camera off") }}
                </button>
                <FilmCounts/>
            </div>
        </Show>
    }
}

/// Where a video file is, of `length` seconds; the arrow keys go from frame to frame.
#[component]
fn Timeline(length: f64) -> impl IntoView {
    let camera = expect_context::<Camera>();
    let at = move || camera.position.get().map_or(0.0, |Position { at, .. }| at);
    let place =
        move || if length.is_finite() { format!("{:.1} / {length:.1} s", at()) } else { format!("{:.1} s", at()) };
    view! {
        {length.is_finite().then(|| view! {
            <input
                type="range"
                min="0"
                max=length.to_string()
                step=FRAME.to_string()
                aria-label=move || text!("Place in the video")
                aria-valuetext=place
                data-testid="video-place"
                prop:value=move || at().to_string()
                on:input=move |event| {
                    camera.is_paused.set(true);
                    camera.seek(event_target_value(&event).parse().unwrap_or_default());
                }
            />
        })}
        <span class="rate" data-testid="video-time">{place}</span>
    }
}

//! The picture with boxes over it: of one panel, or of two with a slider between them.

use leptos::prelude::*;
use leptos::{ev, html};
use leptos_use_resize_observer::use_resize_observer;

use super::gestures::Gestures;
use crate::page::draw::{self, Scene};
use crate::page::language::text;
use crate::page::marks::{Mark, hit, marks};
use crate::page::panel::Panel;
use crate::page::picture::PictureContent;
use crate::page::state::State;
use crate::page::words;

/// The picture and the boxes of `panels`, each with its place in the comparison. Of two, the first one's boxes are drawn
/// left of `split` (0 to 1), the second one's right of it.
#[component]
pub fn PictureStage(panels: Vec<(usize, Panel)>, #[prop(optional)] split: Option<RwSignal<f64>>) -> impl IntoView {
    let state = State::get();
    let display = state.display;
    let marks_of = move |panel: usize| {
        Memo::new(move |_| marks(&display.comparison.read(), panel, display.differences_only.get()))
    };
    let layers: Vec<(usize, Memo<Vec<Mark>>)> = panels.iter().map(|&(i, _)| (i, marks_of(i))).collect();
    let shown = layers.clone();
    let marks_at = move |x: f64| {
        let second = split.is_some_and(|split| x > split.get_untracked());
        shown[usize::from(second && shown.len() > 1)].1
    };
    let gestures = Gestures::new(state);
    let point = move |event: &ev::PointerEvent| {
        let Some(opened) = untrack(|| state.input.shown()) else { return };
        let at = Gestures::position(event);
        let (x, y) = state.display.zoom.get_untracked().at(at);
        let (x, y) = (x as f32 * opened.width as f32, y as f32 * opened.height as f32);
        let under = marks_at(at.0).with_untracked(|marks| hit(marks, x, y));
        if untrack(|| state.display.highlighted()) != under {
            state.display.highlight(under);
        }
    };
    let names: Vec<String> = panels.iter().map(|(_, panel)| panel.name()).collect();
    let label = move || {
        text!("Picture with the boxes of %{model}. Plus and minus zoom, arrows move.", model = names.join(", "))
    };
    let described = panels.clone();
    view! {
        <div
            class="stage"
            class:waiting=move || state.input.shown_id().is_none()
            class:zoomed=move || !state.display.zoom.get().is_whole()
            role="group"
            tabindex="0"
            aria-label=label
            data-testid="stage"
            on:keydown=move |event| gestures.key(&event)
        >
            {move || state.input.shown().map(|opened| {
                let described = described.clone();
                let description = move || description(state, &described);
                let transform = move || {
                    let zoom = state.display.zoom.get();
                    format!("scale({}) translate({}%, {}%)", zoom.scale, -100.0 * zoom.x, -100.0 * zoom.y)
                };
                match opened.picture.content {
                    PictureContent::File { url, .. } => view! {
                        <img
                            src=url
                            alt=description
                            width=opened.width
                            height=opened.height
                            data-testid="picture"
                            style:transform=transform
                        />
                    }
                    .into_any(),
                    PictureContent::Frame(bitmap) => {
                        let canvas = NodeRef::<html::Canvas>::new();
                        Effect::new(move || if let Some(canvas) = canvas.get() { draw::put(&canvas, &bitmap) });
                        view! {
                            <canvas
                                node_ref=canvas
                                class="frame"
                                role="img"
                                aria-label=description
                                width=opened.width
                                height=opened.height
                                data-testid="picture"
                                style:transform=transform
                            ></canvas>
                        }
                        .into_any()
                    }
                }
            })}
            {layers.into_iter().enumerate().map(|(place, (_, marks))| {
                let clip = move || split.map(|split| {
                    let at = 100.0 * split.get();
                    if place == 0 { format!("inset(0 {}% 0 0)", 100.0 - at) } else { format!("inset(0 0 0 {at}%)") }
                });
                view! { <Boxes marks clip=Signal::derive(clip)/> }
            }).collect_view()}
            {split.map(|split| view! { <div class="split" style:left=move || format!("{}%", 100.0 * split.get())></div> })}
            <div
                class="hands"
                data-testid="hands"
                on:pointermove=move |event| {
                    // Fingers that are down move the picture if it is enlarged; otherwise, the line between two panels.
                    if gestures.moved(&event) {
                        return;
                    }
                    match split.filter(|_| event.buttons() == 1) {
                        Some(split) => split.set(Gestures::position(&event).0.clamp(0.0, 1.0)),
                        None => point(&event),
                    }
                }
                on:pointerdown=move |event| gestures.down(&event)
                on:pointerup=move |event| gestures.up(&event)
                on:pointercancel=move |event| gestures.up(&event)
                on:pointerleave=move |_| state.display.highlight(None)
                on:dblclick=move |event| gestures.double(&event)
                on:wheel=move |event| gestures.wheel(&event)
            ></div>
        </div>
    }
}

/// A canvas over the picture.
#[component]
fn Boxes(marks: Memo<Vec<Mark>>, clip: Signal<Option<String>>) -> impl IntoView {
    let state = State::get();
    let canvas = NodeRef::<html::Canvas>::new();
    // In CSS pixels, as the browser tells them: asking the canvas would make it lay the page out, in the midst of changes.
    let size = RwSignal::new((0.0, 0.0));
    use_resize_observer(canvas, move |entries, _| {
        if let Some(entry) = entries.first() {
            let area = entry.content_rect();
            size.set((area.width(), area.height()));
        }
    });
    Effect::new(move || {
        let (Some(canvas), Some(opened)) = (canvas.get(), state.input.shown()) else { return };
        let scene = Scene {
            marks: &marks.read(),
            highlighted: state.display.highlighted(),
            picture: (opened.width, opened.height),
            zoom: state.display.zoom.get(),
        };
        if let Err(error) = draw::draw(&canvas, size.get(), &scene) {
            leptos::logging::error!("drawing: {error:?}");
        }
    });
    view! {
        <canvas
            node_ref=canvas
            aria-hidden="true"
            data-testid="boxes"
            data-marks=move || marks.read().len()
            style:clip-path=move || clip.get().unwrap_or_default()
        ></canvas>
    }
}

/// The picture and what is found in it, for those who cannot see it.
fn description(state: State, panels: &[(usize, Panel)]) -> String {
    let name = state.input.shown().map(|opened| match opened.picture.sample {
        Some(sample) => sample.title(),
        None => opened.picture.name.clone(),
    });
    let comparison = state.display.comparison.read();
    let found = panels.iter().filter_map(|(i, panel)| {
        let seen = comparison.predictions.get(*i)?.as_ref()?;
        let found = words::counts(&seen.detections, &seen.classes);
        let found = if found.is_empty() { text!("no objects") } else { found };
        Some(format!("{}: {found}", panel.name()))
    });
    let found: Vec<String> = found.collect();
    format!("{}; {}", name.unwrap_or_default(), found.join("; "))
}

//! Hands on the picture: wheel, drag, pinch and keys move the window that all panels share.

use std::collections::BTreeMap;

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::page::state::State;
use crate::page::zoom::Zoom;

/// How much a key press or a click on a button enlarges.
pub const STEP: f64 = 1.4;
/// How much a double click enlarges.
const LEAP: f64 = 2.5;
/// How far an arrow key moves, in windows.
const PACE: f64 = 0.15;

/// Fingers and mouse buttons that are down on one stage.
#[derive(Clone, Copy)]
pub struct Gestures {
    state: State,
    /// Where each was last, in parts of the window.
    down: StoredValue<BTreeMap<i32, (f64, f64)>>,
}

impl Gestures {
    /// No finger is down.
    pub fn new(state: State) -> Self {
        Self { state, down: StoredValue::new(BTreeMap::new()) }
    }

    /// Where an event is, in parts of the window.
    pub fn position(event: &ev::PointerEvent) -> (f64, f64) {
        position(event)
    }

    /// A finger or a button goes down.
    pub fn down(self, event: &ev::PointerEvent) {
        if let Some(element) = target(event) {
            // Also when it leaves the picture.
            let _ = element.set_pointer_capture(event.pointer_id());
        }
        self.down.update_value(|down| down.extend([(event.pointer_id(), position(event))]));
    }

    /// A finger or a button goes up.
    pub fn up(self, event: &ev::PointerEvent) {
        self.down.update_value(|down| down.retain(|id, _| *id != event.pointer_id()));
    }

    /// A pointer moves; true if that moved the picture.
    pub fn moved(self, event: &ev::PointerEvent) -> bool {
        let (id, now) = (event.pointer_id(), position(event));
        let others = |down: &BTreeMap<i32, (f64, f64)>| down.iter().find(|(other, _)| **other != id).map(|(_, at)| *at);
        let Some((before, other)) = self.down.with_value(|down| Some((*down.get(&id)?, others(down)))) else {
            return false;
        };
        self.down.update_value(|down| down.extend([(id, now)]));
        let zoom = self.state.display.zoom.get_untracked();
        let moved = match other {
            Some(other) => {
                let factor = distance(now, other) / distance(before, other).max(1e-6);
                let middle = |at: (f64, f64)| ((at.0 + other.0) / 2.0, (at.1 + other.1) / 2.0);
                let (from, to) = (middle(before), middle(now));
                zoom.dragged((to.0 - from.0, to.1 - from.1)).by(factor, to)
            }
            None if zoom.is_whole() => return false,
            None => zoom.dragged((now.0 - before.0, now.1 - before.1)),
        };
        self.state.display.zoom.set(moved);
        true
    }

    /// The wheel, with Ctrl or as a trackpad's pinch: alone it scrolls the page.
    pub fn wheel(self, event: &ev::WheelEvent) {
        if event.ctrl_key() || event.meta_key() {
            event.prevent_default();
            let factor = (-event.delta_y() / 200.0).clamp(-1.0, 1.0).exp();
            self.state.display.zoom.update(|zoom| *zoom = zoom.by(factor, position(event)));
        }
    }

    /// A double click enlarges, and the next one shows the whole again.
    pub fn double(self, event: &ev::MouseEvent) {
        self.state.display.zoom.update(|zoom| {
            *zoom = if zoom.is_whole() { zoom.by(LEAP, position(event)) } else { Zoom::default() };
        });
    }

    /// Plus, minus, 0 and the arrows.
    pub fn key(self, event: &ev::KeyboardEvent) {
        let zoom = self.state.display.zoom.get_untracked();
        let centre = (0.5, 0.5);
        let changed = match event.key().as_str() {
            "+" | "=" => zoom.by(STEP, centre),
            "-" => zoom.by(1.0 / STEP, centre),
            "0" | "Escape" => Zoom::default(),
            _ if zoom.is_whole() => return,
            "ArrowLeft" => zoom.dragged((PACE, 0.0)),
            "ArrowRight" => zoom.dragged((-PACE, 0.0)),
            "ArrowUp" => zoom.dragged((0.0, PACE)),
            "ArrowDown" => zoom.dragged((0.0, -PACE)),
            _ => return,
        };
        if !event.ctrl_key() && !event.meta_key() {
            event.prevent_default();
            self.state.display.zoom.set(changed);
        }
    }
}

fn target(event: &web_sys::Event) -> Option<HtmlElement> {
    event.current_target()?.dyn_into().ok()
}

fn position(event: &web_sys::MouseEvent) -> (f64, f64) {
    let Some(element) = target(event) else { return (0.5, 0.5) };
    let area = element.get_bounding_client_rect();
    let part = |at: i32, start: f64, length: f64| (f64::from(at) - start) / length.max(1.0);
    (part(event.client_x(), area.left(), area.width()), part(event.client_y(), area.top(), area.height()))
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

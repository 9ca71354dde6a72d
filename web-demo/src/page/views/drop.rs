//! The whole page takes dropped files.

use leptos::ev;
use leptos::prelude::*;

use crate::page::intake;
use crate::page::language::text;
use crate::page::state::State;

/// The page, and a hint over it while files hover.
#[component]
pub fn DropTarget(children: Children) -> impl IntoView {
    let state = State::get();
    // Entering a child comes before leaving its parent: counting tells when the pointer has really left.
    let depth = RwSignal::new(0_i32);
    let has_files =
        |event: &ev::DragEvent| event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0));
    let enter = move |event: ev::DragEvent| {
        if has_files(&event) {
            event.prevent_default();
            depth.update(|depth| *depth += 1);
        }
    };
    let leave = move |event: ev::DragEvent| {
        if has_files(&event) {
            depth.update(|depth| *depth -= 1);
        }
    };
    let over = move |event: ev::DragEvent| {
        if has_files(&event) {
            // Without this the browser would leave the page and show the file.
            event.prevent_default();
        }
    };
    let drop = move |event: ev::DragEvent| {
        event.prevent_default();
        depth.set(0);
        if let Some(data) = event.data_transfer() {
            intake::open_drop(state, &data);
        }
    };
    view! {
        <div
            class="page"
            class:dropping=move || { depth.get() > 0 }
            class:unfolded=state.display.unfolded
            data-testid="page"
            data-memory=move || state.worker.memory()
            on:dragenter=enter
            on:dragleave=leave
            on:dragover=over
            on:drop=drop
        >
            {children()}
            <div class="drop-hint" aria-hidden="true"><span>{move || text!("Drop pictures, annotations or weights")}</span></div>
        </div>
    }
}

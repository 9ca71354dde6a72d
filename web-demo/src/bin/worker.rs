//! The worker's program, of which `assets/worker.js` calls these functions.

use wasm_bindgen::prelude::wasm_bindgen;

/// Every thread begins here, and finds nothing to do: what it is for, it is told by a function.
fn main() {}

/// Serves the page, on this thread and those that have joined it.
#[wasm_bindgen]
pub fn serve() {
    web_demo::worker::start();
}

/// Makes `threads` threads one pool: this one and the others, each of which is calling [`join`].
#[cfg(target_feature = "atomics")]
#[wasm_bindgen]
pub fn gather(threads: usize) {
    web_demo::worker::threads::gather(threads);
}

/// Works for the thread that calls [`gather`], for ever.
#[cfg(target_feature = "atomics")]
#[wasm_bindgen]
pub fn join() {
    web_demo::worker::threads::join();
}

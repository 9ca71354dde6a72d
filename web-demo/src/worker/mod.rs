//! The worker: gets weights, decodes pictures, runs networks.
//!
//! Pictures and runs are taken one after another, so that networks never compete for the processor while they are timed.

mod pixels;
mod scope;
mod session;
#[cfg(target_feature = "atomics")]
pub mod threads;
mod weights;

use futures_channel::mpsc;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;

use crate::protocol::{self, Reply, Request};
use scope::{post, scope};

/// Starts listening, and tells the page so.
pub fn start() {
    announce_death();
    let (sender, requests) = mpsc::unbounded();
    let listen = Closure::<dyn Fn(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
        let request: Request = protocol::decode(event.data()).expect("a request of this build's page");
        // The receiving end lives as long as the worker.
        let _ = sender.unbounded_send(request);
    });
    scope().set_onmessage(Some(listen.as_ref().unchecked_ref()));
    listen.forget();
    let relaxed_simd = cfg!(target_feature = "relaxed-simd");
    post(&Reply::Ready { threads: rayon::current_num_threads(), relaxed_simd });
    spawn_local(session::serve(requests));
}

/// After a panic or a trap (out of memory, for one) nothing in this program's memory can be relied on: whoever waits for
/// an answer must learn that none will come.
fn announce_death() {
    std::panic::set_hook(Box::new(|info| post(&Reply::Died(info.to_string()))));
    // A trap inside asynchronous code is a rejected promise, which `Worker.onerror` does not see.
    let rejected = Closure::<dyn Fn(web_sys::PromiseRejectionEvent)>::new(|event: web_sys::PromiseRejectionEvent| {
        post(&Reply::Died(scope::describe(&event.reason())));
    });
    let _ = scope().add_event_listener_with_callback("unhandledrejection", rejected.as_ref().unchecked_ref());
    rejected.forget();
}

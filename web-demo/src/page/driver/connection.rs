//! The line to a worker.

use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, Event, MessageEvent, Worker};

use crate::page::language::text;
use crate::protocol::{self, Reply, Request};

/// A worker; dropping the connection ends it and gives its memory back.
pub struct Connection {
    worker: Worker,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(Event)>,
}

impl Connection {
    /// Takes over the worker that index.html's script has started, or else starts one. Everything it says from now on goes
    /// to `listener`, an error of its own as [`Reply::Died`]; what it has said so far is returned.
    pub fn open(listener: impl Fn(Reply) + Clone + 'static) -> Result<(Self, Vec<Reply>), JsValue> {
        let start = WorkerStart::get().ok_or("start-worker.js has not run")?;
        let (worker, events) = match start.worker() {
            Some(worker) => (worker, start.events().to_vec()),
            None => (start.start()?, vec![]),
        };
        start.set_worker(None);
        let on_message = {
            let listener = listener.clone();
            Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| listener(said(&event)))
        };
        let on_error = Closure::<dyn Fn(Event)>::new(move |event: Event| listener(failed(&event)));
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let before = events.iter().map(|event| match event.dyn_ref::<MessageEvent>() {
            Some(event) => said(event),
            None => failed(event.unchecked_ref()),
        });
        let before = before.collect();
        Ok((Self { worker, _on_message: on_message, _on_error: on_error }, before))
    }
    pub fn send(&self, request: &Request) {
        // Fails only for what cannot be cloned, which no request holds.
        let _ = self.worker.post_message(&protocol::encode(request));
    }
}

fn said(event: &MessageEvent) -> Reply {
    protocol::decode(event.data()).unwrap_or_else(|| Reply::Died(text!("the worker is of another version")))
}

fn failed(event: &Event) -> Reply {
    // A script that could not be loaded gives an event without a message.
    let message = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
    Reply::Died(message.unwrap_or_else(|| text!("its program could not be loaded")))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

#[wasm_bindgen]
extern "C" {
    /// What `web-demo/assets/start-worker.js` leaves behind: the choice of a build, and a worker that loads while the
    /// page still does.
    #[derive(Clone)]
    pub type WorkerStart;

    #[wasm_bindgen(thread_local_v2, js_name = workerStart)]
    static WORKER_START: Option<WorkerStart>;

    /// Starts a worker in the build that is chosen.
    #[wasm_bindgen(method, catch)]
    fn start(this: &WorkerStart) -> Result<Worker, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn worker(this: &WorkerStart) -> Option<Worker>;

    #[wasm_bindgen(method, setter)]
    fn set_worker(this: &WorkerStart, worker: Option<Worker>);

    #[wasm_bindgen(method, getter)]
    fn events(this: &WorkerStart) -> js_sys::Array;

    /// Threads of the build that is chosen.
    #[wasm_bindgen(method, getter)]
    pub fn threads(this: &WorkerStart) -> usize;

    /// Why there is one thread only, in a word; empty if there are more.
    #[wasm_bindgen(method, getter)]
    pub fn why(this: &WorkerStart) -> String;

    /// Turns to the build without threads, for a reason; false if that is what has been running.
    #[wasm_bindgen(method)]
    pub fn retreat(this: &WorkerStart, reason: &str) -> bool;
}

impl WorkerStart {
    /// The one of this page.
    pub fn get() -> Option<Self> {
        WORKER_START.with(Option::clone)
    }
}

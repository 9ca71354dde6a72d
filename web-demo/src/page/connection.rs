//! The line to a worker.

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ErrorEvent, Event, MessageEvent, Worker, WorkerOptions, WorkerType};

use crate::protocol::{self, Reply, Request};

/// A worker; dropping the connection ends it and gives its memory back.
pub struct Connection {
    worker: Worker,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(Event)>,
}

impl Connection {
    /// Takes over the worker that index.html's script has started, or else starts one. Everything it says goes to
    /// `listener`, an error of its own as [`Reply::Died`].
    pub fn open(url: &str, listener: impl Fn(Reply) + Clone + 'static) -> Result<Self, JsValue> {
        let startup = Startup::take();
        let worker = match &startup {
            Some(startup) => startup.worker(),
            None => {
                let options = WorkerOptions::new();
                options.set_type(WorkerType::Module);
                Worker::new_with_options(url, &options)?
            }
        };
        let on_message = {
            let listener = listener.clone();
            Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
                let reply = protocol::decode(event.data());
                listener(reply.unwrap_or_else(|| Reply::Died("the worker is of another version".into())));
            })
        };
        let on_error = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            // A script that could not be loaded gives an event without a message.
            let message = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
            listener(Reply::Died(message.unwrap_or_else(|| "its program could not be loaded".into())));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        for event in startup.iter().flat_map(|startup| startup.events().to_vec()) {
            // What the worker said before anybody listened.
            let handler = if event.has_type::<MessageEvent>() { on_message.as_ref() } else { on_error.as_ref() };
            handler.unchecked_ref::<js_sys::Function>().call1(&JsValue::NULL, &event)?;
        }
        Ok(Self { worker, _on_message: on_message, _on_error: on_error })
    }

    /// Posts a request.
    pub fn send(&self, request: &Request) {
        // Fails only for what cannot be cloned, which no request holds.
        let _ = self.worker.post_message(&protocol::encode(request));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    /// What `web-demo/assets/start.js` leaves behind: a worker that loads while the page still does.
    type Startup;

    #[wasm_bindgen(method, getter)]
    fn worker(this: &Startup) -> Worker;

    #[wasm_bindgen(method, getter)]
    fn events(this: &Startup) -> js_sys::Array;
}

impl Startup {
    /// There is one, once.
    fn take() -> Option<Self> {
        let (global, key) = (js_sys::global(), JsValue::from("startup"));
        let startup = js_sys::Reflect::get(&global, &key).ok().filter(JsValue::is_object)?;
        let _ = js_sys::Reflect::delete_property(&global, &key);
        Some(startup.unchecked_into())
    }
}

//! The worker's memory between requests, and how it answers them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::stream::Peekable;
use futures_util::{FutureExt, StreamExt};
use gloo_timers::future::TimeoutFuture;
use shared_model::{Detection, Detector, Picture, Weights, nms};
use wasm_bindgen_futures::spawn_local;

use super::pixels::{self, Pixels};
use super::scope::{memory, now, post};
use super::weights;
use crate::protocol::{MIN_SCORE, ModelFile, Reply, Request, Timing};

/// Runs after the first one on a picture, for a median that one disturbance does not move.
const WARM_RUNS: usize = 5;

/// Overlap used while timing; what is shown is chosen on the page.
const TIMED_NMS: f32 = 0.45;

/// Answers requests for ever.
pub async fn serve(requests: UnboundedReceiver<Request>) {
    let mut requests = requests.peekable();
    let mut session = Session::default();
    while let Some(request) = requests.next().await {
        match request {
            // Beside the others: a picture need not wait for a download.
            Request::Load(file) => spawn_local(load(Rc::clone(&session.models), file)),
            Request::Open { picture, blob } => session.open(picture, &blob).await,
            Request::Run { picture, model } => session.run(picture, model, &mut requests).await,
        }
    }
}

#[derive(Default)]
struct Session {
    models: Models,
    picture: Option<(u32, Pixels)>,
}

/// Models by name.
type Models = Rc<RefCell<BTreeMap<String, Rc<Model>>>>;

struct Model {
    detector: Detector,
    has_run: Cell<bool>,
}

impl Session {
    async fn open(&mut self, picture: u32, blob: &web_sys::Blob) {
        // The old picture's memory goes first: large ones come close to what a tab may use.
        self.picture = None;
        match pixels::decode(blob).await {
            Ok(pixels) => {
                let (width, height) = (pixels.width, pixels.height);
                self.picture = Some((picture, pixels));
                post(&Reply::Opened { picture, width, height });
            }
            Err(message) => post(&Reply::OpenFailed { picture, message }),
        }
    }

    async fn run(&mut self, picture: u32, model: String, requests: &mut Peekable<UnboundedReceiver<Request>>) {
        // Whatever is missing has been reported when it failed.
        let Some((_, pixels)) = self.picture.as_ref().filter(|(opened, _)| *opened == picture) else { return };
        let Some(loaded) = self.models.borrow().get(&model).cloned() else { return };
        let detector = &loaded.detector;
        let cold = !loaded.has_run.replace(true);
        let (candidates, timing) = match detect(detector, pixels) {
            Ok(found) => found,
            Err(error) => {
                let message = format!("The network failed on this picture: {error}");
                return post(&Reply::RunFailed { picture, model, message });
            }
        };
        post(&Reply::Found { picture, model: model.clone(), candidates, timing, cold });

        let mut timings = Vec::new();
        while timings.len() < WARM_RUNS {
            // Messages arrive only between tasks; somebody who waits for boxes goes first.
            TimeoutFuture::new(0).await;
            if Pin::new(&mut *requests).peek().now_or_never().is_some() {
                break;
            }
            match detect(detector, pixels) {
                Ok((_, timing)) => timings.push(timing),
                Err(_) => break,
            }
        }
        if !timings.is_empty() {
            post(&Reply::Measured { picture, model, timings, memory: memory() });
        }
    }
}

async fn load(models: Models, file: ModelFile) {
    let model = file.model.clone();
    let detector = match weights::fetch(&file).await {
        Ok(bytes) => prepare(&bytes),
        Err(message) => Err(message),
    };
    match detector {
        Ok(detector) => {
            let classes = detector.metadata().class_names.clone();
            models.borrow_mut().insert(model.clone(), Rc::new(Model { detector, has_run: Cell::new(false) }));
            post(&Reply::Loaded { model, classes });
        }
        Err(message) => post(&Reply::LoadFailed { model, message }),
    }
}

fn prepare(bytes: &[u8]) -> Result<Detector, String> {
    let weights = Weights::from_bytes(bytes).map_err(|error| error.to_string())?;
    Detector::new(&weights).map_err(|error| error.to_string())
}

/// One timed run.
fn detect(detector: &Detector, pixels: &Pixels) -> Result<(Vec<Detection>, Timing), Box<dyn std::error::Error>> {
    let picture = Picture::rgba(&pixels.rgba, pixels.width as usize, pixels.height as usize)?;
    let start = now();
    let input = detector.preprocess(picture)?;
    let preprocessed = now();
    let raw = detector.forward(&input)?;
    let ran = now();
    let candidates = detector.candidates(&input, &raw, MIN_SCORE)?;
    nms(&candidates, TIMED_NMS);
    let timing = Timing { preprocess: preprocessed - start, network: ran - preprocessed, postprocess: now() - ran };
    Ok((candidates, timing))
}

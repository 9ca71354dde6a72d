//! The worker's memory between requests, and how it answers them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use candle_core::{Device, Tensor};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::stream::Peekable;
use futures_util::{FutureExt, StreamExt};
use gloo_timers::future::TimeoutFuture;
use shared_model::{Detection, Detector, Image, PAD, Variant, Weights, clip, cost, nms};
use wasm_bindgen_futures::spawn_local;

use super::pixels::{self, PixelBuffer};
use super::scope::{memory, now, post};
use super::weights;
use crate::protocol::{
    LoadError, MIN_SCORE, ModelFacts, PictureSource, Reply, Request, RunError, Thresholds, Timing, WeightsSource,
};

/// Overlap used while timing; what is shown is chosen on the page.
const TIMED_NMS: f32 = 0.45;

/// Runs behind the time of a layer.
const PROFILED_RUNS: usize = 20;

/// Classes of a network with random weights: as many as Pascal VOC has.
const RANDOM_CLASSES: usize = 20;

/// Answers requests for ever.
pub async fn serve(requests: UnboundedReceiver<Request>) {
    let mut requests = requests.peekable();
    let mut session = Session::default();
    while let Some(request) = requests.next().await {
        match request {
            // Beside the others: a picture need not wait for a download.
            Request::Load { model, source, input_size } => {
                spawn_local(load(Rc::clone(&session.models), model, source, input_size));
            }
            Request::Unload { model } => drop(session.models.borrow_mut().remove(&model)),
            Request::Open { picture, source } => session.open(picture, &source).await,
            Request::Run { picture, model, thresholds } => session.run(picture, model, thresholds),
            Request::Measure { picture, model, runs } => session.measure(picture, model, runs, &mut requests).await,
            Request::Profile { model } => session.profile(model),
        }
    }
}

#[derive(Default)]
struct Session {
    models: ModelsByName,
    picture: Option<(u32, PixelBuffer)>,
}
type ModelsByName = Rc<RefCell<BTreeMap<String, Rc<LoadedModel>>>>;

struct LoadedModel {
    detector: Detector,
    has_run: Cell<bool>,
}

impl Session {
    async fn open(&mut self, picture: u32, source: &PictureSource) {
        // The old picture's memory goes first: large ones come close to what a tab may use.
        self.picture = None;
        match pixels::of(source).await {
            Ok(pixels) => {
                let (width, height) = (pixels.width, pixels.height);
                self.picture = Some((picture, pixels));
                post(&Reply::Opened { picture, width, height });
            }
            Err(error) => post(&Reply::OpenFailed { picture, error }),
        }
    }

    /// The loaded model and the picture, if the picture is still the one opened last. Whatever is missing has been
    /// reported when it failed.
    fn ready(&self, picture: u32, model: &str) -> Option<(Rc<LoadedModel>, &PixelBuffer)> {
        let (_, pixels) = self.picture.as_ref().filter(|(opened, _)| *opened == picture)?;
        Some((self.models.borrow().get(model).cloned()?, pixels))
    }

    fn run(&self, picture: u32, model: String, thresholds: Option<Thresholds>) {
        let found = self.ready(picture, &model).map(|(loaded, pixels)| {
            let cold = !loaded.has_run.replace(true);
            detect(&loaded.detector, pixels).map(|(mut candidates, timing)| {
                if let Some(thresholds) = thresholds {
                    candidates = thresholds.choose(candidates, pixels);
                }
                (candidates, timing, cold)
            })
        });
        match found {
            Some(Ok((candidates, timing, cold))) => {
                post(&Reply::Found { picture, model, candidates, timing, cold, memory: memory() });
            }
            Some(Err(error)) => {
                post(&Reply::RunFailed { picture, model, error: RunError::Network(error.to_string()) });
            }
            None => post(&Reply::RunFailed { picture, model, error: RunError::Gone }),
        }
    }

    async fn measure(
        &self,
        picture: u32,
        model: String,
        runs: usize,
        requests: &mut Peekable<UnboundedReceiver<Request>>,
    ) {
        let mut timings = Vec::new();
        if let Some((loaded, pixels)) = self.ready(picture, &model) {
            while timings.len() < runs {
                // Messages arrive only between tasks; somebody who waits for boxes goes first.
                TimeoutFuture::new(0).await;
                if Pin::new(&mut *requests).peek().now_or_never().is_some() {
                    break;
                }
                match detect(&loaded.detector, pixels) {
                    Ok((_, timing)) => timings.push(timing),
                    Err(_) => break,
                }
            }
        }
        post(&Reply::Measured { picture, model, timings, memory: memory() });
    }

    fn profile(&self, model: String) {
        let loaded = self.models.borrow().get(&model).cloned();
        let times = loaded.and_then(|loaded| layer_times(&loaded.detector).ok()).unwrap_or_default();
        post(&Reply::Profiled { model, times });
    }
}

async fn load(models: ModelsByName, model: String, source: WeightsSource, input_size: Option<usize>) {
    let weights = match source {
        WeightsSource::Published(file) => weights::fetch(&file).await.and_then(|bytes| parse(&bytes)),
        WeightsSource::File(blob) => weights::read(&blob).await.and_then(|bytes| parse(&bytes)),
        WeightsSource::Kept(url) => weights::kept(&url).await.and_then(|bytes| parse(&bytes)),
        WeightsSource::Random { variant } => {
            let variant = Variant::named(&variant).map_err(|error| LoadError::Network(error.to_string()));
            variant.map(|variant| Weights::random(variant, RANDOM_CLASSES, 0))
        }
    };
    match weights.and_then(|weights| prepare(&weights, input_size)) {
        Ok(detector) => {
            let metadata = detector.metadata();
            let cost = cost(detector.network().graph(), detector.input_size(), detector.input_size());
            let facts = ModelFacts {
                variant: metadata.variant.clone(),
                classes: metadata.class_names.clone(),
                input_size: detector.input_size(),
                source: metadata.source.clone(),
                parameters: cost.parameters,
                gflops: cost.gflops,
            };
            models.borrow_mut().insert(model.clone(), Rc::new(LoadedModel { detector, has_run: Cell::new(false) }));
            post(&Reply::Loaded { model, facts });
        }
        Err(error) => post(&Reply::LoadFailed { model, error }),
    }
}

fn parse(bytes: &[u8]) -> Result<Weights, LoadError> {
    Weights::from_bytes(bytes).map_err(|error| LoadError::Content(error.into()))
}

fn prepare(weights: &Weights, input_size: Option<usize>) -> Result<Detector, LoadError> {
    let prepared = Detector::new(weights).and_then(|mut detector| {
        if let Some(side) = input_size {
            detector.set_input_size(side)?;
        }
        Ok(detector)
    });
    prepared.map_err(|error| LoadError::Network(error.to_string()))
}

/// Milliseconds of every layer of the graph: means of several runs, as a browser's clock is coarser than most layers are long.
fn layer_times(detector: &Detector) -> candle_core::Result<Vec<f64>> {
    let side = detector.input_size();
    let grey = Tensor::full(f32::from(PAD), (1, 3, side, side), &Device::Cpu)?;
    let network = detector.network();
    let mut samples = vec![Vec::new(); network.graph().layers.len()];
    for _ in 0..PROFILED_RUNS {
        let mut last = now();
        network.forward_observed(&grey, &mut |node, _| {
            let time = now();
            samples[node.0].push(time - last);
            last = time;
        })?;
    }
    let mean = |times: Vec<f64>| times.iter().sum::<f64>() / times.len().max(1) as f64;
    Ok(samples.into_iter().map(mean).collect())
}

impl Thresholds {
    /// What is left of `candidates`, as the command line leaves it.
    fn choose(self, mut candidates: Vec<Detection>, pixels: &PixelBuffer) -> Vec<Detection> {
        candidates.retain(|candidate| candidate.score >= self.score);
        let mut boxes = nms(&candidates, self.max_iou);
        clip(&mut boxes, pixels.width as usize, pixels.height as usize);
        boxes
    }
}

/// One timed run.
fn detect(detector: &Detector, pixels: &PixelBuffer) -> Result<(Vec<Detection>, Timing), Box<dyn std::error::Error>> {
    let image = Image::rgba(&pixels.rgba, pixels.width as usize, pixels.height as usize)?;
    let start = now();
    let input = detector.preprocess(image)?;
    let preprocessed = now();
    let raw = detector.forward(&input)?;
    let ran = now();
    let candidates = detector.candidates(&input, &raw, MIN_SCORE)?;
    nms(&candidates, TIMED_NMS);
    let timing = Timing { preprocess: preprocessed - start, network: ran - preprocessed, postprocess: now() - ran };
    Ok((candidates, timing))
}

//! What the page knows. Views read it, [`super::sync`] and [`super::intake`] change it.

use std::sync::Arc;

use leptos::prelude::*;
use shared_model::{BBox, Detection, Manifest, ManifestEntry, clip, nms};
use web_sys::Blob;

use super::assets::Assets;
use super::samples::Sample;
use crate::protocol::Timing;

/// The page's state: handles, cheap to copy into every closure.
#[derive(Clone, Copy)]
pub struct State {
    /// The site's files.
    pub assets: StoredValue<Assets>,
    /// The published models.
    pub models: RwSignal<Models>,
    /// The worker.
    pub worker: RwSignal<WorkerState>,
    /// What of the worker's builds is running, once it has said so.
    pub build: RwSignal<Option<Build>>,
    /// Models side by side, all on the same picture.
    pub panels: RwSignal<Vec<Panel>>,
    /// Those, and the ones of models that were on show before: chosen again, they are as they were.
    pub known: RwSignal<Vec<Panel>>,
    /// The picture on show.
    pub picture: RwSignal<Option<Opened>, LocalStorage>,
    /// The picture that is being opened: the one on show stays until this one has proved good.
    pub pending: RwSignal<Option<Picture>, LocalStorage>,
    /// The picture that the worker died on, kept from its successor until the visitor asks.
    pub suspect: RwSignal<Option<u32>>,
    /// Boxes under this score are not shown.
    pub score: RwSignal<f32>,
    /// Boxes of a class that overlap a better one by more than this are not shown.
    pub max_iou: RwSignal<f32>,
    /// The object under the pointer or the keyboard's focus, in every panel that found it.
    pub highlighted: RwSignal<Option<Highlight>>,
    /// Something to tell the visitor.
    pub notice: RwSignal<Option<Notice>>,
    /// How often networks have run, all in all.
    pub runs: RwSignal<usize>,
}

/// The list of models.
#[derive(Clone)]
pub enum Models {
    /// On its way.
    Loading,
    /// Here.
    Listed(Arc<Manifest>),
    /// Not to be had, and why.
    Failed(String),
}

/// How the worker is.
#[derive(Clone, PartialEq)]
pub enum WorkerState {
    /// Not listening yet.
    Starting,
    /// Listening.
    Ready,
    /// Does not come up, and why.
    Broken(String),
}

/// A build of the worker's program.
#[derive(Clone, PartialEq)]
pub struct Build {
    /// Threads that share the work.
    pub threads: usize,
    /// Whether it multiplies and adds in one instruction.
    pub relaxed_simd: bool,
    /// Why there is one thread only; empty if there are more.
    pub why: String,
}

/// A model on the page.
#[derive(Clone, Copy)]
pub struct Panel {
    /// Name of the model in the manifest.
    pub model: RwSignal<String>,
    /// Its weights.
    pub weights: RwSignal<WeightsState>,
    /// What it found.
    pub run: RwSignal<Option<Run>>,
    /// The time of its first run in this worker.
    pub cold: RwSignal<Option<Timing>>,
}

/// How a panel's weights are.
#[derive(Clone, PartialEq)]
pub enum WeightsState {
    /// On their way: bytes so far.
    Loading(u64),
    /// Ready to run: the names of their classes.
    Ready(Arc<[String]>),
    /// Not to be had, and why.
    Failed(String),
}

/// What a model found in a picture.
#[derive(Clone, PartialEq)]
pub struct Run {
    /// The picture's number.
    pub picture: u32,
    /// All boxes, or why there are none.
    pub candidates: Result<Arc<[Detection]>, String>,
    /// Times of the runs on this picture.
    pub timings: Vec<Timing>,
    /// Whether the further runs, whose time is the warm one, are over.
    pub measured: bool,
}

/// A picture file.
#[derive(Clone)]
pub struct Picture {
    /// Number, larger than all before.
    pub id: u32,
    /// The file's name.
    pub name: String,
    /// The file.
    pub blob: Blob,
    /// Where it comes from, if the page brought it along.
    pub sample: Option<&'static Sample>,
}

/// A picture that was decoded.
#[derive(Clone)]
pub struct Opened {
    /// The file.
    pub picture: Picture,
    /// An URL of it within this tab.
    pub url: String,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
}

/// An object that stands out, as the panel that shows it describes it.
#[derive(Clone, Copy, PartialEq)]
pub struct Highlight {
    /// Its class.
    pub class: usize,
    /// Where it is.
    pub bbox: BBox,
}

/// A sentence for the visitor.
#[derive(Clone, PartialEq)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// Whether trying the same picture again may help.
    pub can_retry: bool,
}

impl State {
    /// The state at the start, which all views find in their context.
    pub fn provide() -> Self {
        let state = Self {
            assets: StoredValue::new(Assets::of_page()),
            models: RwSignal::new(Models::Loading),
            worker: RwSignal::new(WorkerState::Starting),
            build: RwSignal::new(None),
            panels: RwSignal::new(Vec::new()),
            known: RwSignal::new(Vec::new()),
            picture: RwSignal::new_local(None),
            pending: RwSignal::new_local(None),
            suspect: RwSignal::new(None),
            score: RwSignal::new(0.3),
            max_iou: RwSignal::new(0.45),
            highlighted: RwSignal::new(None),
            notice: RwSignal::new(None),
            runs: RwSignal::new(0),
        };
        provide_context(state);
        state
    }

    /// The state, in a view.
    pub fn get() -> Self {
        expect_context()
    }

    /// Tells the visitor.
    pub fn tell(self, text: impl Into<String>) {
        self.notice.set(Some(Notice { text: text.into(), can_retry: false }));
    }

    /// Shows a model of the manifest, instead of the ones that are on show.
    pub fn choose(self, model: &str) {
        let known = self.known.get_untracked().into_iter().find(|panel| *panel.model.read_untracked() == model);
        let panel = known.unwrap_or_else(|| {
            let panel = Panel::new(model.to_owned());
            self.known.update(|known| known.push(panel));
            panel
        });
        self.highlighted.set(None);
        self.panels.set(vec![panel]);
    }

    /// The URL of a file of the site.
    pub fn url(self, asset: &str) -> String {
        self.assets.with_value(|assets| assets.url(asset).to_owned())
    }
}

impl Panel {
    /// A panel for a model whose weights are still to come.
    pub fn new(model: String) -> Self {
        Self {
            model: RwSignal::new(model),
            weights: RwSignal::new(WeightsState::Loading(0)),
            run: RwSignal::new(None),
            cold: RwSignal::new(None),
        }
    }

    /// What the manifest says about the panel's model.
    pub fn entry(self, state: State) -> Option<ManifestEntry> {
        match &*state.models.read() {
            Models::Listed(manifest) => manifest.named(&self.model.read()).cloned(),
            _ => None,
        }
    }

    /// Names of the classes; none while the weights are on their way.
    pub fn classes(self) -> Arc<[String]> {
        match &*self.weights.read() {
            WeightsState::Ready(classes) => Arc::clone(classes),
            _ => Arc::default(),
        }
    }

    /// Whether the boxes are those of the picture on show.
    pub fn is_current(self, state: State) -> bool {
        let shown = state.picture.read().as_ref().map(|opened| opened.picture.id);
        shown.is_some() && self.run.read().as_ref().map(|run| run.picture) == shown
    }

    /// The boxes of the picture on show after suppression, whatever their score, in order of falling score.
    pub fn suppressed(self, state: State) -> Memo<Vec<Detection>> {
        Memo::new(move |_| {
            if !self.is_current(state) {
                return Vec::new();
            }
            match (self.run.read().as_ref().map(|run| &run.candidates), &*state.picture.read()) {
                (Some(Ok(candidates)), Some(opened)) => {
                    let mut boxes = nms(candidates, state.max_iou.get());
                    clip(&mut boxes, opened.width as usize, opened.height as usize);
                    boxes
                }
                _ => Vec::new(),
            }
        })
    }
}

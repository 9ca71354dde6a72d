//! What the page knows. Views read it, [`super::sync`] and [`super::intake`] change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leptos::prelude::*;
use shared_model::{Detection, Manifest, clip, nms};
use web_sys::Blob;

use super::assets::Assets;
use super::compare::{Group, Seen, compare};
use super::link::View;
use super::panel::{Panel, Run};
use super::picture::{Opened, Picture};
use super::truth::{Judgement, Truth, judge};
use super::truths::Truths;
use super::zoom::Zoom;
use crate::protocol::Timing;

/// The most panels side by side.
pub const MAX_PANELS: usize = 4;

/// Score under which boxes are hidden at the start.
pub const SCORE: f32 = 0.3;

/// Overlap of two boxes of a class at the start, beyond which the worse one is hidden.
pub const MAX_IOU: f32 = 0.45;

/// What the name of a model begins with that has no weights but random ones; the variant's name follows.
pub const RANDOM: &str = "random:";

/// The page's state: handles, cheap to copy into every closure.
#[derive(Clone, Copy)]
pub struct State {
    /// The page itself: what is made in its name lives as long as it does, and not as long as the view that asked for it.
    owner: StoredValue<Owner>,
    /// The site's files.
    pub assets: StoredValue<Assets>,
    /// The models: the published ones, then the visitor's own.
    pub models: RwSignal<Models>,
    /// Weight files of the visitor's, by the name under which the models list them.
    pub own_weights: StoredValue<BTreeMap<String, Blob>, LocalStorage>,
    /// The worker.
    pub worker: RwSignal<WorkerState>,
    /// What of the worker's builds is running, once it has said so.
    pub build: RwSignal<Option<Build>>,
    /// WebAssembly memory that the worker has taken, in bytes.
    pub memory: RwSignal<u64>,
    /// What of the page is on show.
    pub view: RwSignal<View>,
    /// Models side by side, all on the same picture.
    pub panels: RwSignal<Vec<Panel>>,
    /// Those, and the ones of models that were on show before: chosen again, they are as they were.
    pub known: RwSignal<Vec<Panel>>,
    /// The picture on show.
    pub picture: RwSignal<Option<Opened>, LocalStorage>,
    /// The picture that is being opened: the one on show stays until this one has proved good.
    pub pending: RwSignal<Option<Picture>, LocalStorage>,
    /// Several pictures that were given together.
    pub gallery: RwSignal<Vec<Picture>, LocalStorage>,
    /// Pictures that cannot be looked at, and why.
    pub refused: RwSignal<BTreeMap<u32, String>>,
    /// The picture that the worker died on, kept from its successor until the visitor asks.
    pub suspect: RwSignal<Option<u32>>,
    /// Whether pictures come from the camera, one after another.
    pub live: RwSignal<bool>,
    /// What really is in a picture, by its number.
    pub truth: RwSignal<BTreeMap<u32, Arc<Truth>>>,
    /// The annotation files that say so.
    pub truths: StoredValue<Truths, LocalStorage>,
    /// Boxes under this score are not shown.
    pub score: RwSignal<f32>,
    /// Boxes of a class that overlap a better one by more than this are not shown.
    pub max_iou: RwSignal<f32>,
    /// Classes that are not shown, under the names that all models have in common.
    pub hidden: RwSignal<BTreeSet<String>>,
    /// Whether objects that all panels find are left out.
    pub differences_only: RwSignal<bool>,
    /// Whether two panels lie over each other, with a slider between them.
    pub overlaid: RwSignal<bool>,
    /// The part of the picture that all panels show.
    pub zoom: RwSignal<Zoom>,
    /// What the panels show of the picture, matched.
    pub comparison: Memo<Arc<Comparison>>,
    /// The object under the pointer or the keyboard's focus, by its place in [`Comparison::groups`].
    pub highlighted: RwSignal<Option<usize>>,
    /// Times measured for the benchmark, by model.
    pub benchmark: RwSignal<BTreeMap<String, Benchmark>>,
    /// Models that the benchmark has still to measure.
    pub benchmark_queue: RwSignal<Vec<String>>,
    /// Milliseconds of every layer, in the order of the graph, by variant.
    pub layer_times: RwSignal<BTreeMap<String, Arc<[f64]>>>,
    /// Models whose layers have still to be timed.
    pub profile_queue: RwSignal<Vec<String>>,
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
    /// Why there is one thread only, in `assets/start-worker.js`'s words; empty if there are more.
    pub why: String,
}

/// What the panels show of the picture, matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Per panel: its boxes over the threshold; `None` until it has looked.
    pub seen: Vec<Option<Seen>>,
    /// The objects, in order of falling score.
    pub groups: Vec<Group>,
    /// What really is in the picture, where the visitor has said so.
    pub truth: Option<Arc<Truth>>,
    /// Per panel: its boxes beside the truth.
    pub judgements: Vec<Option<Judgement>>,
}

/// A model's times on this device.
#[derive(Clone, Default, PartialEq)]
pub struct Benchmark {
    /// The first run in this worker.
    pub cold: Option<Timing>,
    /// Runs after it.
    pub timings: Vec<Timing>,
    /// Why there are none.
    pub failed: Option<String>,
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
        let panels = RwSignal::new(Vec::new());
        let picture = RwSignal::new_local(None);
        let truth = RwSignal::new(BTreeMap::new());
        let (score, max_iou, hidden) = (RwSignal::new(SCORE), RwSignal::new(MAX_IOU), RwSignal::new(BTreeSet::new()));
        let comparison = Memo::new(move |_| {
            let shown = picture.read().as_ref().map(|opened: &Opened| opened.picture.id);
            let truth = shown.and_then(|id| truth.read().get(&id).cloned());
            let filter = Filter { score: score.get(), max_iou: max_iou.get(), hidden: &hidden.read() };
            Arc::new(Comparison::new(&panels.read(), shown, truth, &filter))
        });
        let state = Self {
            owner: StoredValue::new(Owner::current().expect("the page's root view provides the state")),
            assets: StoredValue::new(Assets::of_page()),
            models: RwSignal::new(Models::Loading),
            own_weights: StoredValue::new_local(BTreeMap::new()),
            worker: RwSignal::new(WorkerState::Starting),
            build: RwSignal::new(None),
            memory: RwSignal::new(0),
            view: RwSignal::new(View::default()),
            panels,
            known: RwSignal::new(Vec::new()),
            picture,
            pending: RwSignal::new_local(None),
            gallery: RwSignal::new_local(Vec::new()),
            refused: RwSignal::new(BTreeMap::new()),
            suspect: RwSignal::new(None),
            live: RwSignal::new(false),
            truth,
            truths: StoredValue::new_local(Truths::default()),
            score,
            max_iou,
            hidden,
            differences_only: RwSignal::new(false),
            overlaid: RwSignal::new(false),
            zoom: RwSignal::new(Zoom::default()),
            comparison,
            highlighted: RwSignal::new(None),
            benchmark: RwSignal::new(BTreeMap::new()),
            benchmark_queue: RwSignal::new(Vec::new()),
            layer_times: RwSignal::new(BTreeMap::new()),
            profile_queue: RwSignal::new(Vec::new()),
            notice: RwSignal::new(None),
            runs: RwSignal::new(0),
        };
        provide_context(state);
        // A place among the old objects is none among the new ones.
        Effect::new(move || {
            comparison.track();
            state.highlighted.set(None);
        });
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

    /// The list of models, once it is here.
    pub fn manifest(self) -> Option<Arc<Manifest>> {
        match &*self.models.read() {
            Models::Listed(manifest) => Some(Arc::clone(manifest)),
            _ => None,
        }
    }

    /// The number of the picture on show.
    pub fn shown(self) -> Option<u32> {
        self.picture.read().as_ref().map(|opened| opened.picture.id)
    }

    /// The panel of a model: the one it had before, or a new one.
    pub fn panel_of(self, model: &str) -> Panel {
        let known = self.known.get_untracked().into_iter().find(|panel| panel.is(model));
        known.unwrap_or_else(|| {
            let panel = self.owner.with_value(|owner| owner.with(|| Panel::new(model.to_owned())));
            self.known.update(|known| known.push(panel));
            panel
        })
    }

    /// Shows these models side by side, each once, as many as there is room for.
    pub fn show_models(self, models: impl IntoIterator<Item = String>) {
        let mut panels: Vec<Panel> = Vec::new();
        for model in models {
            if panels.len() < MAX_PANELS && !panels.iter().any(|panel| panel.is(&model)) {
                panels.push(self.panel_of(&model));
            }
        }
        self.panels.set(panels);
    }

    /// Names of the models on show.
    pub fn shown_models(self) -> Vec<String> {
        self.panels.read().iter().map(|panel| panel.name()).collect()
    }

    /// The URL of a file of the site.
    pub fn url(self, asset: &str) -> String {
        self.assets.with_value(|assets| assets.url(asset).to_owned())
    }
}

/// What chooses among the boxes that a network has found.
pub struct Filter<'a> {
    /// The least score.
    pub score: f32,
    /// The greatest overlap of two boxes of a class.
    pub max_iou: f32,
    /// Classes that are left out.
    pub hidden: &'a BTreeSet<String>,
}

impl Filter<'_> {
    /// The boxes that pass, in order of falling score.
    pub fn apply(&self, run: &Run, classes: &[String]) -> Vec<Detection> {
        let Ok(candidates) = &run.candidates else { return Vec::new() };
        let is_hidden = |name: &String| self.hidden.contains(shared_model::canonical_class(name));
        let hidden: Vec<bool> = classes.iter().map(is_hidden).collect();
        let is_hidden = |detection: &Detection| hidden.get(detection.class).copied().unwrap_or_default();
        // What suppresses a box is surer than the box: those under the threshold may go first, and save most of the work.
        let passing = candidates.iter().filter(|detection| detection.score >= self.score && !is_hidden(detection));
        let mut boxes = nms(&passing.copied().collect::<Vec<_>>(), self.max_iou);
        clip(&mut boxes, run.size.0 as usize, run.size.1 as usize);
        boxes
    }
}

impl Comparison {
    /// Matches what `panels` found in a picture.
    pub fn new(panels: &[Panel], picture: Option<u32>, truth: Option<Arc<Truth>>, filter: &Filter) -> Self {
        let see = |panel: &Panel| {
            let runs = panel.runs.read();
            let run = runs.get(&picture?)?;
            let classes = panel.classes();
            Some(Seen { detections: filter.apply(run, &classes), classes })
        };
        let seen: Vec<Option<Seen>> = panels.iter().map(see).collect();
        let groups = compare(&seen.iter().map(Option::as_ref).collect::<Vec<_>>());
        let judged = |seen: &Option<Seen>| {
            let (seen, truth) = (seen.as_ref()?, truth.as_ref()?);
            Some(judge(&seen.detections, &seen.classes, truth))
        };
        let judgements = seen.iter().map(judged).collect();
        Self { seen, groups, truth, judgements }
    }

    /// The share of objects that all panels find; nothing where there is nothing to agree on.
    pub fn agreement(&self) -> Option<f64> {
        let looked = self.seen.iter().flatten().count();
        let agreed = self.groups.iter().filter(|group| group.is_agreed()).count();
        (looked > 1 && !self.groups.is_empty()).then(|| agreed as f64 / self.groups.len() as f64)
    }
}

//! Between state and worker: gives it the jobs that the state calls for, files what it answers, and replaces it when it dies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;

use super::connection::{Connection, WorkerStart};
use super::jobs::{BENCHMARK_RUNS, Job, Look, Situation, WARM_RUNS};
use super::language::text;
use super::panel::{Panel, Run, WeightsState};
use super::picture::{Opened, Picture};
use super::state::{Build, Models, Notice, RANDOM, State, WorkerState};
use super::zoom::Zoom;
use crate::protocol::{Facts, ModelFile, Reply, Request, Source};

/// Starts in a row without a sign of life after which another is pointless.
const MAX_FAILED_STARTS: u32 = 2;

/// The worker's side of the state: what this worker has been given, and what it is busy with.
#[derive(Default)]
struct Link {
    connection: Option<Connection>,
    /// Models that it has, or is getting.
    loads: BTreeSet<String>,
    /// The picture that it holds, with its size once it has been decoded.
    opened: Option<(u32, Option<(u32, u32)>)>,
    busy: Option<Job>,
    failed_starts: u32,
}

/// Handle to the worker, in every view's context.
#[derive(Clone, Copy)]
pub struct Sync {
    link: StoredValue<Rc<RefCell<Link>>, LocalStorage>,
    state: State,
}

impl Sync {
    /// Starts the worker, and from then on keeps it up to date with the state.
    pub fn provide(state: State) {
        let sync = Self { link: StoredValue::new_local(Rc::default()), state };
        provide_context(sync);
        sync.connect();
        Effect::new(move || {
            sync.track();
            untrack(|| sync.drive());
        });
    }

    /// The handle, in a view.
    pub fn get() -> Self {
        expect_context()
    }

    /// Times the layers of a variant.
    pub fn profile(self, variant: &str) {
        let state = self.state;
        let is_of = |panel: &Panel| match &*panel.weights.read_untracked() {
            WeightsState::Ready(facts) => facts.variant == variant,
            _ => false,
        };
        let loaded = state.known.get_untracked().into_iter().find(is_of).map(Panel::name);
        let manifest = untrack(|| state.manifest());
        let listed = || manifest?.models.iter().find(|entry| entry.variant == variant).map(|entry| entry.name.clone());
        let model = loaded.or_else(listed).unwrap_or_else(|| format!("{RANDOM}{variant}"));
        state.panel_of(&model);
        state.profile_queue.update(|queue| queue.push(model));
    }

    /// Lets the visitor's "try again" through to everything that failed.
    pub fn retry(self) {
        let state = self.state;
        state.notice.set(None);
        for panel in state.panels.get_untracked() {
            if matches!(&*panel.weights.read_untracked(), WeightsState::Failed(_)) {
                self.link().borrow_mut().loads.remove(&panel.name());
                panel.weights.set(WeightsState::Loading(0));
            }
        }
        if matches!(&*state.worker.read_untracked(), WorkerState::Broken(_)) {
            self.link().borrow_mut().failed_starts = 0;
            self.connect();
        }
        state.suspect.set(None);
    }

    fn link(self) -> Rc<RefCell<Link>> {
        self.link.get_value()
    }

    /// Starts a worker that knows nothing yet.
    fn connect(self) {
        let link = self.link();
        let failed_starts = link.borrow().failed_starts;
        // The old one ends before the new one starts: two may be more than memory has room for.
        *link.borrow_mut() = Link { failed_starts, ..Link::default() };
        self.state.worker.set(WorkerState::Starting);
        let replies = move |reply| self.receive(reply);
        match Connection::open(replies) {
            Ok((connection, before)) => {
                link.borrow_mut().connection = Some(connection);
                for reply in before {
                    let is_last = matches!(reply, Reply::Died(_));
                    self.receive(reply);
                    // By now there is a successor, of which what else the dead one said says nothing.
                    if is_last {
                        break;
                    }
                }
            }
            Err(_) => self.state.worker.set(WorkerState::Broken(text!("This browser allows the page no worker."))),
        }
    }

    /// Reads what decides about jobs, so that the calling effect runs again when it changes.
    fn track(self) {
        let state = self.state;
        state.worker.track();
        state.models.track();
        state.picture.track();
        state.pending.track();
        state.gallery.track();
        state.suspect.track();
        state.live.track();
        state.benchmark_queue.track();
        state.profile_queue.track();
        for panel in state.panels.get().into_iter().chain(state.known.get()) {
            panel.weights.track();
            panel.runs.track();
        }
    }

    /// Gives the worker what it lacks: the next model, and the next job as soon as it is free for it.
    fn drive(self) {
        if *self.state.worker.read() != WorkerState::Ready {
            return;
        }
        let link = self.link();
        let mut link = link.borrow_mut();
        let mut requests: Vec<_> = self.load(&mut link).into_iter().collect();
        let next = self.situation(&link).next();
        let is_free = |next: &Job| link.busy.as_ref().is_none_or(|busy| busy.gives_way() && !next.gives_way());
        if let Some(job) = next.filter(is_free) {
            requests.extend(self.request(&job));
            if let Job::Open(picture) = job {
                link.opened = Some((picture, None));
            }
            link.busy = Some(job);
        }
        for request in requests {
            link.connection.iter().for_each(|connection| connection.send(&request));
        }
    }

    /// The request for the next model that is called for, if none is on its way: one after another, so that the first model's
    /// boxes do not wait for the others' weights on a slow connection.
    fn load(self, link: &mut Link) -> Option<Request> {
        let state = self.state;
        let mut wanted: Vec<String> = state.panels.read().iter().map(|panel| panel.name()).collect();
        wanted.extend(state.benchmark_queue.read().first().cloned());
        wanted.extend(state.profile_queue.read().first().cloned());
        for model in wanted {
            if link.loads.contains(&model) {
                if matches!(&*state.panel_of(&model).weights.read(), WeightsState::Loading(_)) {
                    return None;
                }
                continue;
            }
            let source = self.source(&model)?;
            link.loads.insert(model.clone());
            return Some(Request::Load { model, source });
        }
        None
    }

    /// Where a model's weights come from, once that is known.
    fn source(self, model: &str) -> Option<Source> {
        let state = self.state;
        if let Some(variant) = model.strip_prefix(RANDOM) {
            return Some(Source::Random { variant: variant.into() });
        }
        if let Some(blob) = state.own_weights.with_value(|own| own.get(model).cloned()) {
            return Some(Source::File(blob));
        }
        let manifest = state.manifest()?;
        let entry = manifest.named(model)?;
        let asset = format!("models/{}", entry.file);
        let url = state.assets.with_value(|assets| assets.find(&asset).map(Into::into)).unwrap_or_default();
        let (bytes, sha256) = (entry.bytes, entry.sha256.clone());
        Some(Source::Published(ModelFile { model: model.into(), url, bytes, sha256 }))
    }

    fn situation(self, link: &Link) -> Situation {
        let state = self.state;
        let shown = state.shown();
        let pending = state.pending.read().as_ref().map(|picture| picture.id);
        let suspect = state.suspect.get();
        let look = |panel: Panel| {
            let runs = panel.runs.read();
            let run = shown.and_then(|id| runs.get(&id));
            Look {
                model: panel.name(),
                is_ready: matches!(&*panel.weights.read(), WeightsState::Ready(_)),
                seen: runs.keys().copied().collect(),
                missing_runs: run
                    .filter(|run| run.candidates.is_ok())
                    .map_or(0, |run| WARM_RUNS.saturating_sub(run.warm.len())),
            }
        };
        let first = |queue: RwSignal<Vec<String>>| queue.read().first().map(|model| state.panel_of(model));
        let refused = state.refused.read();
        let gallery = state.gallery.read();
        let gallery = gallery.iter().map(|picture| picture.id);
        Situation {
            wanted: pending.or(shown).filter(|id| Some(*id) != suspect),
            is_pending: pending.is_some(),
            opened: link.opened.map(|(picture, _)| picture),
            panels: state.panels.read().iter().map(|panel| look(*panel)).collect(),
            gallery: gallery.filter(|id| !refused.contains_key(id) && Some(*id) != suspect).collect(),
            benchmark: first(state.benchmark_queue).map(|panel| (look(panel), panel.cold.read().is_some())),
            profile: first(state.profile_queue).map(look),
            is_live: state.live.get(),
        }
    }

    fn request(self, job: &Job) -> Option<Request> {
        Some(match job.clone() {
            Job::Open(picture) => Request::Open { picture, blob: self.picture(picture)?.blob },
            Job::Run { picture, model } => Request::Run { picture, model },
            Job::Measure { picture, model, runs } => Request::Measure { picture, model, runs },
            Job::Profile(model) => Request::Profile { model },
        })
    }

    /// The picture with this number, wherever the state has it.
    fn picture(self, id: u32) -> Option<Picture> {
        let state = self.state;
        let shown = state.picture.read().as_ref().map(|opened| opened.picture.clone());
        let mut all = state.pending.get().into_iter().chain(shown).chain(state.gallery.get());
        all.find(|picture| picture.id == id)
    }

    fn receive(self, reply: Reply) {
        untrack(|| self.file(reply));
        // Not every answer changes what the effect reads.
        untrack(|| self.drive());
    }

    fn file(self, reply: Reply) {
        let state = self.state;
        match reply {
            Reply::Ready { threads, relaxed_simd } => {
                self.link().borrow_mut().failed_starts = 0;
                let why = WorkerStart::get().map(|start| match threads < start.threads() {
                    true => "not-started".into(),
                    false => start.why(),
                });
                state.build.set(Some(Build { threads, relaxed_simd, why: why.unwrap_or_default() }));
                state.worker.set(WorkerState::Ready);
            }
            Reply::Progress { model, received } => state.panel_of(&model).weights.set(WeightsState::Loading(received)),
            Reply::Loaded { model, facts } => self.loaded(&model, facts),
            Reply::LoadFailed { model, message } => self.load_failed(&model, message),
            Reply::Opened { picture, width, height } => {
                self.done(&Job::Open(picture));
                self.link().borrow_mut().opened = Some((picture, Some((width, height))));
                if let Some(opened) = self.picture(picture) {
                    super::truths::resolve(state, &opened, (width, height));
                }
                self.show(picture, width, height);
            }
            Reply::OpenFailed { picture, message } => {
                self.done(&Job::Open(picture));
                if let Some(refused) = state.pending.get().filter(|pending| pending.id == picture) {
                    state.pending.set(None);
                    state.tell(format!("{}: {message}", refused.name));
                }
                // Were it asked for again, the answer would be the same.
                state.refused.update(|refused| drop(refused.insert(picture, message)));
            }
            Reply::Found { picture, model, candidates, timing, cold, memory } => {
                let panel = state.panel_of(&model);
                state.runs.update(|runs| *runs += 1);
                state.memory.set(memory);
                if cold {
                    panel.cold.set(Some(timing));
                }
                let (candidates, first) = (Ok(candidates.into()), Some(timing));
                self.put(picture, panel, |size| Run { size, candidates, first, warm: vec![] });
                self.done(&Job::Run { picture, model });
            }
            Reply::RunFailed { picture, model, message } => {
                let message = text!("The network failed on this picture: %{message}", message = message);
                self.end_benchmark(&model, &message);
                let candidates = Err(message);
                let panel = state.panel_of(&model);
                self.put(picture, panel, |size| Run { size, candidates, first: None, warm: vec![] });
                self.done(&Job::Run { picture, model });
            }
            Reply::Measured { picture, model, timings, memory } => {
                state.runs.update(|runs| *runs += timings.len());
                state.memory.set(memory);
                self.measured(picture, &model, timings);
            }
            Reply::Profiled { model, times } => {
                state.profile_queue.update(|queue| queue.retain(|queued| *queued != model));
                if let WeightsState::Ready(facts) = state.panel_of(&model).weights.get() {
                    state.layer_times.update(|all| drop(all.insert(facts.variant.clone(), times.into())));
                }
                self.done(&Job::Profile(model.clone()));
                self.unload_random(&model);
            }
            Reply::Died(reason) => self.replace(&reason),
        }
    }

    /// The worker has answered; unless it was already given another job, it is free.
    fn done(self, job: &Job) {
        let link = self.link();
        let mut link = link.borrow_mut();
        if link.busy.as_ref() == Some(job) {
            link.busy = None;
        }
    }

    /// Files a run on the picture that the worker holds.
    fn put(self, picture: u32, panel: Panel, run: impl FnOnce((u32, u32)) -> Run) {
        let Some((opened, Some(size))) = self.link().borrow().opened else { return };
        if opened == picture {
            panel.runs.update(|runs| drop(runs.insert(picture, run(size))));
        }
    }

    fn measured(self, picture: u32, model: &str, timings: Vec<crate::protocol::Timing>) {
        let state = self.state;
        let job = self.link().borrow().busy.clone();
        let panel = state.panel_of(model);
        let is_benchmarked = state.benchmark_queue.read().first().is_some_and(|first| first == model);
        if is_benchmarked && !timings.is_empty() {
            let cold = panel.cold.get();
            let is_complete = state.benchmark.try_update(|all| {
                let entry = all.entry(model.into()).or_default();
                entry.cold = cold;
                entry.timings.extend(timings);
                entry.timings.len() >= BENCHMARK_RUNS
            });
            if is_complete == Some(true) {
                state.benchmark_queue.update(|queue| queue.retain(|queued| queued != model));
            }
        } else {
            panel.runs.update(|runs| {
                if let Some(run) = runs.get_mut(&picture) {
                    run.warm.extend(timings);
                }
            });
        }
        if let Some(job @ Job::Measure { .. }) = job {
            self.done(&job);
        }
        if !state.benchmark_queue.read().iter().any(|queued| queued == model) {
            self.unload_random(model);
        }
    }

    /// Random weights have served once they are measured: their memory goes to the next ones.
    fn unload_random(self, model: &str) {
        let state = self.state;
        if !model.starts_with(RANDOM) || state.panels.read().iter().any(|panel| panel.is(model)) {
            return;
        }
        let link = self.link();
        let mut link = link.borrow_mut();
        link.loads.remove(model);
        link.connection.iter().for_each(|connection| connection.send(&Request::Unload { model: model.into() }));
        state.known.update(|known| known.retain(|panel| !panel.is(model)));
    }

    fn loaded(self, model: &str, facts: Facts) {
        let state = self.state;
        if state.own_weights.with_value(|own| own.contains_key(model)) {
            super::own_weights::list(state, model, &facts);
        }
        state.panel_of(model).weights.set(WeightsState::Ready(Arc::new(facts)));
    }

    fn load_failed(self, model: &str, message: String) {
        let state = self.state;
        if state.own_weights.with_value(|own| own.contains_key(model)) {
            self.link().borrow_mut().loads.remove(model);
            super::own_weights::refuse(state, model, &message);
            return;
        }
        if self.end_benchmark(model, &message) {
            self.link().borrow_mut().loads.remove(model);
        }
        state.profile_queue.update(|queue| queue.retain(|queued| queued != model));
        state.panel_of(model).weights.set(WeightsState::Failed(message));
    }

    /// Takes a model that cannot be measured out of the benchmark; whether it was in there.
    fn end_benchmark(self, model: &str, why: &str) -> bool {
        let state = self.state;
        let is_queued = state.benchmark_queue.read().iter().any(|queued| queued == model);
        if is_queued {
            state.benchmark_queue.update(|queue| queue.retain(|queued| queued != model));
            state.benchmark.update(|all| all.entry(model.into()).or_default().failed = Some(why.into()));
        }
        is_queued
    }

    /// Puts a picture that has proved good on show, if it is the one that the visitor waits for.
    fn show(self, id: u32, width: u32, height: u32) {
        let state = self.state;
        let Some(picture) = state.pending.get().filter(|pending| pending.id == id) else { return };
        let is_kept = |id: u32| state.gallery.read().iter().any(|picture| picture.id == id);
        if let Some(old) = state.picture.get()
            && !is_kept(old.picture.id)
        {
            old.picture.release();
        }
        for panel in state.known.get() {
            // What was found in pictures that cannot be shown again is of no use.
            panel.runs.update(|runs| runs.retain(|seen, _| *seen == id || is_kept(*seen)));
        }
        // Frames of a camera are views of one scene, and keep its window.
        if !state.live.get() {
            state.zoom.set(Zoom::default());
        }
        state.picture.set(Some(Opened { picture, width, height }));
        state.pending.set(None);
    }

    /// A dead worker's successor starts at once; the picture that it died on has to wait for the visitor.
    fn replace(self, reason: &str) {
        let state = self.state;
        leptos::logging::warn!("the worker died: {reason}");
        let link = self.link();
        let job = link.borrow().busy.clone();
        let suspect = job.as_ref().and_then(Job::picture);
        let had_started = *state.worker.read() == WorkerState::Ready;
        // Threads are the first suspect: the successor does without.
        let has_retreated = WorkerStart::get().is_some_and(|start| start.retreat(reason));
        if !had_started && !has_retreated {
            link.borrow_mut().failed_starts += 1;
        }
        if link.borrow().failed_starts >= MAX_FAILED_STARTS {
            link.borrow_mut().connection = None;
            let text =
                text!("The part of the page that runs the networks does not start (%{reason}).", reason = reason);
            state.worker.set(WorkerState::Broken(text));
            return;
        }
        for panel in state.known.get() {
            panel.weights.set(WeightsState::Loading(0));
            panel.cold.set(None);
        }
        // What was asked for beside pictures may have been the cause too.
        state.benchmark_queue.set(Vec::new());
        state.profile_queue.set(Vec::new());
        let wanted = state.pending.read().as_ref().map(|picture| picture.id).or(state.shown());
        match suspect {
            Some(picture) if Some(picture) == wanted => {
                state.suspect.set(Some(picture));
                let text = text!(
                    "The worker that runs the networks crashed or ran out of memory on this picture. It has been replaced."
                );
                state.notice.set(Some(Notice { text, can_retry: true }));
            }
            Some(picture) => {
                let why = text!("The worker crashed or ran out of memory on this picture.");
                state.refused.update(|refused| drop(refused.insert(picture, why)));
            }
            None if had_started => {
                state.tell(text!(
                    "The worker that runs the networks crashed or ran out of memory. It has been replaced."
                ));
            }
            None => {}
        }
        self.connect();
    }
}

/// Fetches the list of models and shows those that `choose` names.
pub async fn list_models(state: State, choose: impl FnOnce(&shared_model::Manifest) -> Vec<String>) {
    let text = super::intake::fetch_text(&state.url("models/manifest.json")).await;
    let manifest = text.and_then(|text| shared_model::Manifest::from_json(&text).map_err(|error| error.to_string()));
    match manifest {
        Ok(manifest) => {
            state.show_models(choose(&manifest));
            state.models.set(Models::Listed(Arc::new(manifest)));
        }
        Err(message) => state.models.set(Models::Failed(message)),
    }
}

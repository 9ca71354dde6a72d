//! Between state and worker: sends what the worker lacks, files what it answers, and replaces it when it dies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use shared_model::Manifest;
use web_sys::Url;

use super::connection::{Connection, WorkerStart};
use super::state::{Build, Models, Notice, Opened, Picture, Run, State, WeightsState, WorkerState};
use crate::protocol::{ModelFile, Reply, Request};

/// Starts in a row without a sign of life after which another is pointless.
const MAX_FAILED_STARTS: u32 = 2;

/// The worker's side of the state: what this worker has been sent, and what it owes an answer to.
#[derive(Default)]
struct Link {
    connection: Option<Connection>,
    models: BTreeSet<String>,
    opened: Option<u32>,
    runs: BTreeSet<(u32, String)>,
    /// Pictures that the worker is busy with.
    owed: BTreeSet<u32>,
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
        Effect::new(move || sync.send_what_is_missing());
    }

    /// The handle, in a view.
    pub fn get() -> Self {
        expect_context()
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
            Ok(connection) => link.borrow_mut().connection = Some(connection),
            Err(_) => self.state.worker.set(WorkerState::Broken("This browser allows the page no worker.".into())),
        }
    }

    /// Lets the visitor's "try again" through to everything that failed.
    pub fn retry(self) {
        let state = self.state;
        state.notice.set(None);
        for panel in state.panels.get_untracked() {
            if matches!(&*panel.weights.read_untracked(), WeightsState::Failed(_)) {
                self.link().borrow_mut().models.remove(&*panel.model.read_untracked());
                panel.weights.set(WeightsState::Loading(0));
            }
        }
        if matches!(&*state.worker.read_untracked(), WorkerState::Broken(_)) {
            self.link().borrow_mut().failed_starts = 0;
            self.connect();
        }
        state.suspect.set(None);
    }

    /// Compares the state with what the worker has been sent. As an effect, it runs whenever the state changes.
    fn send_what_is_missing(self) {
        let state = self.state;
        let models = state.models.get();
        let panels = state.panels.get();
        let suspect = state.suspect.get();
        let shown = state.picture.get().map(|opened| opened.picture);
        let wanted = state.pending.get().or(shown).filter(|picture| Some(picture.id) != suspect);
        let weights: Vec<_> = panels.iter().map(|panel| (panel.model.get(), panel.weights.get())).collect();
        if state.worker.get() != WorkerState::Ready {
            return;
        }

        let link = self.link();
        let mut link = link.borrow_mut();
        let mut requests = Vec::new();
        if let Some(Picture { id, blob, .. }) = &wanted
            && link.opened != Some(*id)
            && panels.iter().any(|panel| panel.run.read_untracked().as_ref().is_none_or(|run| run.picture != *id))
        {
            requests.push(Request::Open { picture: *id, blob: blob.clone() });
            link.opened = Some(*id);
            link.owed.insert(*id);
        }
        if let Models::Listed(manifest) = &models {
            for (model, _) in &weights {
                let Some(entry) = manifest.named(model).filter(|_| link.models.insert(model.clone())) else { continue };
                let url =
                    state.assets.with_value(|assets| assets.find(&format!("models/{}", entry.file)).map(Into::into));
                requests.push(Request::Load(ModelFile {
                    model: model.clone(),
                    url: url.unwrap_or_default(),
                    bytes: entry.bytes,
                    sha256: entry.sha256.clone(),
                }));
            }
        }
        for (panel, (model, weights)) in panels.iter().zip(weights) {
            if let Some(id) = wanted.as_ref().map(|picture| picture.id)
                && matches!(weights, WeightsState::Ready(_))
                && link.opened == Some(id)
                && panel.run.read_untracked().as_ref().is_none_or(|run| run.picture != id)
                && link.runs.insert((id, model.clone()))
            {
                requests.push(Request::Run { picture: id, model });
                link.owed.insert(id);
            }
        }
        for request in requests {
            link.connection.iter().for_each(|connection| connection.send(&request));
        }
    }

    fn receive(self, reply: Reply) {
        let state = self.state;
        let panel_of =
            |model: &str| state.known.get_untracked().into_iter().find(|panel| *panel.model.read_untracked() == model);
        match reply {
            Reply::Ready { threads, relaxed_simd } => {
                self.link().borrow_mut().failed_starts = 0;
                let why = WorkerStart::get().map(|start| match threads < start.threads() {
                    true => "The browser has not started the others.".into(),
                    false => start.why(),
                });
                state.build.set(Some(Build { threads, relaxed_simd, why: why.unwrap_or_default() }));
                state.worker.set(WorkerState::Ready);
            }
            Reply::Progress { model, received } => {
                if let Some(panel) = panel_of(&model) {
                    panel.weights.set(WeightsState::Loading(received));
                }
            }
            Reply::Loaded { model, classes } => {
                if let Some(panel) = panel_of(&model) {
                    panel.weights.set(WeightsState::Ready(classes.into()));
                }
            }
            Reply::LoadFailed { model, message } => {
                if let Some(panel) = panel_of(&model) {
                    panel.weights.set(WeightsState::Failed(message));
                }
            }
            Reply::Opened { picture, width, height } => {
                self.settle(picture);
                self.show(picture, width, height);
            }
            Reply::OpenFailed { picture, message } => {
                self.settle(picture);
                if let Some(refused) = state.pending.get_untracked().filter(|pending| pending.id == picture) {
                    state.pending.set(None);
                    state.tell(format!("{}: {message}", refused.name));
                }
            }
            Reply::Found { picture, model, candidates, timing, cold } => {
                self.settle(picture);
                state.runs.update(|runs| *runs += 1);
                if let Some(panel) = panel_of(&model).filter(|_| self.is_wanted(picture)) {
                    let candidates = Ok(candidates.into());
                    panel.run.set(Some(Run { picture, candidates, timings: vec![timing], measured: false }));
                    if cold {
                        panel.cold.set(Some(timing));
                    }
                }
            }
            Reply::Measured { picture, model, timings, .. } => {
                state.runs.update(|runs| *runs += timings.len());
                if let Some(panel) = panel_of(&model).filter(|_| self.is_wanted(picture)) {
                    panel.run.update(|run| {
                        if let Some(run) = run {
                            // The first run on a picture is a warm one, except for the very first.
                            run.timings = timings;
                            run.measured = true;
                        }
                    });
                }
            }
            Reply::RunFailed { picture, model, message } => {
                self.settle(picture);
                if let Some(panel) = panel_of(&model).filter(|_| self.is_wanted(picture)) {
                    panel.run.set(Some(Run { picture, candidates: Err(message), timings: vec![], measured: true }));
                }
            }
            Reply::Died(reason) => self.replace(&reason),
        }
    }

    fn settle(self, picture: u32) {
        self.link().borrow_mut().owed.remove(&picture);
    }

    /// Whether an answer about this picture is about the one on show.
    fn is_wanted(self, picture: u32) -> bool {
        self.state.picture.read_untracked().as_ref().is_some_and(|opened| opened.picture.id == picture)
    }

    fn show(self, id: u32, width: u32, height: u32) {
        let state = self.state;
        let Some(picture) = state.pending.get_untracked().filter(|pending| pending.id == id) else { return };
        let Ok(url) = Url::create_object_url_with_blob(&picture.blob) else { return };
        if let Some(old) = state.picture.get_untracked() {
            let _ = Url::revoke_object_url(&old.url);
        }
        state.highlighted.set(None);
        state.picture.set(Some(Opened { picture, url, width, height }));
        state.pending.set(None);
    }

    /// A dead worker's successor starts at once; the picture that it died on has to wait for the visitor.
    fn replace(self, reason: &str) {
        let state = self.state;
        leptos::logging::warn!("the worker died: {reason}");
        let link = self.link();
        let suspect = link.borrow().owed.last().copied();
        let had_started = *state.worker.read_untracked() == WorkerState::Ready;
        // Threads are the first suspect: the successor does without.
        let has_retreated = WorkerStart::get().is_some_and(|start| start.retreat(reason));
        if !had_started && !has_retreated {
            link.borrow_mut().failed_starts += 1;
        }
        if link.borrow().failed_starts >= MAX_FAILED_STARTS {
            link.borrow_mut().connection = None;
            let text = format!("The part of the page that runs the networks does not start ({reason}).");
            state.worker.set(WorkerState::Broken(text));
            return;
        }
        for panel in state.known.get_untracked() {
            panel.weights.set(WeightsState::Loading(0));
            panel.cold.set(None);
        }
        if let Some(suspect) = suspect {
            state.suspect.set(Some(suspect));
            let text = "The worker that runs the networks crashed or ran out of memory on this picture. It has been \
                        replaced.";
            state.notice.set(Some(Notice { text: text.into(), can_retry: true }));
        } else if had_started {
            state.tell("The worker that runs the networks crashed or ran out of memory. It has been replaced.");
        }
        self.connect();
    }
}

/// Fetches the list of models and opens a panel for the default one.
pub async fn list_models(state: State) {
    let text = super::intake::fetch_text(&state.url("models/manifest.json")).await;
    let manifest = text.and_then(|text| Manifest::from_json(&text).map_err(|error| error.to_string()));
    match manifest {
        Ok(manifest) => {
            state.choose(&manifest.default);
            state.models.set(Models::Listed(Arc::new(manifest)));
        }
        Err(message) => state.models.set(Models::Failed(message)),
    }
}

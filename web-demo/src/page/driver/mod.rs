//! Between the state and the worker: gives the worker the jobs that the state calls for, files what it answers, and replaces
//! it when it dies.

mod connection;
mod dispatch;
mod jobs;
mod recovery;
mod replies;
mod watch;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use leptos::prelude::*;
use shared_model::{ManifestEntry, Variant, cost};

use super::language::text;
use super::panel::Panel;
use super::state::{State, random_weights, split_size};
use crate::protocol::{Reply, Request};
use connection::Connection;
use jobs::Job;

/// Keeps a worker busy with what the state calls for. A handle, cheap to copy, in every view's context.
#[derive(Clone, Copy)]
pub struct WorkerDriver {
    assigned: StoredValue<Rc<RefCell<Assigned>>, LocalStorage>,
    state: State,
}

/// What the worker of the moment has been given, and what it is busy with.
#[derive(Default)]
struct Assigned {
    connection: Option<Connection>,
    /// Models that it has, or is getting.
    loads: BTreeSet<String>,
    /// The picture that it holds, with its size once it has been decoded.
    opened: Option<(u32, Option<(u32, u32)>)>,
    busy: Option<Job>,
    /// What it has been given to do after that.
    ahead: VecDeque<Job>,
    /// Starts in a row without a sign of life, of this worker and those before it.
    failed_starts: u32,
    /// How long it has been busy without a word; see [`watch`].
    silent_ticks: u32,
}

/// How a worker ended.
enum Death {
    /// With last words, its own or the browser's.
    Said(String),
    /// It no longer answers.
    Silent,
}

impl Assigned {
    fn send(&self, request: &Request) {
        if let Some(connection) = &self.connection {
            connection.send(request);
        }
    }
}

impl WorkerDriver {
    /// Starts the worker, and from then on keeps it up to date with the state.
    pub fn provide(state: State) {
        let driver = Self { assigned: StoredValue::new_local(Rc::default()), state };
        provide_context(driver);
        driver.connect();
        driver.watch();
        Effect::new(move || {
            driver.track();
            untrack(|| driver.dispatch());
        });
    }

    /// The driver, in a view.
    pub fn get() -> Self {
        expect_context()
    }

    /// Times the layers of a variant, by whichever of its models is at hand. Pruned ones take other times.
    pub fn profile(self, variant: &str) {
        let State { models, panels, benchmark, .. } = self.state;
        let is_whole = |of: &str, classes: usize, parameters: usize| {
            let graph = Variant::named(of).map(|variant| variant.graph(classes));
            of == variant && graph.is_ok_and(|graph| cost(&graph, 416, 416).parameters == parameters)
        };
        let model = untrack(|| {
            // At its own size: that is what the drawing and its costs are of.
            let is_of = |panel: &Panel| {
                split_size(&panel.name()).1.is_none()
                    && panel
                        .facts()
                        .is_some_and(|facts| is_whole(&facts.variant, facts.classes.len(), facts.parameters))
            };
            let loaded = panels.known().into_iter().find(is_of).map(Panel::name);
            let is_listed = |entry: &ManifestEntry| is_whole(&entry.variant, entry.classes, entry.parameters);
            let listed = || models.entries().into_iter().find(is_listed).map(|entry| entry.name);
            loaded.or_else(listed).unwrap_or_else(|| random_weights(variant))
        });
        panels.of(&model);
        benchmark.queue_layers(model);
    }

    /// Has the worker drop a model that is no longer listed, at all its sizes.
    pub fn discard(self, model: &str) {
        let panels = self.state.panels;
        let is_of = |name: &String| split_size(name).0 == model;
        let names: Vec<String> = untrack(|| panels.known()).into_iter().map(Panel::name).filter(is_of).collect();
        for name in names {
            self.assigned_mut(|assigned| {
                assigned.loads.remove(&name);
                assigned.send(&Request::Unload { model: name.clone() });
            });
            panels.forget(&name);
        }
    }

    /// Lets the visitor's "try again" through to everything that failed.
    pub fn retry(self) {
        let State { notices, panels, worker, input, .. } = self.state;
        notices.dismiss();
        untrack(|| {
            for panel in panels.shown() {
                if panel.failure().is_some() {
                    self.assigned_mut(|assigned| assigned.loads.remove(&panel.name()));
                    panel.set_loading(0);
                }
            }
            if worker.failure().is_some() {
                self.assigned_mut(|assigned| assigned.failed_starts = 0);
                self.connect();
            }
        });
        input.clear_suspect();
    }

    /// Starts a worker that knows nothing yet.
    fn connect(self) {
        // The old one ends before the new one starts: two may be more than memory has room for.
        self.assigned_mut(|assigned| {
            *assigned = Assigned { failed_starts: assigned.failed_starts, ..Assigned::default() };
        });
        self.state.worker.set_starting();
        match Connection::open(move |reply| self.receive(reply)) {
            Ok((connection, before)) => {
                self.assigned_mut(|assigned| assigned.connection = Some(connection));
                for reply in before {
                    let is_last = matches!(reply, Reply::Died(_));
                    self.receive(reply);
                    // By now there is a successor, of which what else the dead one said says nothing.
                    if is_last {
                        break;
                    }
                }
            }
            Err(_) => self.state.worker.set_broken(text!("This browser allows the page no worker.")),
        }
    }

    fn receive(self, reply: Reply) {
        self.assigned_mut(|assigned| assigned.silent_ticks = 0);
        untrack(|| self.file(reply));
        // Not every answer changes what the effect reads.
        untrack(|| self.dispatch());
    }

    /// Reads what the worker has been given. Signals may be set meanwhile, as what they set off runs later.
    fn assigned<T>(self, read: impl FnOnce(&Assigned) -> T) -> T {
        read(&self.assigned.get_value().borrow())
    }

    fn assigned_mut<T>(self, change: impl FnOnce(&mut Assigned) -> T) -> T {
        change(&mut self.assigned.get_value().borrow_mut())
    }
}

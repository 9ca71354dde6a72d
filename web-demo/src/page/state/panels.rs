//! Models side by side.

use leptos::prelude::*;

use crate::page::panel::Panel;

/// The most panels side by side.
pub const MAX_PANELS: usize = 4;

/// The store of the panels on show, each of another model, and of those that were: chosen again, they are as they were.
#[derive(Clone, Copy)]
pub struct Panels {
    /// The page itself: what is made in its name lives as long as it does, and not as long as the view that asked for it.
    owner: StoredValue<Owner>,
    shown: RwSignal<Vec<Panel>>,
    known: RwSignal<Vec<Panel>>,
}

impl Panels {
    pub(super) fn new() -> Self {
        Self {
            owner: StoredValue::new(Owner::current().expect("the page's root view provides the state")),
            shown: RwSignal::new(Vec::new()),
            known: RwSignal::new(Vec::new()),
        }
    }

    /// The panels on show, from left to right.
    pub fn shown(self) -> Vec<Panel> {
        self.shown.get()
    }

    /// How many are on show.
    pub fn count(self) -> usize {
        self.shown.read().len()
    }

    /// Names of the models on show, from left to right.
    pub fn names(self) -> Vec<String> {
        self.shown.read().iter().map(|panel| panel.name()).collect()
    }

    /// Whether a model is on show.
    pub fn shows(self, model: &str) -> bool {
        self.shown.read().iter().any(|panel| panel.is(model))
    }

    /// All panels that there are, on show or not.
    pub fn known(self) -> Vec<Panel> {
        self.known.get()
    }

    /// The panel of a model: the one it had before, or a new one.
    pub fn of(self, model: &str) -> Panel {
        let known = self.known.get_untracked().into_iter().find(|panel| panel.is(model));
        known.unwrap_or_else(|| {
            let panel = self.owner.with_value(|owner| owner.with(|| Panel::new(model.to_owned())));
            self.known.update(|known| known.push(panel));
            panel
        })
    }

    /// Shows these models, each once, as many as there is room for.
    pub fn show(self, models: impl IntoIterator<Item = String>) {
        let mut panels: Vec<Panel> = Vec::new();
        for model in models {
            if panels.len() < MAX_PANELS && !panels.iter().any(|panel| panel.is(&model)) {
                panels.push(self.of(&model));
            }
        }
        self.shown.set(panels);
    }

    /// Shows one model more: beside the others if there is room, else in the last one's place.
    pub fn add(self, model: String) {
        let mut models = self.names_now();
        models.truncate(MAX_PANELS - 1);
        models.push(model);
        self.show(models);
    }

    /// Shows another model at a place.
    pub fn replace(self, place: usize, model: String) {
        let mut models = self.names_now();
        models[place] = model;
        self.show(models);
    }

    /// Takes a model off the page.
    pub fn remove(self, model: &str) {
        self.show(self.names_now().into_iter().filter(|name| name != model));
    }

    /// Forgets a model that is not on show.
    pub fn forget(self, model: &str) {
        self.known.update(|known| known.retain(|panel| !panel.is(model)));
    }

    /// Subscribes to which panels there are, to their weights and their runs.
    pub fn track(self) {
        for panel in self.shown.get().into_iter().chain(self.known.get()) {
            panel.track();
        }
    }

    fn names_now(self) -> Vec<String> {
        untrack(|| self.names())
    }
}

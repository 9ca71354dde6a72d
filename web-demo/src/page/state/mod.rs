//! What the page knows, in stores: each a handful of signals that only its own methods change. Views read them;
//! [`super::driver`] and [`super::intake`] tell them what has come in.

mod annotations;
mod benchmark;
mod display;
mod input;
mod models;
mod notices;
mod panels;
mod sizes;
mod worker_status;

use leptos::prelude::*;

use super::panel::{Panel, Run};
use super::site::Assets;
use annotations::Annotations;
use benchmark::Benchmark;
pub use input::Film;
use input::PictureInput;
use models::Models;
use notices::Notices;
use panels::Panels;
use worker_status::WorkerStatus;

pub use benchmark::{BENCHMARK_RUNS, ModelTimes};
pub use display::{Display, OVERLAPS, PageView, SCORES, Threshold};
pub use models::{ModelList, random_variant, random_weights};
pub use panels::MAX_PANELS;
pub use sizes::{INPUT_SIZES, sized_name, split_size};
pub use worker_status::{WorkerBuild, WorkerState};

/// All stores: handles, cheap to copy into every closure.
#[derive(Clone, Copy)]
pub struct State {
    /// URLs of the site's files.
    pub assets: Assets,
    /// The list of models.
    pub models: Models,
    /// Models side by side.
    pub panels: Panels,
    /// Pictures: on show, on their way, in the gallery.
    pub input: PictureInput,
    /// What really is in them.
    pub annotations: Annotations,
    /// How it is all shown, and what the panels show matched with each other.
    pub display: Display,
    /// Times of models and of layers, where the visitor asked for them.
    pub benchmark: Benchmark,
    /// How the worker is.
    pub worker: WorkerStatus,
    /// Something to tell the visitor.
    pub notices: Notices,
}

impl State {
    /// The state at the start, which all views find in their context.
    pub fn provide() -> Self {
        let (panels, input, annotations) = (Panels::new(), PictureInput::new(), Annotations::new());
        let state = Self {
            assets: Assets::of_page(),
            models: Models::new(),
            display: Display::new(panels, input, annotations),
            panels,
            input,
            annotations,
            benchmark: Benchmark::new(),
            worker: WorkerStatus::new(),
            notices: Notices::new(),
        };
        provide_context(state);
        state
    }

    /// The state, in a view.
    pub fn get() -> Self {
        expect_context()
    }

    /// What a panel's model found in the picture on show.
    pub fn run(self, panel: Panel) -> Option<Run> {
        panel.run(self.input.shown_id()?)
    }

    /// Whether a panel's boxes are those of the picture on show.
    pub fn is_current(self, panel: Panel) -> bool {
        self.input.shown_id().is_some_and(|shown| panel.has_run(shown))
    }

    /// Milliseconds that a panel's network took on the picture on show, run by run; see [`Run::network_times`].
    pub fn network_times(self, panel: Panel) -> Vec<f64> {
        self.run(panel).as_ref().map(Run::network_times).unwrap_or_default()
    }
}

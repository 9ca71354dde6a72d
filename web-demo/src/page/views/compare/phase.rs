//! What stands between the visitor and a panel's boxes.

use crate::page::language::text;
use crate::page::panel::{Panel, WeightsState};
use crate::page::state::{State, WorkerState};
use crate::page::words;

/// What a panel is waiting for.
pub enum Phase {
    /// The worker is not up yet.
    Starting,
    /// Bytes of weights: so far, of all.
    Downloading(u64, u64),
    /// A picture is being decoded.
    Opening,
    /// The network runs, or waits for its turn.
    Running,
    /// The boxes are there.
    Done,
    /// Something went wrong, and the page says so elsewhere.
    Stopped,
}

impl Phase {
    /// The phase that a panel is in.
    pub fn of(state: State, panel: Panel) -> Self {
        let weights = panel.weights();
        let is_current = state.is_current(panel);
        if state.worker.failure().is_some()
            || state.models.failure().is_some()
            || matches!(weights, WeightsState::Failed(_))
            || (state.input.suspect().is_some() && !state.input.is_pending())
        {
            return if is_current { Self::Done } else { Self::Stopped };
        }
        // Frames of a camera follow each other too fast for words.
        if is_current && (!state.input.is_pending() || state.input.is_live()) {
            return Self::Done;
        }
        match weights {
            _ if state.worker.state() == WorkerState::Starting => Self::Starting,
            WeightsState::Loading(received) => {
                Self::Downloading(received, state.models.entry(&panel.name()).map_or(received, |entry| entry.bytes))
            }
            _ if state.input.is_pending() || state.input.shown_id().is_none() => Self::Opening,
            _ => Self::Running,
        }
    }

    /// For tests and styles.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Downloading(..) => "downloading",
            Self::Opening => "opening",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// In words, with progress where there is a measure of it.
    pub fn text(&self) -> Option<(String, Option<(u64, u64)>)> {
        match *self {
            Self::Starting => Some((text!("Starting"), None)),
            Self::Downloading(received, all) => {
                let (done, of) = (words::bytes(received), words::bytes(all));
                Some((text!("Downloading weights: %{done} of %{all}", done = done, all = of), Some((received, all))))
            }
            Self::Opening => Some((text!("Opening the picture"), None)),
            Self::Running => Some((text!("Looking for objects"), None)),
            Self::Done | Self::Stopped => None,
        }
    }
}

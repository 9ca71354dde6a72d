//! What stands between the visitor and a panel's boxes.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::panel::{Panel, WeightsState};
use crate::page::state::{Models, State, WorkerState};
use crate::page::views::words;

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
        let weights = panel.weights.get();
        let is_current = panel.is_current(state);
        if matches!(&*state.worker.read(), WorkerState::Broken(_))
            || matches!(&*state.models.read(), Models::Failed(_))
            || matches!(weights, WeightsState::Failed(_))
            || (state.suspect.read().is_some() && state.pending.read().is_none())
        {
            return if is_current { Self::Done } else { Self::Stopped };
        }
        // Frames of a camera follow each other too fast for words.
        if is_current && (state.pending.read().is_none() || state.live.get()) {
            return Self::Done;
        }
        match weights {
            _ if *state.worker.read() == WorkerState::Starting => Self::Starting,
            WeightsState::Loading(received) => {
                Self::Downloading(received, panel.entry(state).map_or(received, |entry| entry.bytes))
            }
            _ if state.pending.read().is_some() || state.picture.read().is_none() => Self::Opening,
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

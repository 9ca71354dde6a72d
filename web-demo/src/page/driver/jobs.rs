//! What the worker should do next: one job at a time, so that what matters to the visitor never waits behind what does not.

use std::collections::BTreeSet;

use crate::page::state::BENCHMARK_RUNS;

/// A job, done when the worker's answer is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Decode this picture.
    Open(u32),
    /// Run a model on it.
    Run { picture: u32, model: String },
    /// Time a model on it.
    Measure { picture: u32, model: String, runs: usize },
    /// Time a model's layers.
    Profile(String),
}

impl Job {
    /// Whether it ends early when there is something else to do.
    pub fn gives_way(&self) -> bool {
        matches!(self, Self::Measure { .. })
    }

    /// The picture it is about.
    pub fn picture(&self) -> Option<u32> {
        match self {
            Self::Open(picture) | Self::Run { picture, .. } | Self::Measure { picture, .. } => Some(*picture),
            Self::Profile(_) => None,
        }
    }
}

/// All that decides about the next job.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// The picture that the visitor wants to see: the one on its way, or the one on show.
    pub wanted: Option<u32>,
    /// Whether it still has to prove that it can be decoded.
    pub is_pending: bool,
    /// The picture that the worker holds.
    pub opened: Option<u32>,
    /// The panels, in their order.
    pub panels: Vec<PanelProgress>,
    /// Other pictures to look at, in their order.
    pub gallery: Vec<u32>,
    /// The model to measure for the benchmark, and whether it has run before.
    pub benchmark: Option<(PanelProgress, bool)>,
    /// The model whose layers to time.
    pub profile: Option<PanelProgress>,
    /// Whether pictures follow each other, so that there is no time to measure.
    pub is_live: bool,
}

/// How far a panel is.
#[derive(Clone, Debug, Default)]
pub struct PanelProgress {
    pub model: String,
    /// Whether its weights are there.
    pub is_ready: bool,
    /// Pictures that it has looked at.
    pub seen: BTreeSet<u32>,
    /// How often it has still to be timed on the picture on show.
    pub missing_runs: usize,
}

impl Situation {
    /// The most important job, if there is any.
    pub fn next(&self) -> Option<Job> {
        let asked = self.benchmark.is_some() || self.profile.is_some();
        self.look_at(self.wanted, self.is_pending)
            .or_else(|| self.profile.as_ref().filter(|look| look.is_ready).map(|look| Job::Profile(look.model.clone())))
            .or_else(|| self.measure_for_benchmark())
            // Somebody who waits for a benchmark does not wait for a gallery.
            .or_else(|| if asked { None } else { self.measure() })
            .or_else(|| if asked { None } else { self.gallery.iter().find_map(|id| self.look_at(Some(*id), false)) })
    }

    /// What will have to follow `job`, and can be asked for with it: of a camera's frame, all panels. The page then shows what one has
    /// found while the worker runs the next.
    pub fn ahead_of(&self, job: &Job) -> Vec<Job> {
        let Job::Open(picture) = *job else { return Vec::new() };
        let ready = self.panels.iter().filter(|look| self.is_live && look.is_ready);
        ready.map(|look| Job::Run { picture, model: look.model.clone() }).collect()
    }

    /// Opens a picture and runs on it whatever panel has not.
    fn look_at(&self, picture: Option<u32>, must_open: bool) -> Option<Job> {
        let picture = picture?;
        let unseen = |look: &&PanelProgress| !look.seen.contains(&picture);
        if must_open || self.opened != Some(picture) {
            // As long as the weights are on their way there is time to decode.
            let first = self.panels.iter().find(unseen);
            return (must_open || first.is_some()).then_some(Job::Open(picture));
        }
        let look = self.panels.iter().filter(unseen).find(|look| look.is_ready)?;
        Some(Job::Run { picture, model: look.model.clone() })
    }

    fn measure(&self) -> Option<Job> {
        let picture = self.wanted.filter(|_| !self.is_pending && !self.is_live)?;
        let ready = self.panels.iter().filter(|look| look.is_ready && look.missing_runs > 0);
        // In turns, so that what disturbs one model disturbs all. Of several, `max_by_key` takes the last.
        let look = ready.rev().max_by_key(|look| look.missing_runs)?;
        if self.opened != Some(picture) {
            return Some(Job::Open(picture));
        }
        Some(Job::Measure { picture, model: look.model.clone(), runs: 1 })
    }

    fn measure_for_benchmark(&self) -> Option<Job> {
        let (look, has_run) = self.benchmark.as_ref().filter(|(look, _)| look.is_ready)?;
        let model = look.model.clone();
        match self.opened {
            None => self.wanted.map(Job::Open),
            Some(picture) if *has_run => Some(Job::Measure { picture, model, runs: BENCHMARK_RUNS }),
            Some(picture) => Some(Job::Run { picture, model }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(model: &str, seen: &[u32], missing_runs: usize) -> PanelProgress {
        PanelProgress { model: model.into(), is_ready: true, seen: seen.iter().copied().collect(), missing_runs }
    }

    fn measure(picture: u32, model: &str) -> Option<Job> {
        Some(Job::Measure { picture, model: model.into(), runs: 1 })
    }

    fn run(picture: u32, model: &str) -> Option<Job> {
        Some(Job::Run { picture, model: model.into() })
    }

    #[test]
    fn all_panels_follow_a_frame_at_once() {
        let mut now = Situation { wanted: Some(7), is_pending: true, is_live: true, ..Situation::default() };
        now.panels = vec![look("a", &[], 2), look("b", &[], 2)];
        now.panels[0].is_ready = false;
        let job = now.next().unwrap();
        assert_eq!(now.ahead_of(&job), [run(7, "b").unwrap()]);
        assert_eq!(now.ahead_of(&run(7, "b").unwrap()), []);
        now.is_live = false;
        assert_eq!(now.ahead_of(&job), []);
    }

    #[test]
    fn a_picture_is_opened_once_and_run_by_every_panel_before_anything_is_measured() {
        let mut now = Situation { wanted: Some(7), is_pending: true, ..Situation::default() };
        now.panels = vec![look("a", &[], 2), look("b", &[], 2)];
        assert_eq!(now.next(), Some(Job::Open(7)));
        (now.opened, now.is_pending) = (Some(7), false);
        assert_eq!(now.next(), run(7, "a"));
        now.panels[0].seen.insert(7);
        assert_eq!(now.next(), run(7, "b"));
        now.panels[1].seen.insert(7);
        assert_eq!(now.next(), measure(7, "a"));
        now.panels[0].missing_runs = 1;
        assert_eq!(now.next(), measure(7, "b"), "they take turns");
        now.is_live = true;
        assert_eq!(now.next(), None);
    }

    #[test]
    fn weights_on_their_way_hold_up_their_own_panel_only() {
        let mut now = Situation { wanted: Some(1), opened: Some(1), ..Situation::default() };
        now.panels = vec![PanelProgress { is_ready: false, ..look("a", &[], 2) }, look("b", &[], 2)];
        assert_eq!(now.next(), run(1, "b"));
    }

    #[test]
    fn the_gallery_comes_after_the_picture_on_show_and_its_times() {
        let mut now = Situation { wanted: Some(1), opened: Some(1), gallery: vec![1, 2, 3], ..Situation::default() };
        now.panels = vec![look("a", &[1, 2], 2)];
        assert!(matches!(now.next(), Some(Job::Measure { .. })));
        now.panels[0].missing_runs = 0;
        assert_eq!(now.next(), Some(Job::Open(3)));
        now.opened = Some(3);
        assert_eq!(now.next(), run(3, "a"));
        now.panels[0].seen.insert(3);
        assert_eq!(now.next(), None);
        // One of them is asked for: it is opened again, though the worker holds it, as only then it is put on show.
        (now.wanted, now.is_pending) = (Some(3), true);
        assert_eq!(now.next(), Some(Job::Open(3)));
        (now.wanted, now.is_pending) = (Some(1), false);
        // A panel more: everything once again.
        now.panels.push(look("b", &[], 2));
        assert_eq!(now.next(), Some(Job::Open(1)));
    }

    #[test]
    fn a_benchmark_runs_once_before_it_measures_and_goes_before_the_gallery() {
        let mut now = Situation { wanted: Some(1), opened: Some(1), gallery: vec![2], ..Situation::default() };
        now.panels = vec![look("a", &[1], 0)];
        now.benchmark = Some((look("b", &[], 2), false));
        assert_eq!(now.next(), run(1, "b"));
        now.benchmark = Some((look("b", &[1], 2), true));
        assert_eq!(now.next(), Some(Job::Measure { picture: 1, model: "b".into(), runs: BENCHMARK_RUNS }));
    }
}

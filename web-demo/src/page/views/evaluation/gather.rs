//! What the view is about: the annotated pictures, and what the models on show found in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use shared_model::Detection;

use crate::page::evaluation::{AnnotatedPicture, JudgedRun, SetEvaluation};
use crate::page::latest::LatestTask;
use crate::page::panel::Panel;
use crate::page::state::State;
use crate::page::truth::GroundTruth;

/// The set is scored so many milliseconds after a result has come in, and again while more do: results come one by one, by the
/// hundred.
const FIRST_PAUSE: u32 = 300;
const NEXT_PAUSE: u32 = 2000;

/// A judged run, and what it was made of: as long as that stays, so does it.
#[derive(Clone)]
struct Kept {
    candidates: Arc<[Detection]>,
    truth: Arc<GroundTruth>,
    max_iou: f32,
    judged: Arc<JudgedRun>,
}

impl Kept {
    fn is_of(&self, candidates: &Arc<[Detection]>, truth: &Arc<GroundTruth>, max_iou: f32) -> bool {
        Arc::ptr_eq(&self.candidates, candidates) && Arc::ptr_eq(&self.truth, truth) && self.max_iou == max_iou
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.judged, &other.judged)
    }
}

/// The models on show, each with its classes; the pictures that all of them have looked at; and what they found there, by model
/// and picture.
#[derive(Clone, Default, PartialEq)]
struct Gathered {
    models: Vec<(String, Vec<String>)>,
    pictures: Vec<AnnotatedPicture>,
    runs: BTreeMap<(String, u32), Kept>,
}

/// The evaluation of the models on show on the pictures of the gallery that are annotated; without a gallery, on the picture on
/// show. It is computed a part at a time, between which the browser draws, and follows what comes in.
pub fn evaluation(state: State) -> ReadSignal<SetEvaluation> {
    let gathered = Memo::new(move |old: Option<&Gathered>| gather(state, old));
    let (evaluation, set_evaluation) = signal(SetEvaluation::default());
    let (task, changes, is_busy) = (LatestTask::new(), StoredValue::new(0_u64), StoredValue::new(false));
    Effect::new(move |_| {
        gathered.track();
        changes.update_value(|changes| *changes += 1);
        if is_busy.get_value() {
            return;
        }
        is_busy.set_value(true);
        task.run(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                TimeoutFuture::new(pause).await;
                let seen = changes.get_value();
                let Gathered { models, pictures, runs } = gathered.get_untracked();
                let models = models.into_iter().map(|(name, classes)| {
                    let of_picture = |picture: &AnnotatedPicture| runs.get(&(name.clone(), picture.id));
                    let judged = pictures.iter().filter_map(of_picture).map(|kept| Arc::clone(&kept.judged)).collect();
                    (name, classes, judged)
                });
                let models: Vec<_> = models.collect();
                set_evaluation.set(SetEvaluation::new(pictures, models, async || TimeoutFuture::new(0).await).await);
                if changes.get_value() == seen {
                    break;
                }
                pause = NEXT_PAUSE;
            }
            is_busy.set_value(false);
        });
    });
    evaluation
}

/// Numbers and names of the pictures that the view is about, annotated or not.
pub fn candidates(state: State) -> Vec<(u32, String)> {
    let gallery = state.input.gallery();
    let shown = state.input.shown().map(|opened| opened.picture);
    let pictures = if gallery.is_empty() { shown.into_iter().collect() } else { gallery };
    pictures.into_iter().map(|picture| (picture.id, picture.name)).collect()
}

fn gather(state: State, old: Option<&Gathered>) -> Gathered {
    let max_iou = state.display.max_iou.get();
    // Weights that are not to be had must not keep the other models from being scored.
    let panels: Vec<Panel> = state.panels.shown().into_iter().filter(|panel| panel.failure().is_none()).collect();
    let models: Vec<_> = panels.iter().map(|panel| (panel.name(), panel.classes())).collect();
    let (mut pictures, mut runs) = (Vec::new(), BTreeMap::new());
    for (id, name) in candidates(state) {
        let Some(truth) = state.annotations.of(id) else { continue };
        let judge = |(panel, (model, classes)): (&Panel, &(String, Vec<String>))| {
            // Where the worker is being replaced, weights are on their way again, and what was found is there already.
            let run = panel.run(id).filter(|_| !classes.is_empty())?;
            let candidates = run.candidates.as_ref().ok()?;
            let key = (model.clone(), id);
            let kept = old.and_then(|old| old.runs.get(&key));
            if let Some(kept) = kept.filter(|kept| kept.is_of(candidates, &truth, max_iou)) {
                return Some((key, kept.clone()));
            }
            let judged = Arc::new(JudgedRun::new(&run, classes, &truth, max_iou)?);
            Some((key, Kept { candidates: Arc::clone(candidates), truth: Arc::clone(&truth), max_iou, judged }))
        };
        let judged: Option<Vec<_>> = panels.iter().zip(&models).map(judge).collect();
        if let Some(judged) = judged.filter(|judged| !judged.is_empty()) {
            runs.extend(judged);
            pictures.push(AnnotatedPicture { id, name, truth });
        }
    }
    Gathered { models, pictures, runs }
}

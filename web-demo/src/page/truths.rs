//! Annotation files on the page: which picture each is about, as soon as the picture's size is known.

use std::sync::Arc;

use leptos::prelude::*;

use super::language::text;
use super::picture::Picture;
use super::state::State;
use super::truth::{TruthFile, TruthNote};

/// Annotation files that the visitor has given.
#[derive(Default)]
pub struct Truths {
    files: Vec<TruthFile>,
    /// The picture that the only file is about, whatever their names are.
    only: Option<u32>,
}

/// Keeps annotation files and puts them beside the pictures they are about: those of the gallery, and the one on show.
///
/// Given alone or with one picture, a single file is about that picture, or the one on show.
pub fn keep(state: State, files: Vec<TruthFile>, taken: &[Picture]) {
    let annotations = files.iter().filter(|file| file.class_list().is_none()).count();
    let only = match taken {
        [] if state.gallery.read_untracked().is_empty() => untrack(|| state.shown()),
        [picture] => Some(picture.id),
        _ => None,
    };
    state.truths.update_value(|truths| {
        truths.only = only.filter(|_| annotations == 1);
        truths.files = files;
    });
    if let Some(opened) = state.picture.get_untracked() {
        resolve(state, &opened.picture, (opened.width, opened.height));
    }
    for picture in state.gallery.get_untracked() {
        let known = state.known.get_untracked();
        let size = known.iter().find_map(|panel| panel.runs.read_untracked().get(&picture.id).map(|run| run.size));
        if let Some(size) = size {
            resolve(state, &picture, size);
        }
    }
    let is_expected = state.pending.read_untracked().is_some() || state.gallery.read_untracked().len() > 1;
    let has_matched = !state.truth.read_untracked().is_empty();
    if !is_expected && !has_matched && annotations > 0 && state.notice.read_untracked().is_none() {
        state.tell(text!(
            "The annotations are about other pictures. Their names, up to the ending, have to be the same."
        ));
    }
}

/// Puts what the annotation files say beside a picture of this size.
pub fn resolve(state: State, picture: &Picture, (width, height): (u32, u32)) {
    let found = state.truths.with_value(|truths| {
        let classes = truths.files.iter().find_map(TruthFile::class_list);
        truths.files.iter().find_map(|file| {
            if truths.only == Some(picture.id) && file.class_list().is_none() {
                return file.only_objects(width, height, classes);
            }
            file.objects_for(&picture.name, width, height, classes)
        })
    });
    match found {
        Some(Ok(truth)) => {
            if let Some(note) = &truth.note {
                state.tell(describe(note));
            }
            state.truth.update(|all| drop(all.insert(picture.id, Arc::new(truth))));
        }
        Some(Err(error)) => state.tell(error.to_string()),
        None => {}
    }
}

fn describe(note: &TruthNote) -> String {
    match note {
        TruthNote::CocoNames => {
            text!("The annotation's classes are numbers, and no classes.txt came with it: they are taken for COCO's.")
        }
        TruthNote::Scaled([width, height]) => text!(
            "The annotation is of a picture with %{width} \u{d7} %{height} pixels; its boxes were scaled.",
            width = width,
            height = height
        ),
    }
}

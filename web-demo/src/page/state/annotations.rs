//! What really is in pictures, and the files that say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;

use crate::page::truth::{GroundTruth, TruthError, TruthFile, TruthNote};

/// The store of annotations. Which file is about a picture shows as soon as the picture's size is known.
#[derive(Clone, Copy)]
pub struct Annotations {
    files: StoredValue<Vec<TruthFile>, LocalStorage>,
    /// The picture that the only file is about, whatever their names are.
    only: StoredValue<Option<u32>>,
    /// By the picture's number.
    truth: RwSignal<BTreeMap<u32, Arc<GroundTruth>>>,
}

impl Annotations {
    pub(super) fn new() -> Self {
        Self {
            files: StoredValue::new_local(Vec::new()),
            only: StoredValue::new(None),
            truth: RwSignal::new(BTreeMap::new()),
        }
    }

    /// What really is in a picture, where that is known.
    pub fn of(self, picture: u32) -> Option<Arc<GroundTruth>> {
        self.truth.read().get(&picture).cloned()
    }

    /// Whether no picture's truth is known.
    pub fn is_empty(self) -> bool {
        self.truth.read().is_empty()
    }

    /// Whether there are files that may be about some picture.
    pub fn has_files(self) -> bool {
        self.files.with_value(|files| !files.is_empty())
    }

    /// Keeps annotation files in place of those before. Of `only`, one of them says what is in it whatever they are called.
    pub fn keep(self, files: Vec<TruthFile>, only: Option<u32>) {
        self.only.set_value(only);
        self.files.set_value(files);
    }

    /// Looks for what the files say about a picture of `size` (width and height in pixels). Returns what had to be assumed,
    /// if anything.
    ///
    /// # Errors
    /// Fails where a file is about the picture and does not fit it.
    pub fn resolve(self, id: u32, name: &str, (width, height): (u32, u32)) -> Result<Option<TruthNote>, TruthError> {
        let is_only = self.only.get_value() == Some(id);
        let found = self.files.with_value(|files| {
            let classes = files.iter().find_map(TruthFile::class_list);
            files.iter().find_map(|file| {
                if is_only && file.class_list().is_none() {
                    return file.only_objects(width, height, classes);
                }
                file.objects_for(name, width, height, classes)
            })
        });
        let Some(truth) = found.transpose()? else { return Ok(None) };
        let note = truth.note.clone();
        self.truth.update(|all| drop(all.insert(id, Arc::new(truth))));
        Ok(note)
    }
}

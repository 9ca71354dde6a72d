//! Pictures: the one on show, the one on its way, the gallery, and those that cannot be looked at.

use std::collections::BTreeMap;

use leptos::prelude::*;
use web_sys::Blob;

use crate::page::picture::{OpenedPicture, Picture};

/// A video file that is to be played.
#[derive(Clone)]
pub struct Film {
    pub name: String,
    pub blob: Blob,
}

/// The store of pictures. It gives a picture's URL back once nothing can show the picture again.
#[derive(Clone, Copy)]
pub struct PictureInput {
    shown: RwSignal<Option<OpenedPicture>, LocalStorage>,
    /// The one on show stays until this one has proved good.
    pending: RwSignal<Option<Picture>, LocalStorage>,
    gallery: RwSignal<Vec<Picture>, LocalStorage>,
    /// Why pictures cannot be looked at, by their numbers.
    refused: RwSignal<BTreeMap<u32, String>>,
    /// The picture that a worker died on, kept from its successor until the visitor asks.
    suspect: RwSignal<Option<u32>>,
    live: RwSignal<bool>,
    paused: RwSignal<bool>,
    film: RwSignal<Option<Film>, LocalStorage>,
}

impl PictureInput {
    pub(super) fn new() -> Self {
        Self {
            shown: RwSignal::new_local(None),
            pending: RwSignal::new_local(None),
            gallery: RwSignal::new_local(Vec::new()),
            refused: RwSignal::new(BTreeMap::new()),
            suspect: RwSignal::new(None),
            live: RwSignal::new(false),
            paused: RwSignal::new(false),
            film: RwSignal::new_local(None),
        }
    }

    pub fn shown(self) -> Option<OpenedPicture> {
        self.shown.get()
    }

    /// The number of the picture on show.
    pub fn shown_id(self) -> Option<u32> {
        self.shown.read().as_ref().map(|opened| opened.picture.id)
    }

    /// The picture that is being opened.
    pub fn pending(self) -> Option<Picture> {
        self.pending.get()
    }

    /// Whether a picture is being opened.
    pub fn is_pending(self) -> bool {
        self.pending.read().is_some()
    }

    /// The number of the picture that the visitor wants to see: the one on its way, or the one on show.
    pub fn wanted(self) -> Option<u32> {
        self.pending.read().as_ref().map(|picture| picture.id).or(self.shown_id())
    }

    /// Several pictures that were given together.
    pub fn gallery(self) -> Vec<Picture> {
        self.gallery.get()
    }

    /// Numbers of the gallery's pictures.
    pub fn gallery_ids(self) -> Vec<u32> {
        self.gallery.read().iter().map(|picture| picture.id).collect()
    }

    /// How many pictures the gallery has; 0 without one.
    pub fn gallery_len(self) -> usize {
        self.gallery.read().len()
    }

    /// Whether a picture is in the gallery.
    pub fn is_in_gallery(self, id: u32) -> bool {
        self.gallery.read().iter().any(|picture| picture.id == id)
    }

    /// The picture with this number, wherever it is.
    pub fn find(self, id: u32) -> Option<Picture> {
        let (shown, pending, gallery) = (self.shown.read(), self.pending.read(), self.gallery.read());
        let shown = shown.iter().map(|opened| &opened.picture);
        pending.iter().chain(shown).chain(gallery.iter()).find(|picture| picture.id == id).cloned()
    }

    /// Why a picture cannot be looked at, if so.
    pub fn refusal(self, id: u32) -> Option<String> {
        self.refused.read().get(&id).cloned()
    }

    /// Whether a picture cannot be looked at.
    pub fn is_refused(self, id: u32) -> bool {
        self.refused.read().contains_key(&id)
    }

    /// The picture that a worker died on.
    pub fn suspect(self) -> Option<u32> {
        self.suspect.get()
    }

    /// The video file that was given last.
    pub fn film(self) -> Option<Film> {
        self.film.get()
    }

    /// Whether pictures come from the camera or a video file, one after another.
    pub fn is_live(self) -> bool {
        self.live.get()
    }

    /// Subscribes to all that decides which picture is to be looked at next.
    pub fn track(self) {
        self.shown.track();
        self.pending.track();
        self.gallery.track();
        self.suspect.track();
        self.live.track();
        self.paused.track();
    }

    /// Whether the gallery's other pictures wait until the visitor says so.
    pub fn is_paused(self) -> bool {
        self.paused.get()
    }

    /// Has the gallery's other pictures wait, or go on.
    pub fn set_paused(self, is_paused: bool) {
        self.paused.set(is_paused);
    }

    /// Asks for a picture: it is on show once it has proved good.
    pub fn request(self, picture: Picture) {
        self.suspect.set(None);
        self.pending.set(Some(picture));
    }

    /// Puts the picture that was asked for on show, in place of the one before.
    pub fn show(self, opened: OpenedPicture) {
        if let Some(old) = self.shown.get_untracked()
            && !untrack(|| self.is_in_gallery(old.picture.id))
        {
            old.picture.release();
        }
        self.shown.set(Some(opened));
        self.pending.set(None);
    }

    /// Remembers why a picture cannot be looked at: were it asked for again, the answer would be the same. Returns the
    /// picture if the visitor waits for it.
    pub fn refuse(self, id: u32, why: String) -> Option<Picture> {
        let awaited = self.pending.get_untracked().filter(|pending| pending.id == id);
        if awaited.is_some() {
            self.pending.set(None);
        }
        self.refused.update(|refused| drop(refused.insert(id, why)));
        awaited
    }

    /// Replaces the gallery. The picture on show stays, whichever it is from.
    pub fn set_gallery(self, pictures: Vec<Picture>) {
        let shown = untrack(|| self.shown_id());
        for old in self.gallery.get_untracked() {
            if Some(old.id) != shown {
                old.release();
            }
        }
        self.paused.set(false);
        self.gallery.set(pictures);
    }

    /// Clears the gallery away.
    pub fn close_gallery(self) {
        self.set_gallery(Vec::new());
    }

    /// A worker died on this picture.
    pub fn set_suspect(self, id: u32) {
        self.suspect.set(Some(id));
    }

    /// Lets the picture that a worker died on through again.
    pub fn clear_suspect(self) {
        self.suspect.set(None);
    }

    /// Asks for a video file to be played.
    pub fn set_film(self, film: Film) {
        self.film.set(Some(film));
    }

    /// Pictures come from the camera or a video file from now on, or no longer.
    pub fn set_live(self, is_live: bool) {
        self.live.set(is_live);
    }
}

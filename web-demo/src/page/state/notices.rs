//! Something to tell the visitor.

use leptos::prelude::*;

/// A sentence for the visitor.
#[derive(Clone, PartialEq)]
pub struct Notice {
    /// What is said, in the visitor's language.
    pub text: String,
    /// Whether trying the same picture again may help.
    pub can_retry: bool,
}

/// The store of the notice on show; a new one replaces the one before.
#[derive(Clone, Copy)]
pub struct Notices(RwSignal<Option<Notice>>);

impl Notices {
    pub(super) fn new() -> Self {
        Self(RwSignal::new(None))
    }

    /// The notice on show.
    pub fn current(self) -> Option<Notice> {
        self.0.get()
    }

    /// Tells the visitor.
    pub fn tell(self, text: impl Into<String>) {
        self.0.set(Some(Notice { text: text.into(), can_retry: false }));
    }

    /// Tells the visitor, and offers to try again.
    pub fn offer_retry(self, text: String) {
        self.0.set(Some(Notice { text, can_retry: true }));
    }

    /// Takes the notice away.
    pub fn dismiss(self) {
        self.0.set(None);
    }
}

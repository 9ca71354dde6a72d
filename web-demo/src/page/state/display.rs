//! How it is all shown: the view, what chooses among boxes, the part of the picture, and what that leaves, matched.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use leptos::prelude::*;

use super::annotations::Annotations;
use super::input::PictureInput;
use super::panels::Panels;
use crate::page::compare::{Comparison, Filter};
use crate::page::zoom::Zoom;

/// Scores that the page's threshold may have.
pub const SCORES: RangeInclusive<f32> = 0.01..=0.95;
/// Overlaps (IoU) that the page's threshold may have.
pub const OVERLAPS: RangeInclusive<f32> = 0.05..=0.95;

/// Score under which boxes are hidden at the start.
const SCORE: f32 = 0.3;
/// Overlap of two boxes of a class at the start, beyond which the worse one is hidden.
const MAX_IOU: f32 = 0.45;

/// One of the page's views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageView {
    /// Models side by side.
    #[default]
    Compare,
    /// Their score on the visitor's annotated pictures.
    Evaluation,
    /// Their speed on this device.
    Benchmark,
    /// What they are.
    Variants,
}

impl PageView {
    /// All of them, in the order of their buttons.
    pub const ALL: [Self; 4] = [Self::Compare, Self::Evaluation, Self::Benchmark, Self::Variants];

    /// Its name in links.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::Evaluation => "evaluation",
            Self::Benchmark => "benchmark",
            Self::Variants => "variants",
        }
    }

    /// The view called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }
}

/// A number that a slider sets, always within its range.
#[derive(Clone, Copy)]
pub struct Threshold {
    value: RwSignal<f32>,
    least: f32,
    most: f32,
    default: f32,
}

impl Threshold {
    fn new(default: f32, range: RangeInclusive<f32>) -> Self {
        let (least, most) = range.into_inner();
        Self { value: RwSignal::new(default), least, most, default }
    }
    pub fn get(self) -> f32 {
        self.value.get()
    }

    /// Sets it, or what of its range comes nearest.
    pub fn set(self, value: f32) {
        self.value.set(value.clamp(self.least, self.most));
    }

    /// The least and the greatest number it can have.
    pub fn range(self) -> (f32, f32) {
        (self.least, self.most)
    }

    /// The number, unless it is the one that the page begins with.
    pub fn chosen(self) -> Option<f32> {
        let value = self.get();
        ((value - self.default).abs() > 1e-4).then_some(value)
    }
}

/// The store of what the visitor has chosen to see.
#[derive(Clone, Copy)]
pub struct Display {
    /// What of the page is on show.
    pub view: RwSignal<PageView>,
    /// Boxes under this score are not shown.
    pub score: Threshold,
    /// Boxes of a class that overlap a better one by more than this IoU are not shown.
    pub max_iou: Threshold,
    /// Classes that are not shown, under the names that all models have in common.
    hidden: RwSignal<BTreeSet<String>>,
    /// All three: what chooses among the boxes that networks have found.
    pub filter: Memo<Filter>,
    /// Whether objects that all panels find are left out.
    pub differences_only: RwSignal<bool>,
    /// Whether two panels lie over each other, with a slider between them.
    pub overlaid: RwSignal<bool>,
    /// Whether the controls that a phone folds away, so that boxes come first, are on show there. Wide screens always show them.
    pub unfolded: RwSignal<bool>,
    /// The part of the picture that all panels show.
    pub zoom: RwSignal<Zoom>,
    /// What the panels show of the picture, matched.
    pub comparison: Memo<Arc<Comparison>>,
    /// The object under the pointer or the keyboard's focus, by its place in [`Comparison::objects`].
    highlighted: RwSignal<Option<usize>>,
}

impl Display {
    pub(super) fn new(panels: Panels, input: PictureInput, annotations: Annotations) -> Self {
        let (score, max_iou) = (Threshold::new(SCORE, SCORES), Threshold::new(MAX_IOU, OVERLAPS));
        let hidden = RwSignal::new(BTreeSet::new());
        let filter = Memo::new(move |_| Filter { score: score.get(), max_iou: max_iou.get(), hidden: hidden.get() });
        let comparison = Memo::new(move |_| {
            let shown = input.shown_id();
            let truth = shown.and_then(|id| annotations.of(id));
            Arc::new(Comparison::of_panels(&panels.shown(), shown, truth, &filter.read()))
        });
        let highlighted = RwSignal::new(None);
        // A place among the old objects is none among the new ones.
        Effect::new(move || {
            comparison.track();
            highlighted.set(None);
        });
        Self {
            view: RwSignal::new(PageView::default()),
            score,
            max_iou,
            hidden,
            filter,
            differences_only: RwSignal::new(false),
            overlaid: RwSignal::new(false),
            unfolded: RwSignal::new(false),
            zoom: RwSignal::new(Zoom::default()),
            comparison,
            highlighted,
        }
    }

    /// Shows the whole picture.
    pub fn reset_zoom(self) {
        self.zoom.set(Zoom::default());
    }

    /// Classes that are not shown.
    pub fn hidden(self) -> BTreeSet<String> {
        self.hidden.get()
    }

    /// Whether a class is not shown.
    pub fn is_hidden(self, class: &str) -> bool {
        self.hidden.read().contains(class)
    }

    /// Hides these classes and no others.
    pub fn hide(self, classes: impl IntoIterator<Item = String>) {
        self.hidden.set(classes.into_iter().collect());
    }

    /// Hides a class, or shows it again.
    pub fn toggle_class(self, class: &str) {
        self.hidden.update(|hidden| {
            if !hidden.remove(class) {
                hidden.insert(class.into());
            }
        });
    }

    /// The object that stands out, by its place in [`Comparison::objects`].
    pub fn highlighted(self) -> Option<usize> {
        self.highlighted.get()
    }

    /// Makes an object stand out, or none.
    pub fn highlight(self, object: Option<usize>) {
        self.highlighted.set(object);
    }
}

//! The decoded images of a training set, as many of them kept as fit into a budget.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};

use super::TrainingSet;
use super::problem::Problem;
use crate::photo::Photo;

/// Decodes a training set's images and keeps the first ones asked for.
///
/// Once the budget is spent, others are decoded whenever they are asked for. An epoch asks for every image once, so
/// that replacing kept ones by newer ones would lose each just before it is needed again.
#[derive(Debug)]
pub struct Images {
    set: Arc<TrainingSet>,
    kept: Vec<OnceLock<Arc<Photo>>>,
    kept_bytes: AtomicUsize,
    budget: usize,
    /// Whether it has been said what is damaged of an image.
    told: Vec<AtomicBool>,
}

impl Images {
    /// The images of `set`; at most `budget` bytes of pixels are kept.
    pub fn new(set: Arc<TrainingSet>, budget: usize) -> Self {
        let kept = (0..set.items.len()).map(|_| OnceLock::new()).collect();
        let told = (0..set.items.len()).map(|_| AtomicBool::new(false)).collect();
        Self { set, kept, kept_bytes: AtomicUsize::new(0), budget, told }
    }

    pub fn set(&self) -> &TrainingSet {
        &self.set
    }

    /// Image number `index` of the set.
    ///
    /// # Errors
    /// Fails, naming the file, where it cannot be decoded.
    pub fn get(&self, index: usize) -> Result<Arc<Photo>> {
        if let Some(photo) = self.kept[index].get() {
            return Ok(Arc::clone(photo));
        }
        let photo = Arc::new(open(&self.set, index)?);
        if let Some(damage) = Problem::of_damage(self.set.items[index].image.path(), &photo)
            && !self.told[index].swap(true, Ordering::Relaxed)
        {
            eprintln!("warning: {damage}");
        }
        let bytes = photo.pixels().as_raw().len();
        let room = |kept: usize| Some(kept + bytes).filter(|&total| total <= self.budget);
        if self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
            && self.kept[index].set(Arc::clone(&photo)).is_err()
        {
            // Another thread decoded it meanwhile.
            self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(photo)
    }

    /// Bytes of pixels that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes.load(Ordering::Relaxed)
    }
}

/// Decodes image number `index` of a set.
///
/// # Errors
/// Fails, naming the file, where it cannot be decoded.
pub fn open(set: &TrainingSet, index: usize) -> Result<Photo> {
    let file = &set.items[index].image;
    file.photo().with_context(|| format!("the training image {}", file.path().display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Difficult;
    use crate::data::testing::{VocBuilder, object};

    #[test]
    fn no_more_than_the_budget_is_kept() {
        let voc = VocBuilder::new();
        let names = ["a", "b", "c"];
        for name in names {
            voc.image(name, 10, 20, &object("dog", [1.0, 1.0, 9.0, 9.0]));
        }
        voc.split("train", &names);
        let set = Arc::new(TrainingSet::open(&[voc.source("train")], None, Difficult::Learn).unwrap());
        let images = Images::new(set, 1500);
        for _ in 0..3 {
            let all: Vec<_> = (0..3).map(|index| images.get(index).unwrap()).collect();
            assert_eq!(images.kept_bytes(), 1200, "two of 600 bytes");
            assert!(Arc::ptr_eq(&all[1], &images.get(1).unwrap()) && !Arc::ptr_eq(&all[2], &images.get(2).unwrap()));
        }
        voc.cut("c");
        let error = format!("{:#}", images.get(2).unwrap_err());
        assert!(error.contains("c.jpg") && error.contains("damaged or cut short"), "{error}");
        assert!(images.get(0).is_ok());
    }
}

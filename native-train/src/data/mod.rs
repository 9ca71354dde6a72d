//! Data sets.

pub mod annotation;
pub mod class_list;
pub mod coco;
pub mod pictures;
pub mod problem;
#[cfg(test)]
pub(crate) mod testing;
pub mod training_set;
pub mod voc;

pub use training_set::{Item, LabelledBox, Source, TrainingSet};

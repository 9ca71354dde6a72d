//! Data sets.

mod archive;
pub mod chart;
pub mod check;
pub mod class_list;
pub mod files;
pub mod pictures;
pub mod problem;
pub mod source;
#[cfg(test)]
pub(crate) mod testing;
pub mod training_set;
pub mod voc;

pub use files::DataFile;
pub use source::Source;
pub use training_set::{Difficult, Item, LabelledBox, TrainingSet};

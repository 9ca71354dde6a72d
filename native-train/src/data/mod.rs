//! Data sets.

mod archive;
pub mod chart;
pub mod check;
pub mod class_list;
pub mod files;
pub mod formats;
pub mod html;
pub mod images;
mod judge;
pub mod labels;
pub mod list;
mod object;
pub mod problem;
pub mod reading;
pub mod source;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod training_set;
mod turn;
pub mod voc;

pub use files::DataFile;
pub use formats::{Format, Role};
pub use object::Object;
pub use reading::Reading;
pub use source::Source;
pub use training_set::{Difficult, LabelledBox, TrainingImage, TrainingSet};

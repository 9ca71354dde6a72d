//! Data sets.

pub mod coco;
pub mod voc;

//! Data sets.

pub mod annotation;
pub mod coco;
pub mod voc;

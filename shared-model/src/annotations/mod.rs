//! Annotation files in COCO's JSON and YOLO's text, which the command line and the page read by the same rules, and
//! their boxes as Pascal VOC's, by which both reckon. VOC's own XML is in [`voc`](crate::voc).

mod class_list;
mod coco;
mod error;
pub mod text;
mod yolo;

pub use class_list::{class_list, class_names};
pub use coco::{CocoAnnotation, CocoCategory, CocoFile, CocoImage};
pub use error::{CocoIdError, FormatError, FormatErrorKind};
pub use yolo::{YoloFile, YoloObject};

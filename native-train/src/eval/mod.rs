//! Evaluation on image files: Pascal VOC's score, which is [`shared_model::evaluation`], and [COCO's](coco).

pub mod coco;
mod report;

pub use report::{detect_all, detect_all_by, report_table, score};

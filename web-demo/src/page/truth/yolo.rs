//! YOLO's text: what its numbers mean in a picture.

use shared_model::annotations::{YoloFile, YoloObject};
use shared_model::{BBox, COCO_CLASSES};

use super::error::{Flaw, TruthErrorKind};
use super::{GroundTruth, TruthNote, TruthObject};

/// Boxes that are none are flaws as damaged lines are.
pub fn read(text: &str) -> Result<YoloFile, Flaw> {
    let file = YoloFile::parse(text)?;
    file.check_boxes()?;
    Ok(file)
}

/// The objects in a picture of `size`, width and height in pixels. Without a list of classes, COCO's are used.
pub fn truth(file: &YoloFile, size: [u32; 2], class_list: Option<&[String]>) -> Result<GroundTruth, Flaw> {
    let object = |object: &YoloObject| {
        let class = class_name(object, class_list)?;
        let [x1, y1, x2, y2] = object.corners().map(|value| value as f32);
        Ok(TruthObject::scaled(class, false, BBox { x1, y1, x2, y2 }, size.map(|side| side as f32)))
    };
    let objects: Vec<_> = file.objects.iter().map(object).collect::<Result<_, Flaw>>()?;
    let note = (class_list.is_none() && !objects.is_empty()).then_some(TruthNote::CocoNames);
    Ok(GroundTruth { objects, classes: class_list.map(<[String]>::to_vec), note })
}

fn class_name<'a>(object: &YoloObject, class_list: Option<&'a [String]>) -> Result<&'a str, Flaw> {
    match class_list {
        Some(names) => Ok(object.class_name(names)?),
        None => {
            let name = COCO_CLASSES.get(object.class).copied();
            name.ok_or_else(|| TruthErrorKind::YoloBeyondCoco(object.class).at(object.line))
        }
    }
}

//! YOLO's text (<https://docs.ultralytics.com/datasets/detect/>), one file a picture, and lists of class names.

use shared_model::{BBox, COCO_CLASSES};

use super::error::{Flaw, TruthErrorKind};
use super::{Truth, TruthNote, TruthObject};

/// Coordinates may be this large: programs round them.
const MAX_PART: f64 = 1.01;

/// An annotation file: an object a line.
#[derive(Clone, Debug)]
pub struct YoloFile {
    objects: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    /// From 1.
    number: usize,
    class: usize,
    /// Centre and size, in parts of the picture's.
    bbox: [f64; 4],
}

impl YoloFile {
    /// Reads the text. A picture without objects has an empty file.
    pub fn read(text: &str) -> Result<Self, Flaw> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let object = |(i, line)| object(i + 1, line).map_err(|kind| kind.at(i + 1));
        Ok(Self { objects: lines.map(object).collect::<Result<_, _>>()? })
    }

    /// The objects in a picture of `size`, width and height in pixels. Without a list of classes, COCO's are used.
    pub fn truth(&self, size: [u32; 2], class_list: Option<&[String]>) -> Result<Truth, Flaw> {
        let object = |line: &Line| {
            let class = class_name(line.class, class_list).map_err(|kind| kind.at(line.number))?;
            let [cx, cy, w, h] = line.bbox;
            let [x1, y1, x2, y2] = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0].map(|value| value as f32);
            let bbox = BBox { x1, y1, x2, y2 };
            Ok(TruthObject::scaled(class, false, bbox, size.map(|side| side as f32)))
        };
        let objects: Vec<_> = self.objects.iter().map(object).collect::<Result<_, Flaw>>()?;
        let note = (class_list.is_none() && !objects.is_empty()).then_some(TruthNote::CocoNames);
        Ok(Truth { objects, classes: class_list.map(<[String]>::to_vec), note })
    }
}

fn object(number: usize, line: &str) -> Result<Line, TruthErrorKind> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let numbers: Vec<f64> = columns.iter().map(|column| parse(column)).collect::<Result<_, _>>()?;
    let &[class, cx, cy, w, h] = &numbers[..] else {
        return Err(match numbers.len() {
            6 => TruthErrorKind::YoloScore,
            count => TruthErrorKind::YoloColumns(count),
        });
    };
    if class < 0.0 || class.fract() != 0.0 {
        return Err(TruthErrorKind::YoloClass(columns[0].into()));
    }
    // A box without width or height is none.
    let is_bad = |&(column, value): &(usize, f64)| !(0.0..=MAX_PART).contains(&value) || column >= 2 && value == 0.0;
    if let Some((_, bad)) = [cx, cy, w, h].into_iter().enumerate().find(is_bad) {
        return Err(TruthErrorKind::YoloRange(bad));
    }
    Ok(Line { number, class: class as usize, bbox: [cx, cy, w, h] })
}

fn parse(column: &str) -> Result<f64, TruthErrorKind> {
    let number = column.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| TruthErrorKind::YoloNumber(column.into()))
}

fn class_name(class: usize, class_list: Option<&[String]>) -> Result<&str, TruthErrorKind> {
    match class_list {
        Some(names) => {
            let name = names.get(class).map(String::as_str);
            name.ok_or(TruthErrorKind::YoloBeyondList { class, names: names.len() })
        }
        None => COCO_CLASSES.get(class).copied().ok_or(TruthErrorKind::YoloBeyondCoco(class)),
    }
}

/// Reads a list of class names, one a line, in the order of their numbers.
pub fn class_list(text: &str) -> Result<Vec<String>, Flaw> {
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().into()).collect();
    match names.iter().position(String::is_empty) {
        Some(i) => Err(TruthErrorKind::NamelessClass.at(i + 1)),
        None if names.is_empty() => Err(TruthErrorKind::NoClasses.into()),
        None => Ok(names),
    }
}

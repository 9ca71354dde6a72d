//! YOLO's text (<https://docs.ultralytics.com/datasets/detect/>), one file a picture, and lists of class names.

use super::error::{FormatError, FormatErrorKind};

/// Coordinates may be this large: programs round them.
const MAX_PART: f64 = 1.01;

/// An annotation file: an object a line.
#[derive(Clone, Debug)]
pub struct YoloFile {
    /// The objects, in the file's order.
    pub objects: Vec<YoloObject>,
}

/// An annotated object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YoloObject {
    /// Its line, from 1.
    pub line: usize,
    /// Number of its class.
    pub class: usize,
    /// Centre x, centre y, width and height, in parts of the picture's width and height. Sizes may be impossible.
    pub bbox: [f64; 4],
}

impl YoloFile {
    /// Reads the text. A picture without objects has an empty file. Outlines (segmentation, turned boxes) become the boxes
    /// around them.
    ///
    /// # Errors
    /// Fails, telling the line, where it is no such text.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let object = |(i, line)| object(i + 1, line).map_err(|kind| kind.at(i + 1));
        Ok(Self { objects: lines.map(object).collect::<Result<_, _>>()? })
    }

    /// Checks that every box has an inside.
    ///
    /// # Errors
    /// Fails where one has none, telling its line.
    pub fn check_boxes(&self) -> Result<(), FormatError> {
        let flat = |object: &YoloObject| {
            let [.., width, height] = object.bbox;
            let flat = [width, height].into_iter().find(|side| *side <= 0.0)?;
            Some(FormatErrorKind::YoloRange(flat).at(object.line))
        };
        self.objects.iter().find_map(flat).map_or(Ok(()), Err)
    }
}

impl YoloObject {
    /// Left, top, right and bottom, in parts of the picture's width and height.
    pub fn corners(&self) -> [f64; 4] {
        let [cx, cy, w, h] = self.bbox;
        [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
    }

    /// The name of its class.
    ///
    /// # Errors
    /// Fails, telling the line, where the list is not so long.
    pub fn class_name<'a>(&self, names: &'a [String]) -> Result<&'a str, FormatError> {
        let beyond = FormatErrorKind::YoloBeyondList { class: self.class, names: names.len() };
        names.get(self.class).map(String::as_str).ok_or(beyond.at(self.line))
    }
}

fn object(line: usize, text: &str) -> Result<YoloObject, FormatErrorKind> {
    let columns: Vec<&str> = text.split_whitespace().collect();
    let numbers: Vec<f64> = columns.iter().map(|column| parse(column)).collect::<Result<_, _>>()?;
    let (&class, numbers) = numbers.split_first().ok_or(FormatErrorKind::YoloColumns(0))?;
    let is_outline = numbers.len() >= 6 && numbers.len().is_multiple_of(2);
    if numbers.len() == 5 {
        return Err(FormatErrorKind::YoloScore);
    }
    if numbers.len() != 4 && !is_outline {
        return Err(FormatErrorKind::YoloColumns(columns.len()));
    }
    if class < 0.0 || class.fract() != 0.0 {
        return Err(FormatErrorKind::YoloClass(columns[0].into()));
    }
    // Sizes below 0 are a box's fault, not the file's.
    let is_size = |column: usize| !is_outline && column >= 2;
    let is_bad = |&(i, value): &(usize, f64)| value > MAX_PART || value < 0.0 && !is_size(i);
    if let Some((_, bad)) = numbers.iter().copied().enumerate().find(is_bad) {
        return Err(FormatErrorKind::YoloRange(bad));
    }
    let bbox = match *numbers {
        [cx, cy, w, h] => [cx, cy, w, h],
        _ => around(numbers),
    };
    Ok(YoloObject { line, class: class as usize, bbox })
}

/// Centre and size of the box around the points of an outline: x, y, x, y and so on.
fn around(points: &[f64]) -> [f64; 4] {
    let range = |axis: usize| {
        let values = points.iter().skip(axis).step_by(2);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), &value| (value.min(least), value.max(most)))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top]
}

fn parse(column: &str) -> Result<f64, FormatErrorKind> {
    let number = column.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| FormatErrorKind::YoloNumber(column.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voc::{AnnotatedObject, Annotation, Coordinates, VocBox, VocObject};

    /// An object's box in a picture of this size.
    fn voc_box(object: &YoloObject, size: [f64; 2]) -> VocBox {
        let [xmin, ymin, xmax, ymax] = object.corners();
        let bbox = VocBox { xmin, ymin, xmax, ymax };
        let object = VocObject { class: "cat".into(), difficult: false, bbox };
        let object = AnnotatedObject { object, class_line: 1, box_line: 1, coco: None };
        let mut annotation =
            Annotation { objects: vec![object], coordinates: Coordinates::Parts, ..Annotation::default() };
        annotation.in_pixels(size);
        annotation.objects.remove(0).object.bbox
    }

    #[test]
    fn boxes_are_parts_of_the_picture_and_outlines_are_boxed() {
        let text = "1 0.5 0.25 0.5 0.5\n\n0 0.1 0.2 0.3 0.2 0.3 0.6 0.2 0.7\r\n2 0.1 0.1 0.4 0.2 0.2 0.4";
        let objects = YoloFile::parse(text).unwrap().objects;
        let boxes: Vec<_> =
            objects.iter().map(|object| (object.line, object.class, voc_box(object, [200.0, 100.0]))).collect();
        let at = |xmin, ymin, xmax, ymax| VocBox { xmin, ymin, xmax, ymax };
        let expected = [
            (1, 1, at(51.0, 1.0, 151.0, 51.0)),
            (3, 0, at(21.0, 21.0, 61.0, 71.0)),
            (4, 2, at(21.0, 11.0, 81.0, 41.0)),
        ];
        assert_eq!(boxes, expected);
    }

    /// What programs write with all digits gives back the pixels that it was made of.
    #[test]
    fn pixels_survive() {
        for [xmin, ymin, xmax, ymax] in [[1.0, 1.0, 353.0, 500.0], [8.0, 12.0, 347.0, 498.0], [3.25, 7.1, 9.003, 11.7]]
        {
            let bbox = VocBox { xmin, ymin, xmax, ymax };
            let ([x1, y1, x2, y2], [width, height]) = (bbox.corners(), [353.0, 500.0]);
            let parts = [(x1 + x2) / 2.0 / width, (y1 + y2) / 2.0 / height, (x2 - x1) / width, (y2 - y1) / height];
            let text = parts.map(|part| part.to_string()).join(" ");
            let object = YoloFile::parse(&format!("0 {text}")).unwrap().objects[0];
            assert_eq!(voc_box(&object, [width, height]), bbox);
        }
    }

    #[test]
    fn flat_boxes_are_read_but_do_not_pass_the_check() {
        let file = YoloFile::parse("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0 0.1").unwrap();
        assert_eq!(file.check_boxes(), Err(FormatErrorKind::YoloRange(0.0).at(2)));
        let names = ["cat".to_string()];
        assert_eq!(file.objects[0].class_name(&names), Ok("cat"));
        let beyond = YoloFile::parse("3 0.5 0.5 0.1 0.1").unwrap().objects[0].class_name(&names).unwrap_err();
        assert_eq!(beyond, FormatErrorKind::YoloBeyondList { class: 3, names: 1 }.at(1));
    }

    #[test]
    fn a_size_below_zero_is_the_box_s_fault_and_an_outline_outside_is_the_file_s() {
        let file = YoloFile::parse("0 0.5 0.5 0.1 -0.1").unwrap();
        assert_eq!(file.check_boxes(), Err(FormatErrorKind::YoloRange(-0.1).at(1)));
        let outside = |text: &str| YoloFile::parse(text).unwrap_err();
        assert_eq!(outside("0 -0.1 0.5 0.1 0.1"), FormatErrorKind::YoloRange(-0.1).at(1));
        assert_eq!(outside("0 0.1 0.2 0.3 -0.2 0.3 0.6"), FormatErrorKind::YoloRange(-0.2).at(1));
    }
}

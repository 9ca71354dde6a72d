//! Small data sets for tests.

use std::fs;

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::training_set::Source;

/// A folder in Pascal VOC's layout, removed at the end.
pub(crate) struct VocBuilder {
    folder: TempDir,
}

impl VocBuilder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn source(&self, split: &str) -> Source {
        Source { folder: self.folder.path().into(), split: split.into() }
    }

    pub(crate) fn split(&self, split: &str, names: &[&str]) {
        fs::write(self.folder.path().join(format!("ImageSets/Main/{split}.txt")), names.join("\n")).unwrap();
    }

    /// A picture with a gradient in its name's colour, and its annotation: `objects` begin in line 4.
    pub(crate) fn picture(&self, name: &str, width: u32, height: u32, objects: &str) {
        let tint = name.bytes().fold(0, |sum, byte| sum ^ byte.wrapping_mul(29));
        let picture = RgbImage::from_fn(width, height, |x, y| Rgb([(3 * x) as u8, (5 * y) as u8, tint]));
        picture.save(self.folder.path().join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let size = format!("<size><width>{width}</width><height>{height}</height></size>");
        self.annotation(name, &format!("<annotation>\n<folder>test</folder>\n{size}\n{objects}</annotation>"));
    }

    pub(crate) fn annotation(&self, name: &str, xml: &str) {
        fs::write(self.folder.path().join(format!("Annotations/{name}.xml")), xml).unwrap();
    }

    /// Cuts a picture's file in half.
    pub(crate) fn cut(&self, name: &str) {
        let path = self.folder.path().join(format!("JPEGImages/{name}.jpg"));
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
}

/// The tag of an object, two lines long; the box is `[xmin, ymin, xmax, ymax]`.
pub(crate) fn object(class: &str, [xmin, ymin, xmax, ymax]: [f64; 4]) -> String {
    format!(
        "<object><name>{class}</name>\n<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>\
         <ymax>{ymax}</ymax></bndbox></object>\n"
    )
}

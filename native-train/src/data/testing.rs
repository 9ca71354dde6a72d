//! Small data sets for tests.

use std::fs;

use image::{ImageFormat, Rgb, RgbImage};
use shared_model::BBox;
use tempfile::TempDir;

use super::{Difficult, Source, TrainingSet};

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

    pub(crate) fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn source(&self, split: &str) -> Source {
        Source { folder: self.folder.path().into(), split: split.into() }
    }

    pub(crate) fn split(&self, split: &str, names: &[&str]) {
        fs::write(self.folder.path().join(format!("ImageSets/Main/{split}.txt")), names.join("\n")).unwrap();
    }

    /// An image with a gradient in its name's colour, and its annotation: `objects` begin in line 4.
    pub(crate) fn image(&self, name: &str, width: u32, height: u32, objects: &str) {
        let tint = name.bytes().fold(0, |sum, byte| sum ^ byte.wrapping_mul(29));
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([(3 * x) as u8, (5 * y) as u8, tint]));
        self.pixels(name, &image, objects);
    }

    /// An image with these pixels, kept without loss: it is a PNG file, whatever its name.
    pub(crate) fn pixels(&self, name: &str, image: &RgbImage, objects: &str) {
        let path = self.folder.path().join(format!("JPEGImages/{name}.jpg"));
        image.save_with_format(path, ImageFormat::Png).unwrap();
        let (width, height) = image.dimensions();
        let size = format!("<size><width>{width}</width><height>{height}</height></size>");
        self.annotation(name, &format!("<annotation>\n<folder>test</folder>\n{size}\n{objects}</annotation>"));
    }

    pub(crate) fn annotation(&self, name: &str, xml: &str) {
        fs::write(self.folder.path().join(format!("Annotations/{name}.xml")), xml).unwrap();
    }

    /// Copies image and annotation under another name.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        for (part, extension) in [("JPEGImages", "jpg"), ("Annotations", "xml")] {
            let path = |name| self.folder.path().join(format!("{part}/{name}.{extension}"));
            fs::copy(path(from), path(to)).unwrap();
        }
    }

    /// The folder as a tar archive, in which it is at each of `prefixes`.
    pub(crate) fn archive(&self, prefixes: &[&str]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for prefix in prefixes {
            archive.append_dir_all(prefix, self.folder.path()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// Cuts an image's file in half.
    pub(crate) fn cut(&self, name: &str) {
        let path = self.folder.path().join(format!("JPEGImages/{name}.jpg"));
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
}

/// A set of six images of different sizes. Each is black with a rectangle in its class's colour: red, green or both
/// ..., by the bits of class number + 1.
pub(crate) fn rectangles() -> (VocBuilder, TrainingSet) {
    let voc = VocBuilder::new();
    let mut names = Vec::new();
    for class in 0..6u8 {
        let (width, height) = (90 + 17 * u32::from(class), 150 - 13 * u32::from(class));
        let (left, top) = (20 + 3 * u32::from(class), 31);
        let (right, bottom) = (left + 40, top + 34);
        let colour = Rgb([0, 1, 2].map(|bit| ((class + 1) >> bit & 1) * 220));
        let inside = |x, y| (left..right).contains(&x) && (top..bottom).contains(&y);
        let image = RgbImage::from_fn(width, height, |x, y| if inside(x, y) { colour } else { Rgb([0; 3]) });
        let corners = [left, top, right, bottom].map(|edge| f64::from(edge) + 1.0);
        names.push(format!("colour{class}"));
        voc.pixels(&names[usize::from(class)], &image, &object(&names[usize::from(class)], corners));
    }
    voc.split("train", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let set = TrainingSet::open(&[voc.source("train")], None, Difficult::Learn).unwrap();
    (voc, set)
}

/// The box around the pixels of a class's colour (see [`rectangles`]) in planes of `size` x `size` pixels.
pub(crate) fn coloured(planes: &[u8], size: usize, class: usize) -> Option<BBox> {
    let mut bounds: Option<BBox> = None;
    for i in 0..size * size {
        // Blue comes first; half of the colour is the rectangle's edge.
        let bits = [2, 1, 0].map(|plane| planes[plane * size * size + i] > 110);
        if (0..3).any(|bit| bits[bit] != ((class + 1) >> bit & 1 == 1)) {
            continue;
        }
        let (x, y) = ((i % size) as f32, (i / size) as f32);
        let b = bounds.get_or_insert(BBox { x1: x, y1: y, x2: x, y2: y });
        *b = BBox { x1: b.x1.min(x), y1: b.y1.min(y), x2: b.x2.max(x + 1.0), y2: b.y2.max(y + 1.0) };
    }
    bounds
}

/// The tag of an object, two lines long; the box is `[xmin, ymin, xmax, ymax]`.
pub(crate) fn object(class: &str, [xmin, ymin, xmax, ymax]: [f64; 4]) -> String {
    format!(
        "<object><name>{class}</name>\n<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>\
         <ymax>{ymax}</ymax></bndbox></object>\n"
    )
}

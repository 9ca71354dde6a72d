//! Folders in the layout of Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>).

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use shared_model::BBox;

use super::annotation::{AnnotatedObject, Annotation};

/// The names of Pascal VOC's 20 classes, in their usual order: that of the alphabet.
#[rustfmt::skip]
pub const CLASSES: [&str; 20] = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
];

/// A box in VOC's convention: in pixels, the first of which is 1; the last pixel belongs to the box. Coordinates may be
/// fractional, as those of scaled pictures are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocBox {
    /// Left.
    pub xmin: f64,
    /// Top.
    pub ymin: f64,
    /// Right.
    pub xmax: f64,
    /// Bottom.
    pub ymax: f64,
}

impl VocBox {
    /// Intersection over union; a box is `xmax - xmin + 1` pixels wide.
    pub fn iou(&self, other: &Self) -> f64 {
        let width = self.xmax.min(other.xmax) - self.xmin.max(other.xmin) + 1.0;
        let height = self.ymax.min(other.ymax) - self.ymin.max(other.ymin) + 1.0;
        let both = width.max(0.0) * height.max(0.0);
        both / (self.area() + other.area() - both)
    }

    /// Whether a coordinate is no finite number, or the last pixel lies before the first.
    pub fn is_impossible(&self) -> bool {
        let finite = [self.xmin, self.ymin, self.xmax, self.ymax].iter().all(|value| value.is_finite());
        !finite || self.xmax < self.xmin || self.ymax < self.ymin
    }

    fn area(&self) -> f64 {
        (self.xmax - self.xmin + 1.0) * (self.ymax - self.ymin + 1.0)
    }
}

impl From<BBox> for VocBox {
    /// As the official YOLOX evaluator does (`yolox/data/datasets/voc.py`): every coordinate plus 1.
    fn from(b: BBox) -> Self {
        let [xmin, ymin, xmax, ymax] = [b.x1, b.y1, b.x2, b.y2].map(|value| f64::from(value) + 1.0);
        Self { xmin, ymin, xmax, ymax }
    }
}

impl From<VocBox> for BBox {
    /// The inverse, as YOLOX reads its training data: every coordinate minus 1.
    fn from(b: VocBox) -> Self {
        let [x1, y1, x2, y2] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|value| (value - 1.0) as f32);
        Self { x1, y1, x2, y2 }
    }
}

impl fmt::Display for VocBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { xmin, ymin, xmax, ymax } = self;
        write!(f, "xmin {xmin}, ymin {ymin}, xmax {xmax}, ymax {ymax}")
    }
}

/// An annotated object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Name of its class.
    pub class: String,
    /// Whether it is marked as hard to recognise: such objects are not scored.
    pub difficult: bool,
    /// Where it is.
    pub bbox: VocBox,
}

/// A folder in VOC's layout.
#[derive(Clone, Debug)]
pub struct VocFolder {
    root: PathBuf,
}

impl VocFolder {
    /// The data set in the folder `root`.
    ///
    /// # Errors
    /// Fails where one of the three folders is missing.
    pub fn open(root: &Path) -> Result<Self> {
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            ensure!(
                root.join(part).is_dir(),
                "{} is no Pascal VOC folder: it has no {part}; name the folder that holds JPEGImages, Annotations and \
                 ImageSets (such as VOCdevkit/VOC2007)",
                root.display()
            );
        }
        Ok(Self { root: root.into() })
    }

    /// The names of a split's pictures, in the order of its list.
    ///
    /// # Errors
    /// Fails where there is no such split (naming those that there are), or it is empty.
    pub fn split(&self, split: &str) -> Result<Vec<String>> {
        Ok(self.split_lines(split)?.into_iter().map(|(_, name)| name).collect())
    }

    /// The names of a split's pictures, each with its line in the list, from 1.
    ///
    /// # Errors
    /// As for [`VocFolder::split`].
    pub fn split_lines(&self, split: &str) -> Result<Vec<(usize, String)>> {
        let path = self.split_path(split);
        if !path.is_file() {
            let folder = self.root.join("ImageSets/Main");
            let splits = splits(&folder).unwrap_or_default().join(", ");
            bail!("there is no split \"{split}\" in {}: the splits are {splits}", folder.display());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // The lists of single classes have a second column.
        let name = |(i, line): (usize, &str)| Some((i + 1, line.split_whitespace().next()?.to_string()));
        let names: Vec<_> = text.lines().enumerate().filter_map(name).collect();
        ensure!(!names.is_empty(), "the split {} is empty: list the pictures' names in it, one a line", path.display());
        Ok(names)
    }

    /// Where a split's list is.
    pub fn split_path(&self, split: &str) -> PathBuf {
        self.root.join("ImageSets/Main").join(format!("{split}.txt"))
    }

    /// Where a picture is.
    pub fn picture(&self, name: &str) -> PathBuf {
        self.root.join("JPEGImages").join(format!("{name}.jpg"))
    }

    /// Where a picture's annotation is.
    pub fn annotation_path(&self, name: &str) -> PathBuf {
        self.root.join("Annotations").join(format!("{name}.xml"))
    }

    /// The objects in a picture.
    ///
    /// # Errors
    /// Fails, naming the file, where it is missing or is no VOC annotation, or a box is impossible.
    pub fn objects(&self, name: &str) -> Result<Vec<Object>> {
        let path = self.annotation_path(name);
        let read = || objects(&std::fs::read_to_string(&path)?);
        read().with_context(|| format!("the annotation {} cannot be read", path.display()))
    }
}

fn objects(xml: &str) -> Result<Vec<Object>> {
    let check = |annotated: AnnotatedObject| -> Result<Object> {
        let AnnotatedObject { object, box_line, .. } = annotated;
        let Object { class, bbox, .. } = &object;
        ensure!(!bbox.is_impossible(), "line {box_line}: a \"{class}\" has an impossible box: {bbox}");
        Ok(object)
    };
    Annotation::parse(xml)?.objects.into_iter().map(check).collect()
}

/// The splits of whole data sets, without those of single classes (`dog_train.txt`).
fn splits(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(stem), Some("txt")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
            && !stem.contains('_')
        {
            names.push(stem.into());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_boxes_are_refused_with_their_line() {
        let xml = |xmax: &str| {
            format!(
                "<annotation><object><name>dog</name>\n<bndbox><xmin>5</xmin><ymin>1</ymin><xmax>{xmax}</xmax>
                 <ymax>9</ymax></bndbox></object></annotation>"
            )
        };
        assert_eq!(objects(&xml("5")).unwrap()[0].bbox.xmax, 5.0, "a pixel wide");
        for xmax in ["4.9", "NaN", "inf"] {
            let error = objects(&xml(xmax)).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains("impossible"), "{xmax}: {error}");
        }
        assert!(objects("<html/>").is_err());
    }

    #[test]
    fn overlap_counts_the_last_pixel() {
        let a = VocBox { xmin: 1.0, ymin: 1.0, xmax: 2.0, ymax: 2.0 };
        let b = VocBox { xmin: 2.0, ymin: 1.0, xmax: 3.0, ymax: 2.0 };
        assert_eq!(a.iou(&b), 2.0 / 6.0);
        let apart = VocBox { xmin: 4.0, ..b };
        assert_eq!(a.iou(&VocBox { xmax: 5.0, ..apart }), 0.0);
    }
}

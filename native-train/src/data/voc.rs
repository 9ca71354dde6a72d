//! Folders in the layout of Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use shared_model::BBox;

/// A box in VOC's convention: in pixels, the first of which is 1; the last pixel belongs to the box. Coordinates may be
/// fractional, as those of scaled pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
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
        let folder = self.root.join("ImageSets/Main");
        let path = folder.join(format!("{split}.txt"));
        if !path.is_file() {
            let splits = splits(&folder).unwrap_or_default().join(", ");
            bail!("there is no split \"{split}\" in {}: the splits are {splits}", folder.display());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // The lists of single classes have a second column.
        let names: Vec<String> =
            text.lines().filter_map(|line| line.split_whitespace().next()).map(String::from).collect();
        ensure!(!names.is_empty(), "the split {} is empty", path.display());
        Ok(names)
    }

    /// Where a picture is.
    pub fn picture(&self, name: &str) -> PathBuf {
        self.root.join("JPEGImages").join(format!("{name}.jpg"))
    }

    /// The objects in a picture.
    ///
    /// # Errors
    /// Fails, naming the file, where it is missing or is no VOC annotation.
    pub fn objects(&self, name: &str) -> Result<Vec<Object>> {
        let path = self.root.join("Annotations").join(format!("{name}.xml"));
        let read = || parse(&std::fs::read_to_string(&path)?);
        read().with_context(|| format!("the annotation {} cannot be read", path.display()))
    }
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

/// An enum, because that makes the parser check the name of the outermost tag.
#[derive(Deserialize)]
enum Root {
    #[serde(rename = "annotation")]
    Annotation(Annotation),
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    object: Vec<ObjectTag>,
}

#[derive(Deserialize)]
struct ObjectTag {
    name: String,
    #[serde(default)]
    difficult: u8,
    bndbox: VocBox,
}

fn parse(xml: &str) -> Result<Vec<Object>> {
    let Root::Annotation(annotation) = quick_xml::de::from_str(xml)?;
    let mut objects = Vec::new();
    for ObjectTag { name, difficult, bndbox: bbox } in annotation.object {
        let class = name.trim().to_string();
        ensure!(!class.is_empty(), "an object has no class name");
        let VocBox { xmin, ymin, xmax, ymax } = bbox;
        let finite = [xmin, ymin, xmax, ymax].iter().all(|value| value.is_finite());
        ensure!(
            finite && xmax >= xmin && ymax >= ymin,
            "a \"{class}\" has an impossible box: xmin {xmin}, ymin {ymin}, xmax {xmax}, ymax {ymax}"
        );
        objects.push(Object { class, difficult: difficult != 0, bbox });
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOG: &str = "<annotation><size><width>9</width></size><object><name> dog </name><pose>Left</pose>
        <difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
        <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></part></object>";

    #[test]
    fn reads_objects_and_ignores_their_parts() {
        let objects = parse(&format!(
            "{DOG}<segmented>0</segmented><object><bndbox><xmax>9</xmax><xmin>8</xmin><ymin>7</ymin><ymax>7</ymax>
             </bndbox><name>cat</name></object></annotation>"
        ))
        .unwrap();
        let bbox = VocBox { xmin: 1.0, ymin: 2.5, xmax: 3.0, ymax: 4.0 };
        assert_eq!(objects[0], Object { class: "dog".into(), difficult: true, bbox });
        assert_eq!((objects[1].class.as_str(), objects[1].difficult, objects[1].bbox.xmax), ("cat", false, 9.0));
        assert_eq!(objects.len(), 2);
    }

    #[test]
    fn a_picture_without_objects_is_fine() {
        assert_eq!(parse("<annotation><folder>x</folder></annotation>").unwrap(), []);
    }

    #[test]
    fn refuses_damaged_annotations() {
        for (what, xml) in [
            ("cut short", DOG.to_string()),
            ("empty", String::new()),
            ("without a box", "<annotation><object><name>dog</name></object></annotation>".into()),
            ("inside out", format!("{}</annotation>", DOG.replace("<xmax>3</xmax>", "<xmax>0</xmax>"))),
            ("no number", format!("{}</annotation>", DOG.replace("<xmax>3</xmax>", "<xmax>x</xmax>"))),
            ("not finite", format!("{}</annotation>", DOG.replace("<xmax>3</xmax>", "<xmax>NaN</xmax>"))),
            ("other file", "<html><body>404</body></html>".into()),
        ] {
            // A file of another kind has no objects either, so that its root must be checked.
            assert!(parse(&xml).is_err(), "{what}: {:?}", parse(&xml));
        }
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

//! COCO's JSON (<https://cocodataset.org/#format-data>), one file for many pictures.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::error::{CocoIdError, FormatError, FormatErrorKind};
use crate::voc::VocBox;

/// An instances file.
#[derive(Clone, Debug)]
pub struct CocoFile {
    /// The pictures, in the file's order.
    pub images: Vec<CocoImage>,
    /// The classes, in the file's order.
    pub categories: Vec<CocoCategory>,
    /// By the picture's id, in the file's order.
    annotations: HashMap<i64, Vec<CocoAnnotation>>,
}

#[derive(Deserialize)]
struct CocoJson {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

/// A picture.
#[derive(Clone, Debug, Deserialize)]
pub struct CocoImage {
    /// What annotations call it.
    pub id: i64,
    /// Its file, which may have folders in front of it.
    pub file_name: String,
    /// In pixels, where the file tells.
    pub width: Option<f64>,
    /// In pixels, where the file tells.
    pub height: Option<f64>,
}

/// An annotated object.
#[derive(Clone, Debug, Deserialize)]
pub struct CocoAnnotation {
    /// Its number in the file.
    pub id: i64,
    /// Its picture's id.
    pub image_id: i64,
    /// Its class's id.
    pub category_id: i64,
    /// Left, top, width, height, in pixels, the first of which begins at 0. They may be impossible.
    pub bbox: [f64; 4],
    /// In square pixels: of the outline, where there is one.
    pub area: Option<f64>,
    /// Other than 0 where it is a crowd rather than one object.
    #[serde(default)]
    pub iscrowd: u8,
}

/// A class.
#[derive(Clone, Debug, Deserialize)]
pub struct CocoCategory {
    /// What annotations call it; ids may have gaps.
    pub id: i64,
    /// As annotations name it, unlike a model's class perhaps.
    pub name: String,
    /// What it is a kind of, where the file tells.
    pub supercategory: Option<String>,
}

impl CocoFile {
    /// Reads the JSON. Boxes and ids are not looked at: see [`CocoFile::category`] and [`CocoFile::check_ids`].
    ///
    /// # Errors
    /// Fails where it is none, or not of this kind, telling the line.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.trim_start().starts_with('[') {
            return Err(FormatErrorKind::CocoResults.into());
        }
        let CocoJson { images, annotations, categories } = serde_json::from_str(text).map_err(in_json)?;
        let mut of_image: HashMap<_, Vec<_>> = HashMap::new();
        for annotation in annotations {
            of_image.entry(annotation.image_id).or_default().push(annotation);
        }
        Ok(Self { images, categories, annotations: of_image })
    }

    /// The objects in the picture with this id, in the file's order.
    pub fn annotations_of(&self, image: i64) -> &[CocoAnnotation] {
        self.annotations.get(&image).map_or(&[], Vec::as_slice)
    }

    /// The class of an object.
    ///
    /// # Errors
    /// Fails where the file has no such category.
    pub fn category(&self, annotation: &CocoAnnotation) -> Result<&CocoCategory, FormatErrorKind> {
        let &CocoAnnotation { id, category_id: category, .. } = annotation;
        let found = self.categories.iter().find(|known| known.id == category);
        found.ok_or(FormatErrorKind::CocoCategory { annotation: id, category })
    }

    /// The classes that a network should know: all but the one that Roboflow puts in front of its exports, which stands for
    /// the whole data set (id 0, of no supercategory, itself that of all others, and without an object).
    pub fn classes(&self) -> impl Iterator<Item = &CocoCategory> {
        let used: HashSet<i64> = self.annotations.values().flatten().map(|annotation| annotation.category_id).collect();
        let is_title = move |category: &CocoCategory| {
            let others = || self.categories.iter().filter(|other| other.id != category.id);
            category.id == 0
                && !used.contains(&0)
                && category.supercategory.as_deref().is_some_and(|above| above == "none")
                && others().next().is_some()
                && others().all(|other| other.supercategory.as_ref() == Some(&category.name))
        };
        self.categories.iter().filter(move |category| !is_title(category))
    }

    /// Checks that every annotation is of one of the file's pictures.
    ///
    /// # Errors
    /// Fails where two pictures have one id, or an annotation is of a picture that is not there: the first such
    /// annotation by its id.
    pub fn check_ids(&self) -> Result<(), CocoIdError> {
        let mut ids = HashSet::new();
        if let Some(image) = self.images.iter().find(|image| !ids.insert(image.id)) {
            return Err(CocoIdError::Twice(image.id));
        }
        let orphans = self.annotations.iter().filter(|(image, _)| !ids.contains(image)).flat_map(|(_, of)| of);
        match orphans.min_by_key(|annotation| annotation.id) {
            Some(&CocoAnnotation { id, image_id, .. }) => Err(CocoIdError::NoImage { annotation: id, image: image_id }),
            None => Ok(()),
        }
    }
}

impl CocoAnnotation {
    /// Its box. It may be impossible.
    pub fn voc_box(&self) -> VocBox {
        let [x, y, width, height] = self.bbox;
        VocBox::from_corners([x, y, x + width, y + height])
    }

    /// Checks that its box has an inside.
    ///
    /// # Errors
    /// Fails where it has none.
    pub fn check_box(&self) -> Result<(), FormatErrorKind> {
        let &Self { id: annotation, bbox: [.., width, height], .. } = self;
        match width > 0.0 && height > 0.0 {
            true => Ok(()),
            false => Err(FormatErrorKind::CocoBox { annotation, width, height }),
        }
    }
}

fn in_json(error: serde_json::Error) -> FormatError {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    FormatErrorKind::Coco(message.into()).at(error.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"images": [{"id": 7, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 3, "bbox": [0.25, 1, 2, 3]}],
        "categories": [{"id": 0, "name": "pets", "supercategory": "none"},
                       {"id": 3, "name": "cat", "supercategory": "pets"}]}"#;

    #[test]
    fn boxes_begin_at_0_and_ids_may_have_gaps() {
        let file = CocoFile::parse(TWO).unwrap();
        assert_eq!(file.check_ids(), Ok(()));
        assert!(file.annotations_of(7).is_empty() && file.annotations_of(99).is_empty());
        let [cat] = file.annotations_of(2) else { panic!("{file:?}") };
        assert_eq!(cat.voc_box(), VocBox { xmin: 1.25, ymin: 2.0, xmax: 3.25, ymax: 5.0 });
        assert_eq!(file.category(cat).unwrap().name, "cat");
    }

    #[test]
    fn the_name_of_the_set_is_no_class() {
        let names = |text: &str| -> Vec<String> {
            CocoFile::parse(text).unwrap().classes().map(|class| class.name.clone()).collect()
        };
        assert_eq!(names(TWO), ["cat"]);
        assert_eq!(
            names(&TWO.replace("\"category_id\": 3", "\"category_id\": 0")),
            ["pets", "cat"],
            "it has an object"
        );
        assert_eq!(names(&TWO.replace("\"none\"", "\"animal\"")), ["pets", "cat"]);
        assert_eq!(names(&TWO.replace("\"supercategory\": \"pets\"", "\"x\": 1")), ["pets", "cat"]);
    }

    #[test]
    fn ids_that_lead_nowhere_are_told() {
        let error = |from: &str, to: &str| CocoFile::parse(&TWO.replace(from, to)).unwrap().check_ids().unwrap_err();
        assert_eq!(error("\"id\": 7", "\"id\": 2"), CocoIdError::Twice(2));
        let orphan = CocoIdError::NoImage { annotation: 1, image: 5 };
        assert_eq!(error("\"image_id\": 2", "\"image_id\": 5"), orphan);
    }
}

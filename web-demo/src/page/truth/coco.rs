//! COCO's JSON (<https://cocodataset.org/#format-data>), one file for many pictures.

use std::collections::HashMap;

use serde::Deserialize;
use shared_model::BBox;

use super::error::{Flaw, TruthErrorKind};
use super::names::base_name;
use super::{Truth, TruthObject, scale};

/// An instances file.
#[derive(Clone, Debug)]
pub struct CocoFile {
    images: Vec<Image>,
    /// Positions in `images`, by base name in lower case.
    by_name: HashMap<String, Vec<usize>>,
    /// By the image's id.
    annotations: HashMap<i64, Vec<Annotation>>,
    /// By id.
    categories: HashMap<i64, String>,
}

#[derive(Deserialize)]
struct Json {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Clone, Debug, Deserialize)]
struct Image {
    id: i64,
    file_name: String,
    width: Option<f64>,
    height: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Annotation {
    id: i64,
    image_id: i64,
    category_id: i64,
    /// Left, top, width, height.
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

impl CocoFile {
    /// Reads the JSON.
    pub fn read(text: &str) -> Result<Self, Flaw> {
        if text.trim_start().starts_with('[') {
            return Err(TruthErrorKind::CocoResults.into());
        }
        let Json { images, annotations, categories } = serde_json::from_str(text)?;
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (i, image) in images.iter().enumerate() {
            by_name.entry(key(&image.file_name)).or_default().push(i);
        }
        let mut of_image: HashMap<_, Vec<_>> = HashMap::new();
        for annotation in annotations {
            of_image.entry(annotation.image_id).or_default().push(annotation);
        }
        let categories = categories.into_iter().map(|category| (category.id, category.name)).collect();
        Ok(Self { images, by_name, annotations: of_image, categories })
    }

    /// The objects in a picture of `size`, width and height in pixels: the one that is called so, or, without a name,
    /// the only one. `None` where there is none.
    pub fn truth(&self, name: Option<&str>, size: [u32; 2]) -> Option<Result<Truth, Flaw>> {
        let image = match name {
            None => (self.images.len() == 1).then(|| Ok(&self.images[0])),
            Some(name) => self.named(name),
        };
        image.map(|image| self.truth_of(image?, size))
    }

    fn named(&self, name: &str) -> Option<Result<&Image, Flaw>> {
        let images = || self.by_name.get(&key(name)).into_iter().flatten().map(|&i| &self.images[i]);
        let count = images().count();
        // Several folders may have pictures of the same name.
        let exact = images().find(|image| image.file_name == name);
        match exact.or_else(|| images().next().filter(|_| count == 1)) {
            Some(image) => Some(Ok(image)),
            None if count == 0 => None,
            None => Some(Err(TruthErrorKind::CocoAmbiguous { name: base_name(name).into(), count }.into())),
        }
    }

    fn truth_of(&self, image: &Image, size: [u32; 2]) -> Result<Truth, Flaw> {
        let (scale, note) = scale(size, image.width.zip(image.height).map(<[f64; 2]>::from))?;
        let object = |annotation: &Annotation| {
            let &Annotation { id, category_id, bbox: [x, y, width, height], iscrowd, .. } = annotation;
            let class = self.categories.get(&category_id);
            let class = class.ok_or(TruthErrorKind::CocoCategory { annotation: id, category: category_id })?;
            if width <= 0.0 || height <= 0.0 {
                return Err(TruthErrorKind::CocoBox { annotation: id, width, height }.into());
            }
            let [x1, y1, x2, y2] = [x, y, x + width, y + height].map(|value| value as f32);
            Ok(TruthObject::scaled(class, iscrowd != 0, BBox { x1, y1, x2, y2 }, scale))
        };
        let objects = self.annotations.get(&image.id).into_iter().flatten().map(object).collect::<Result<_, Flaw>>()?;
        let classes = self.categories.values().cloned().collect();
        Ok(Truth { objects, classes: Some(classes), note })
    }
}

fn key(name: &str) -> String {
    base_name(name).to_ascii_lowercase()
}

impl From<serde_json::Error> for Flaw {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        TruthErrorKind::Coco(message.into()).at(error.line())
    }
}

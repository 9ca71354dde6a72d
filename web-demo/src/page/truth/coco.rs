//! COCO's JSON: which picture of a file is meant, and what is in it.

use std::collections::HashMap;

use shared_model::BBox;
use shared_model::annotations::{CocoAnnotation, CocoFile, CocoImage};

use super::error::{Flaw, TruthErrorKind};
use super::names::base_name;
use super::{GroundTruth, TruthObject, scale};

/// An instances file, and its pictures by name.
#[derive(Clone, Debug)]
pub struct Coco {
    file: CocoFile,
    /// Positions among the pictures, by base name in lower case.
    by_name: HashMap<String, Vec<usize>>,
}

impl Coco {
    /// Reads the JSON.
    pub fn read(text: &str) -> Result<Self, Flaw> {
        let file = CocoFile::parse(text)?;
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (i, image) in file.images.iter().enumerate() {
            by_name.entry(key(&image.file_name)).or_default().push(i);
        }
        Ok(Self { file, by_name })
    }

    /// The objects in a picture of `size`, width and height in pixels: the one that is called so, or, without a name,
    /// the only one. `None` where there is none.
    pub fn truth(&self, name: Option<&str>, size: [u32; 2]) -> Option<Result<GroundTruth, Flaw>> {
        let image = match name {
            None => (self.file.images.len() == 1).then(|| Ok(&self.file.images[0])),
            Some(name) => self.named(name),
        };
        image.map(|image| self.truth_of(image?, size))
    }

    fn named(&self, name: &str) -> Option<Result<&CocoImage, Flaw>> {
        let images = || self.by_name.get(&key(name)).into_iter().flatten().map(|&i| &self.file.images[i]);
        let count = images().count();
        // Several folders may have pictures of the same name.
        let exact = images().find(|image| image.file_name == name);
        match exact.or_else(|| images().next().filter(|_| count == 1)) {
            Some(image) => Some(Ok(image)),
            None if count == 0 => None,
            None => Some(Err(TruthErrorKind::CocoAmbiguous { name: base_name(name).into(), count }.into())),
        }
    }

    fn truth_of(&self, image: &CocoImage, size: [u32; 2]) -> Result<GroundTruth, Flaw> {
        let (scale, note) = scale(size, image.width.zip(image.height).map(<[f64; 2]>::from))?;
        let object = |annotation: &CocoAnnotation| {
            let class = &self.file.category(annotation)?.name;
            annotation.check_box()?;
            let [x, y, width, height] = annotation.bbox;
            let [x1, y1, x2, y2] = [x, y, x + width, y + height].map(|value| value as f32);
            Ok(TruthObject::scaled(class, annotation.iscrowd != 0, BBox { x1, y1, x2, y2 }, scale))
        };
        let objects = self.file.annotations_of(image.id).iter().map(object).collect::<Result<_, Flaw>>()?;
        let classes = self.file.categories.iter().map(|category| category.name.clone()).collect();
        Ok(GroundTruth { objects, classes: Some(classes), note })
    }
}

fn key(name: &str) -> String {
    base_name(name).to_ascii_lowercase()
}

//! Pascal VOC's XML, one file a picture.

use shared_model::VOC_CLASSES;
use shared_model::voc::{Annotation, AnnotationError, VocObject};

use super::error::{Flaw, TruthErrorKind};
use super::{GroundTruth, TruthObject, scale};

/// An annotation file.
#[derive(Clone, Debug)]
pub struct VocFile {
    /// Name of the picture's file, where it says.
    pub picture: Option<String>,
    size: Option<[f64; 2]>,
    objects: Vec<VocObject>,
}

impl VocFile {
    /// Reads the XML.
    pub fn read(text: &str) -> Result<Self, Flaw> {
        let annotation = Annotation::parse(text)?;
        let size = annotation.size.map(|size| [size.width, size.height]);
        Ok(Self { picture: annotation.filename.clone(), size, objects: annotation.into_objects()? })
    }

    /// The objects in a picture of `size`, width and height in pixels.
    pub fn truth(&self, size: [u32; 2]) -> Result<GroundTruth, Flaw> {
        let (scale, note) = scale(size, self.size)?;
        let object = |VocObject { class, difficult, bbox }: &VocObject| {
            TruthObject::scaled(class, *difficult, (*bbox).into(), scale)
        };
        // A file with none but VOC's classes is from one who looked for those; of others it says nothing.
        let is_voc = self.objects.iter().all(|object| VOC_CLASSES.contains(&object.class.as_str()));
        let classes = is_voc.then(|| VOC_CLASSES.map(String::from).to_vec());
        Ok(GroundTruth { objects: self.objects.iter().map(object).collect(), classes, note })
    }
}

impl From<AnnotationError> for Flaw {
    fn from(AnnotationError { line, kind }: AnnotationError) -> Self {
        TruthErrorKind::Voc(kind).at(line)
    }
}

//! What really is in a picture, as annotation files say, and how detections compare with it.

mod coco;
mod error;
mod evaluate;
mod names;
mod voc;
mod yolo;

use error::Flaw;
use shared_model::BBox;
use shared_model::annotations::{YoloFile, class_list};
use shared_model::voc::VocObject;

pub use error::{TruthError, TruthErrorKind};
pub use evaluate::{DetectionOutcome, Evaluation, ObjectOutcome, evaluate};

/// An annotated object.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthObject {
    /// Name of its class, as the file has it.
    pub class: String,
    /// Where it is, in pixels of the picture, the first of which begins at 0.
    pub bbox: BBox,
    /// Whether it is marked as hard to recognise, or as a crowd: such objects are not evaluated.
    pub difficult: bool,
}

/// What an annotation file says about a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundTruth {
    /// The objects, in the file's order.
    pub objects: Vec<TruthObject>,
    /// The classes that its author looked for, where that is known: boxes of others are neither right nor wrong.
    pub classes: Option<Vec<String>>,
    /// What had to be assumed, if anything.
    pub note: Option<TruthNote>,
}

impl GroundTruth {
    /// The objects as the official score takes them.
    pub fn voc_objects(&self) -> Vec<VocObject> {
        let object = |object: &TruthObject| VocObject {
            class: object.class.clone(),
            difficult: object.difficult,
            bbox: object.bbox.into(),
        };
        self.objects.iter().map(object).collect()
    }
}

/// An assumption about an annotation file that its reader should know of.
#[derive(Clone, Debug, PartialEq)]
pub enum TruthNote {
    /// The file has numbers for classes and came without a list of names: they are taken for COCO's.
    CocoNames,
    /// The file is of a picture with this width and height: boxes were scaled to the picture at hand.
    Scaled([f64; 2]),
}

/// An annotation file that was read.
#[derive(Clone, Debug)]
pub struct TruthFile {
    name: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Voc(voc::VocFile),
    Coco(coco::Coco),
    Yolo(YoloFile),
    ClassList(Vec<String>),
}

impl TruthFile {
    /// Reads the text of a file: Pascal VOC's XML, COCO's JSON (instances), YOLO's text, or a list of class names, one
    /// a line, which is called `classes.txt` or `*.names`.
    ///
    /// # Errors
    /// Fails where it is none of these, or is damaged.
    pub fn read(name: &str, text: &str) -> Result<Self, TruthError> {
        let text = text.trim_start_matches('\u{feff}');
        let (extension, first) = (names::extension(name), text.trim_start().chars().next());
        let content = match (extension.as_str(), first) {
            _ if names::is_class_list(name) => class_list(text).map(Content::ClassList).map_err(Flaw::from),
            ("xml", _) | (_, Some('<')) => voc::VocFile::read(text).map(Content::Voc),
            ("json", _) | (_, Some('{' | '[')) => coco::Coco::read(text).map(Content::Coco),
            ("txt", _) => yolo::read(text).map(Content::Yolo),
            _ => Err(TruthErrorKind::UnknownFormat.into()),
        };
        content.map(|content| Self { name: name.into(), content }).map_err(|flaw| flaw.in_file(name))
    }

    /// The names, where the file is a list of classes.
    pub fn class_list(&self) -> Option<&[String]> {
        match &self.content {
            Content::ClassList(names) => Some(names),
            _ => None,
        }
    }

    /// What is in the picture `picture_name` of `width` x `height` pixels; `None` where the file is about other
    /// pictures.
    ///
    /// XML and YOLO files belong to pictures that are called like them, up to the extension, XML files also to the one
    /// that they name. `class_list` gives the names of YOLO's numbers.
    ///
    /// # Errors
    /// Fails where what the file says does not fit the picture or the list, or says nothing sensible about the picture.
    pub fn objects_for(
        &self,
        picture_name: &str,
        width: u32,
        height: u32,
        class_list: Option<&[String]>,
    ) -> Option<Result<GroundTruth, TruthError>> {
        self.objects(Some(picture_name), [width, height], class_list)
    }

    /// As [`TruthFile::objects_for`], whatever the picture is called: for one picture and one file that were given
    /// together. `None` where the file is not about exactly one picture.
    ///
    /// # Errors
    /// As for [`TruthFile::objects_for`].
    pub fn only_objects(
        &self,
        width: u32,
        height: u32,
        class_list: Option<&[String]>,
    ) -> Option<Result<GroundTruth, TruthError>> {
        self.objects(None, [width, height], class_list)
    }

    fn objects(
        &self,
        picture_name: Option<&str>,
        size: [u32; 2],
        class_list: Option<&[String]>,
    ) -> Option<Result<GroundTruth, TruthError>> {
        let is_wanted = |name: &str| picture_name.is_none_or(|wanted| names::is_same_stem(name, wanted));
        let truth = match &self.content {
            Content::Voc(file) => {
                let is_about = is_wanted(&self.name) || file.picture.as_deref().is_some_and(is_wanted);
                is_about.then(|| file.truth(size))
            }
            Content::Coco(file) => file.truth(picture_name, size),
            Content::Yolo(file) => is_wanted(&self.name).then(|| yolo::truth(file, size, class_list)),
            Content::ClassList(_) => None,
        };
        truth.map(|truth| truth.map_err(|flaw| flaw.in_file(&self.name)))
    }
}

/// How many pixels of a picture of `size` there are to one of the picture that was annotated, in both directions, where
/// the file tells how large that one was.
fn scale(size: [u32; 2], annotated: Option<[f64; 2]>) -> Result<([f32; 2], Option<TruthNote>), Flaw> {
    let size = size.map(f64::from);
    // Some programs write 0 for what they do not know.
    let Some(annotated) = annotated.filter(|sides| sides.iter().all(|side| side.is_finite() && *side > 0.0)) else {
        return Ok(([1.0; 2], None));
    };
    if annotated == size {
        return Ok(([1.0; 2], None));
    }
    if [annotated[1], annotated[0]] == size {
        return Err(TruthErrorKind::Turned { width: annotated[0], height: annotated[1] }.into());
    }
    Ok(([0, 1].map(|side| (size[side] / annotated[side]) as f32), Some(TruthNote::Scaled(annotated))))
}

impl TruthObject {
    fn scaled(class: &str, difficult: bool, bbox: BBox, [x, y]: [f32; 2]) -> Self {
        let bbox = BBox { x1: bbox.x1 * x, y1: bbox.y1 * y, x2: bbox.x2 * x, y2: bbox.y2 * y };
        Self { class: class.into(), bbox, difficult }
    }
}

#[cfg(test)]
mod tests;

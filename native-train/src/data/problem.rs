//! What can be wrong with labelled images.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use shared_model::voc::Annotation;

use super::files::DataFile;
use super::source::Listed;
use super::text::{decode_xml, shown};
use crate::photo::{Photo, PhotoError};

/// What is wrong with a file of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort of thing.
    pub kind: ProblemKind,
    pub file: PathBuf,
    /// Line in the file, from 1; `None` for images, missing files, and files without lines for each image.
    pub line: Option<usize>,
    /// What in the file, where it is about many images: the image's name there, and its object's number.
    pub entry: Option<String>,
    /// What exactly, and what to do about it.
    pub message: String,
}

/// Sorts of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// An image of the split has no file.
    MissingImage,
    /// An image that cannot be decoded.
    CorruptImage,
    /// An image that is damaged so little that it can be decoded.
    DamagedImage,
    /// An image of the split has no annotation.
    MissingAnnotation,
    /// An annotation that cannot be read.
    CorruptAnnotation,
    /// An object's class is not in the list.
    UnknownClass,
    /// A class that looks like another one.
    SimilarClass,
    /// A class that occurs in a split for evaluation, but not in those for training.
    UnseenClass,
    /// No image of a split has an object, so that it can be neither learned from nor scored on.
    NoObjects,
    /// No image of a split has an object that counts, so that it cannot be scored on.
    NothingToScore,
    /// EXIF turns an image, and its boxes fit it as it is stored.
    TurnedImage,
    /// The annotation says that it is of another image, which there is.
    OtherFilename,
    /// The annotation is of an image with another size.
    SizeMismatch,
    /// The annotation does not tell the size of its image.
    NoSize,
    /// A box without an inside, or whose coordinates are no numbers.
    DegenerateBox,
    /// A box with nothing of the image in it.
    OutsideBox,
    /// A box that reaches over the image's edge.
    OverhangingBox,
    /// The same box for the same class twice in an image.
    DuplicateBox,
    /// An image that is twice in a split.
    DuplicateName,
    /// The same pixels under two names, or in two splits.
    DuplicateImage,
}

impl ProblemKind {
    /// Whether training on it would do harm. It copes with the others: boxes are cut at the image's edge, and what
    /// comes twice counts twice.
    pub fn poisons_training(self) -> bool {
        use ProblemKind::*;
        !matches!(
            self,
            DamagedImage
                | NothingToScore
                | OtherFilename
                | NoSize
                | OverhangingBox
                | DuplicateBox
                | DuplicateName
                | DuplicateImage
        )
    }

    /// In words, for many of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::MissingImage => "missing images",
            Self::CorruptImage => "corrupt images",
            Self::DamagedImage => "damaged images that can be decoded",
            Self::MissingAnnotation => "missing annotations",
            Self::CorruptAnnotation => "corrupt annotations",
            Self::UnknownClass => "objects of unknown classes",
            Self::SimilarClass => "classes that look like others",
            Self::UnseenClass => "classes that are in splits for evaluation only",
            Self::NoObjects => "splits without objects",
            Self::NothingToScore => "splits without objects that count",
            Self::TurnedImage => "images that EXIF turns, whose boxes are, or may be, of the stored image",
            Self::OtherFilename => "annotations that name another image",
            Self::SizeMismatch => "annotations of another size than the image",
            Self::NoSize => "annotations without the image's size",
            Self::DegenerateBox => "degenerate boxes",
            Self::OutsideBox => "boxes outside the image",
            Self::OverhangingBox => "boxes over the image's edge",
            Self::DuplicateBox => "boxes that are there twice",
            Self::DuplicateName => "images twice in a split",
            Self::DuplicateImage => "images with the same content",
        }
    }
}

impl Problem {
    /// What is damaged in the image `photo`, which lies in `file`, where the decoder could go on.
    pub fn of_damage(file: &Path, photo: &Photo) -> Option<Self> {
        let message = format!("{}: the rest is used; copy or download the image again", photo.damage()?);
        Some(Self { kind: ProblemKind::DamagedImage, file: file.into(), line: None, entry: None, message })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(entry) = &self.entry {
            write!(f, ": {entry}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads an annotation.
///
/// # Errors
/// Fails where there is none, or it cannot be read.
pub fn read_annotation(file: &DataFile) -> Result<Annotation, Problem> {
    let problem = |kind, line, message| Problem { kind, file: file.path().into(), line, entry: None, message };
    if !file.exists() {
        let message = "the annotation is missing: copy it there, or take the image out of the split";
        return Err(problem(ProblemKind::MissingAnnotation, None, message.into()));
    }
    let corrupt = |line, message: &dyn fmt::Display| {
        problem(ProblemKind::CorruptAnnotation, line, format!("the annotation cannot be read ({message}): mend it"))
    };
    let bytes = file.read().map_err(|error| corrupt(None, &error))?;
    let xml = decode_xml(&bytes).map_err(|error| corrupt(error.line, &error))?;
    Annotation::parse(&xml).map_err(|error| corrupt(Some(error.line), &error.kind))
}

/// Formats of images that are not read, which cameras and programs write.
const UNREAD: [&str; 8] = ["heic", "heif", "avif", "jp2", "jxl", "psd", "dng", "svg"];

/// What opening an image said, as a problem.
///
/// # Errors
/// Fails where `opened` did.
pub fn read_image<T>(listed: &Listed, opened: Result<T, PhotoError>) -> Result<T, Problem> {
    let file = &listed.image;
    opened.map_err(|error| {
        let (kind, message) = if file.exists() {
            (ProblemKind::CorruptImage, error.to_string())
        } else {
            let other = || {
                let name = file.path().file_stem()?.to_string_lossy().into_owned();
                UNREAD.iter().flat_map(|extension| [extension.to_string(), extension.to_uppercase()]).find_map(
                    |extension| {
                        let name = format!("{name}.{extension}");
                        file.sibling(&name).exists().then_some(name)
                    },
                )
            };
            let hint = match &listed.similar {
                Some(similar) => format!(" (is it \"{}\"?)", shown(similar)),
                None => other().map(|other| format!(" (\"{other}\" is not read: save it as JPEG)")).unwrap_or_default(),
            };
            let line = listed.line.map(|line| format!(", where it is in line {line}")).unwrap_or_default();
            let message = format!(
                "the image is missing{hint}: copy it there, or mend its name in the split{line}, or take it out"
            );
            (ProblemKind::MissingImage, message)
        };
        Problem { kind, file: file.path().into(), line: None, entry: None, message }
    })
}

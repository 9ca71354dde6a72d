//! What can be wrong with the text of an annotation file.

use std::fmt;

/// A text that is no annotation file of its format: where, why, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatError {
    /// Line in it, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub kind: FormatErrorKind,
}

impl std::error::Error for FormatError {}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

/// What is wrong with an annotation file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FormatErrorKind {
    /// No JSON, or not COCO's.
    #[error(
        "This is no instances file in COCO's JSON ({0}). Mend it, or export it again with images, annotations and \
         categories."
    )]
    Coco(String),
    /// JSON of detections.
    #[error(
        "This is a list, as of what a network has found. The truth is a file with images, annotations and categories, \
         such as instances_val2017.json."
    )]
    CocoResults,
    /// An annotation's category is not in the file.
    #[error(
        "Annotation {annotation} is of category {category}, which is not among the file's categories. Add it there."
    )]
    CocoCategory {
        /// The annotation's id.
        annotation: i64,
        /// The category's id.
        category: i64,
    },
    /// An annotation's box is empty.
    #[error(
        "The box of annotation {annotation} is {width} wide and {height} high: that is no box. Draw it anew or \
         remove it."
    )]
    CocoBox {
        /// The annotation's id.
        annotation: i64,
        /// In pixels.
        width: f64,
        /// In pixels.
        height: f64,
    },
    /// A line with too few or too many columns.
    #[error(
        "A line of YOLO's text has 5 numbers (class, centre x, centre y, width, height), or a class and the corners of \
         an outline; this one has {0}. Export boxes."
    )]
    YoloColumns(usize),
    /// A line with a sixth column.
    #[error(
        "The line has a sixth number, a score: so this is what a network has found, not the truth. Give the file \
         that came with the picture."
    )]
    YoloScore,
    /// A column that is no number.
    #[error(
        "\"{0}\" is no number. A line has 5: class, centre x, centre y, width, height. If this is a list of classes, \
         call it classes.txt."
    )]
    YoloNumber(String),
    /// A class number that is no count.
    #[error("\"{0}\" is no class number: those are 0, 1, 2 and so on. Mend the line.")]
    YoloClass(String),
    /// A coordinate beyond the picture.
    #[error(
        "{0} is no part of the picture's width or height: centres are from 0 to 1, and sizes over 0. Divide pixels \
         by the picture's width and height."
    )]
    YoloRange(f64),
    /// A class number beyond the list of classes.
    #[error(
        "Class {class} is beyond the list of classes, which has {names} names, counted from 0. Give the list that \
         belongs to this file."
    )]
    YoloBeyondList {
        /// The class number.
        class: usize,
        /// How long the list is.
        names: usize,
    },
    /// A list of classes without a name.
    #[error("The list of classes is empty. Write one name a line.")]
    NoClasses,
    /// A line without a name, after which numbers would mean something else.
    #[error("The line has no name, so that the numbers of the names after it are in doubt. Fill it in or remove it.")]
    NamelessClass,
    /// A comment where names are.
    #[error("A line that begins with # is no class. Remove it.")]
    CommentedClass,
    /// A name with a character that nobody sees.
    #[error("The class \"{name}\" has a character U+{code:04X} in it. Write it anew.")]
    HiddenInClass {
        /// The name, with that character's number in its place.
        name: String,
        /// The character.
        code: u32,
    },
    /// A name that the list has already.
    #[error("The class \"{0}\" is twice in the list. Remove one.")]
    ClassTwice(String),
    /// Lines such as `0: cat`.
    #[error(
        "The lines begin with numbers, which would be parts of the names. Leave the names alone, in the order of \
         their numbers."
    )]
    NumberedClasses,
    /// One line such as `cat, dog`.
    #[error("All names seem to be in one line. Write one name a line, or, if it is one name, put it in quotes.")]
    ClassesInOneLine,
}

impl FormatErrorKind {
    /// In a line, from 1.
    pub(super) fn at(self, line: usize) -> FormatError {
        FormatError { line: Some(line), kind: self }
    }
}

impl From<FormatErrorKind> for FormatError {
    fn from(kind: FormatErrorKind) -> Self {
        Self { line: None, kind }
    }
}

/// Numbers in a COCO file that lead nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CocoIdError {
    /// An image's id is there twice, so that nobody knows whose an annotation is.
    #[error("Two images have the id {0}. Number them anew, and the image_id of their annotations.")]
    Twice(i64),
    /// An annotation's image is not in the file.
    #[error("Annotation {annotation} is of image {image}, which is not among the file's images. Add it or remove it.")]
    NoImage {
        /// The annotation's id.
        annotation: i64,
        /// The image's id.
        image: i64,
    },
}

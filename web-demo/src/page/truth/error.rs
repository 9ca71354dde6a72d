//! What can be wrong with an annotation file.

use std::fmt;

use shared_model::annotations::{FormatError, FormatErrorKind};
use shared_model::voc::AnnotationErrorKind;

use crate::page::language::text;

/// An annotation file that is of no use, or of none for a picture: where and why, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthError {
    pub file: String,
    /// Line in it, from 1, where there is one.
    pub line: Option<usize>,
    pub kind: TruthErrorKind,
}

impl std::error::Error for TruthError {}

impl fmt::Display for TruthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, kind } = self;
        match line {
            Some(line) => {
                let problem = kind.sentence();
                f.write_str(&text!("%{file}, line %{line}: %{problem}", file = file, line = line, problem = problem))
            }
            None => write!(f, "{file}: {}", kind.sentence()),
        }
    }
}

/// What is wrong with an annotation file.
#[derive(Clone, Debug, PartialEq)]
pub enum TruthErrorKind {
    /// None of the formats.
    UnknownFormat,
    /// No XML, or not Pascal VOC's.
    Voc(AnnotationErrorKind),
    /// No COCO's JSON, YOLO's text or list of classes.
    Format(FormatErrorKind),
    /// A picture's name does not tell which one it is.
    CocoAmbiguous { name: String, count: usize },
    /// A class number beyond COCO's names, which are used without a list.
    YoloBeyondCoco(usize),
    /// Width and height are interchanged.
    Turned {
        /// Of the picture that was annotated.
        width: f64,
        /// Of the picture that was annotated.
        height: f64,
    },
}

/// Something wrong in a file whose name is known elsewhere.
#[derive(Debug)]
pub struct Flaw {
    line: Option<usize>,
    kind: TruthErrorKind,
}

impl Flaw {
    /// The error, of the file called `name`.
    pub fn in_file(self, name: &str) -> TruthError {
        TruthError { file: name.into(), line: self.line, kind: self.kind }
    }
}

impl TruthErrorKind {
    /// What is wrong and what to do about it, in the visitor's language.
    fn sentence(&self) -> String {
        match self {
            Self::UnknownFormat => text!(
                "This is no annotation file that the page reads. Give Pascal VOC's XML, COCO's JSON, YOLO's text or a \
                 list of classes (classes.txt)."
            ),
            Self::Voc(kind) => text!(
                "This is no annotation in Pascal VOC's XML (%{reason}). Mend the file or export it again.",
                reason = voc(kind)
            ),
            Self::Format(kind) => format(kind),
            Self::CocoAmbiguous { name, count } => text!(
                "%{count} pictures in it are called %{name}. Give a file that has one of that name.",
                count = count,
                name = name
            ),
            Self::YoloBeyondCoco(class) => text!(
                "Class %{class} is beyond COCO's 80 names, which are used where no list of classes is given. Give the \
                 list too, as classes.txt, with one name a line.",
                class = class
            ),
            Self::Turned { width, height } => text!(
                "It is about a picture of %{width} x %{height} pixels, and this one has %{height} x %{width}: one of \
                 them was turned. Annotate the upright picture.",
                width = width,
                height = height
            ),
        }
    }

    /// In a line, from 1.
    pub fn at(self, line: usize) -> Flaw {
        Flaw { line: Some(line), kind: self }
    }
}

impl From<TruthErrorKind> for Flaw {
    fn from(kind: TruthErrorKind) -> Self {
        Self { line: None, kind }
    }
}

impl From<FormatErrorKind> for TruthErrorKind {
    fn from(kind: FormatErrorKind) -> Self {
        Self::Format(kind)
    }
}

impl From<FormatError> for Flaw {
    fn from(FormatError { line, kind }: FormatError) -> Self {
        Self { line, kind: kind.into() }
    }
}

impl From<FormatErrorKind> for Flaw {
    fn from(kind: FormatErrorKind) -> Self {
        Self { line: None, kind: kind.into() }
    }
}

/// What is wrong with a file of VOC's, to stand in brackets.
fn voc(kind: &AnnotationErrorKind) -> String {
    match kind {
        AnnotationErrorKind::NotXml(reason) => reason.clone(),
        AnnotationErrorKind::OtherRoot(tag) => text!("<%{tag}> where <annotation> should be", tag = tag),
        AnnotationErrorKind::NoTag(tag) => text!("there is no <%{tag}> in it", tag = tag),
        AnnotationErrorKind::NoClassName => text!("an object has no class name"),
        AnnotationErrorKind::NoNumber { tag, text } => {
            text!("<%{tag}> is \"%{text}\", which is no number", tag = tag, text = text)
        }
        AnnotationErrorKind::ImpossibleBox { class, bbox } => {
            text!("a \"%{class}\" has an impossible box: %{bbox}", class = class, bbox = bbox)
        }
    }
}

/// What is wrong with a file of COCO's or YOLO's, or with a list of classes.
fn format(kind: &FormatErrorKind) -> String {
    match kind {
        FormatErrorKind::Coco(reason) => text!(
            "This is no instances file in COCO's JSON (%{reason}). Mend it, or export it again with images, \
                 annotations and categories.",
            reason = reason
        ),
        FormatErrorKind::CocoResults => text!(
            "This is a list, as of what a network has found. The truth is a file with images, annotations and \
                 categories, such as instances_val2017.json."
        ),
        FormatErrorKind::CocoCategory { annotation, category } => text!(
            "Annotation %{annotation} is of category %{category}, which is not among the file's categories. Add it \
                 there.",
            annotation = annotation,
            category = category
        ),
        FormatErrorKind::CocoBox { annotation, width, height } => text!(
            "The box of annotation %{annotation} is %{width} wide and %{height} high: that is no box. Draw it anew \
                 or remove it.",
            annotation = annotation,
            width = width,
            height = height
        ),
        FormatErrorKind::YoloColumns(count) => text!(
            "A line of YOLO's text has 5 numbers (class, centre x, centre y, width, height), or a class and the \
                 corners of an outline; this one has %{count}. Export boxes.",
            count = count
        ),
        FormatErrorKind::YoloScore => text!(
            "The line has a sixth number, a score: so this is what a network has found, not the truth. Give the \
                 file that came with the picture."
        ),
        FormatErrorKind::YoloNumber(text) => text!(
            "\"%{text}\" is no number. A line has 5: class, centre x, centre y, width, height. If this is a list of \
                 classes, call it classes.txt.",
            text = text
        ),
        FormatErrorKind::YoloClass(text) => {
            text!("\"%{text}\" is no class number: those are 0, 1, 2 and so on. Mend the line.", text = text)
        }
        FormatErrorKind::YoloRange(value) => text!(
            "%{value} is no part of the picture's width or height: centres are from 0 to 1, and sizes over 0. \
                 Divide pixels by the picture's width and height.",
            value = value
        ),
        FormatErrorKind::YoloBeyondList { class, names } => text!(
            "Class %{class} is beyond the list of classes, which has %{names} names, counted from 0. Give the list \
                 that belongs to this file.",
            class = class,
            names = names
        ),
        FormatErrorKind::CommentedClass => text!("A line that begins with # is no class. Remove it."),
        FormatErrorKind::HiddenInClass { name, code } => {
            let code = format!("{code:04X}");
            text!("The class \"%{name}\" has a character U+%{code} in it. Write it anew.", name = name, code = code)
        }
        FormatErrorKind::ClassTwice(name) => {
            text!("The class \"%{name}\" is twice in the list. Remove one.", name = name)
        }
        FormatErrorKind::NumberedClasses => text!(
            "The lines begin with numbers, which would be parts of the names. Leave the names alone, in the order of \
             their numbers."
        ),
        FormatErrorKind::ClassesInOneLine => {
            text!("All names seem to be in one line. Write one name a line, or, if it is one name, put it in quotes.")
        }
        FormatErrorKind::NoClasses => text!("The list of classes is empty. Write one name a line."),
        FormatErrorKind::NamelessClass => text!(
            "The line has no name, so that the numbers of the names after it are in doubt. Fill it in or remove it."
        ),
    }
}

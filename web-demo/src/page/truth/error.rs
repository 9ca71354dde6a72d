//! What can be wrong with an annotation file.

use std::fmt;

/// An annotation file that is of no use, or of none for a picture: where and why, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthError {
    /// The file's name.
    pub file: String,
    /// Line in it, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub kind: TruthErrorKind,
}

impl std::error::Error for TruthError {}

impl fmt::Display for TruthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, kind } = self;
        match line {
            Some(line) => write!(f, "{file}, line {line}: {kind}"),
            None => write!(f, "{file}: {kind}"),
        }
    }
}

/// What is wrong with an annotation file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TruthErrorKind {
    /// None of the formats.
    #[error(
        "This is no annotation file that the page reads. Give Pascal VOC's XML, COCO's JSON, YOLO's text or a list of \
         classes (classes.txt)."
    )]
    UnknownFormat,
    /// No XML, or not Pascal VOC's.
    #[error("This is no annotation in Pascal VOC's XML ({0}). Mend the file or export it again.")]
    Voc(String),
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
    /// A picture's name does not tell which one it is.
    #[error("{count} pictures in it are called {name}. Give a file that has one of that name.")]
    CocoAmbiguous {
        /// The picture's name.
        name: String,
        /// How many.
        count: usize,
    },
    /// A line with too few or too many columns.
    #[error(
        "A line of YOLO's text has 5 numbers (class, centre x, centre y, width, height); this one has {0}. Export \
         boxes, not outlines."
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
    /// A class number beyond COCO's names, which are used without a list.
    #[error(
        "Class {0} is beyond COCO's 80 names, which are used where no list of classes is given. Give the list too, as \
         classes.txt, with one name a line."
    )]
    YoloBeyondCoco(usize),
    /// A list of classes without a name.
    #[error("The list of classes is empty. Write one name a line.")]
    NoClasses,
    /// A line without a name, after which numbers would mean something else.
    #[error("The line has no name, so that the numbers of the names after it are in doubt. Fill it in or remove it.")]
    NamelessClass,
    /// Width and height are interchanged.
    #[error(
        "It is about a picture of {width} x {height} pixels, and this one has {height} x {width}: one of them was \
         turned. Annotate the upright picture."
    )]
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

//! What can be wrong with a labelled picture, and looking for it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use shared_model::voc::{AnnotatedObject, Annotation, Object, Size, VocBox};

use super::files::DataFile;
use super::voc::VocFolder;
use crate::photo::PhotoError;

/// What is wrong with a file of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort of thing.
    pub kind: ProblemKind,
    /// Where.
    pub file: PathBuf,
    /// Line in the file, from 1; `None` for pictures and missing files.
    pub line: Option<usize>,
    /// What exactly, and what to do about it.
    pub message: String,
}

/// Sorts of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A picture of the split has no file.
    MissingPicture,
    /// A picture that cannot be decoded.
    CorruptPicture,
    /// A picture of the split has no annotation.
    MissingAnnotation,
    /// An annotation that cannot be read.
    CorruptAnnotation,
    /// An object's class is not in the list.
    UnknownClass,
    /// The annotation is of a picture with another size.
    SizeMismatch,
    /// The annotation does not tell the size of its picture.
    NoSize,
    /// A box without an inside, or whose coordinates are no numbers.
    DegenerateBox,
    /// A box with nothing of the picture in it.
    OutsideBox,
    /// A box that reaches over the picture's edge.
    OverhangingBox,
    /// The same box for the same class twice in a picture.
    DuplicateBox,
    /// A picture that is twice in a split.
    DuplicateName,
    /// The same pixels under two names, or in two splits.
    DuplicatePicture,
}

impl ProblemKind {
    /// Whether training on it would do harm. It copes with the others: boxes are cut at the picture's edge, and what
    /// comes twice counts twice.
    pub fn poisons_training(self) -> bool {
        use ProblemKind::*;
        !matches!(self, NoSize | OverhangingBox | DuplicateBox | DuplicateName | DuplicatePicture)
    }

    /// In words, for many of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::MissingPicture => "missing pictures",
            Self::CorruptPicture => "corrupt pictures",
            Self::MissingAnnotation => "missing annotations",
            Self::CorruptAnnotation => "corrupt annotations",
            Self::UnknownClass => "objects of unknown classes",
            Self::SizeMismatch => "annotations of another size than the picture",
            Self::NoSize => "annotations without the picture's size",
            Self::DegenerateBox => "degenerate boxes",
            Self::OutsideBox => "boxes outside the picture",
            Self::OverhangingBox => "boxes over the picture's edge",
            Self::DuplicateBox => "boxes that are there twice",
            Self::DuplicateName => "pictures twice in a split",
            Self::DuplicatePicture => "pictures with the same content",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads the annotation of the picture `name`.
///
/// # Errors
/// Fails where there is none, or it cannot be read.
pub fn read_annotation(folder: &VocFolder, name: &str) -> Result<Annotation, Problem> {
    let file = folder.annotation(name);
    let problem = |kind, line, message| Problem { kind, file: file.path().into(), line, message };
    if !file.exists() {
        let message = "the annotation is missing: copy it there, or take the picture out of the split";
        return Err(problem(ProblemKind::MissingAnnotation, None, message.into()));
    }
    let corrupt = |line, message: &dyn fmt::Display| {
        problem(ProblemKind::CorruptAnnotation, line, format!("the annotation cannot be read ({message}): mend it"))
    };
    let xml = file.read_text().map_err(|error| corrupt(None, &error))?;
    Annotation::parse(&xml).map_err(|error| corrupt(Some(error.line), &error.message))
}

/// What opening the picture `file` said, as a problem.
///
/// # Errors
/// Fails where `opened` did.
pub fn read_picture<T>(file: &DataFile, opened: Result<T, PhotoError>) -> Result<T, Problem> {
    opened.map_err(|error| {
        let (kind, message) = if file.exists() {
            (ProblemKind::CorruptPicture, error.to_string())
        } else {
            let message = "the picture is missing: copy it there, or take its name out of the split";
            (ProblemKind::MissingPicture, message.into())
        };
        Problem { kind, file: file.path().into(), line: None, message }
    })
}

/// All that is wrong with a picture, its annotation and its boxes.
///
/// `annotation` is what [`read_annotation`] gave, `size` width and height in pixels as [`read_picture`] gave them.
pub fn problems(
    folder: &VocFolder,
    name: &str,
    annotation: &Result<Annotation, Problem>,
    size: Result<[usize; 2], Problem>,
    classes: &[String],
) -> Vec<Problem> {
    let (size, mut problems) = match size {
        Ok(size) => (Some(size), Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    match annotation {
        Ok(annotation) => problems.extend(in_annotation(folder.annotation(name).path(), annotation, size, classes)),
        Err(problem) => problems.push(problem.clone()),
    }
    problems
}

/// The problems of an annotation, read from `file`, to a picture of `size` (width and height in pixels), where that is
/// known.
fn in_annotation(file: &Path, annotation: &Annotation, size: Option<[usize; 2]>, classes: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |kind, line, message| problems.push(Problem { kind, file: file.into(), line: Some(line), message });
    match (annotation.size, size) {
        (None, _) => {
            let message = "there is no <size> with <width> and <height>: add it, or boxes of a picture that was scaled \
                           go unnoticed";
            add(ProblemKind::NoSize, 1, message.into());
        }
        (Some(Size { width, height, line }), Some(actual)) if [width, height] != actual.map(|side| side as f64) => {
            let [actual_width, actual_height] = actual;
            add(
                ProblemKind::SizeMismatch,
                line,
                format!(
                    "the annotation is of a picture of {width} x {height} pixels, the picture has {actual_width} x \
                     {actual_height}: its boxes lie elsewhere; annotate this picture, or bring back the original"
                ),
            );
        }
        _ => {}
    }
    let said = annotation.size.map(|Size { width, height, .. }| [width, height]);
    let size = size.map(|size| size.map(|side| side as f64)).or(said);
    let mut first_lines = BTreeMap::new();
    for AnnotatedObject { object: Object { class, bbox, .. }, class_line, box_line } in &annotation.objects {
        if !classes.contains(class) {
            add(ProblemKind::UnknownClass, *class_line, unknown(class, classes));
        }
        if let Some((kind, message)) = box_problem(bbox, size) {
            add(kind, *box_line, format!("a \"{class}\" with {bbox} {message}"));
        }
        let key = (class, [bbox.xmin, bbox.ymin, bbox.xmax, bbox.ymax].map(f64::to_bits));
        let first = *first_lines.entry(key).or_insert(*box_line);
        if first != *box_line {
            let message = format!("the same \"{class}\" as in line {first}: remove one of them");
            add(ProblemKind::DuplicateBox, *box_line, message);
        }
    }
    problems
}

fn unknown(class: &str, classes: &[String]) -> String {
    let hint = match classes.iter().find(|known| known.eq_ignore_ascii_case(class)) {
        Some(known) => format!(" (is it \"{known}\"?)"),
        None => String::new(),
    };
    format!(
        "the class \"{class}\" is not among the {} of the list{hint}: mend the name, or give a list that has it with \
         --classes",
        classes.len()
    )
}

/// What is wrong with a box in a picture of `size` pixels.
fn box_problem(b: &VocBox, size: Option<[f64; 2]>) -> Option<(ProblemKind, String)> {
    // Rounding while a picture is scaled.
    const TOLERANCE: f64 = 1.0;
    if b.is_impossible() || b.xmax == b.xmin || b.ymax == b.ymin {
        return Some((ProblemKind::DegenerateBox, "is no box: draw it anew or remove the object".into()));
    }
    let [width, height] = size?;
    // The first pixel is 1.
    if b.xmin > width || b.ymin > height || b.xmax < 1.0 || b.ymax < 1.0 {
        let message = format!("lies outside the picture ({width} x {height}): draw it anew or remove the object");
        return Some((ProblemKind::OutsideBox, message));
    }
    let over = (1.0 - b.xmin).max(1.0 - b.ymin).max(b.xmax - width).max(b.ymax - height);
    (over > TOLERANCE).then(|| {
        let message = format!("reaches over the picture's edge ({width} x {height}), where training cuts it");
        (ProblemKind::OverhangingBox, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::object;

    fn found(size: &str, objects: &str) -> Vec<(ProblemKind, usize)> {
        let annotation = Annotation::parse(&format!("<annotation>{size}\n{objects}</annotation>")).unwrap();
        let problems = in_annotation(Path::new("a.xml"), &annotation, Some([100, 50]), &["dog".into(), "cat".into()]);
        problems.into_iter().map(|problem| (problem.kind, problem.line.unwrap())).collect()
    }

    const SIZE: &str = "<size><width>100</width><height>50</height></size>";

    #[test]
    fn good_boxes_are_left_alone() {
        for corners in [[1.0, 1.0, 100.0, 50.0], [0.0, 0.5, 101.0, 50.4], [3.0, 3.0, 3.4, 4.0]] {
            assert_eq!(found(SIZE, &object("dog", corners)), [], "{corners:?}");
        }
    }

    #[test]
    fn bad_boxes_are_told_apart() {
        use ProblemKind::*;
        for (corners, kind) in [
            ([5.0, 5.0, 5.0, 9.0], DegenerateBox),
            ([5.0, 9.0, 6.0, 5.0], DegenerateBox),
            ([f64::NAN, 5.0, 9.0, 9.0], DegenerateBox),
            ([101.0, 5.0, 120.0, 9.0], OutsideBox),
            ([5.0, -9.0, 9.0, 0.5], OutsideBox),
            ([90.0, 5.0, 103.0, 9.0], OverhangingBox),
            ([-3.0, 5.0, 9.0, 9.0], OverhangingBox),
        ] {
            assert_eq!(found(SIZE, &object("dog", corners)), [(kind, 3)], "{corners:?}");
        }
    }

    #[test]
    fn classes_sizes_and_repetitions_are_checked() {
        use ProblemKind::*;
        let dog = object("dog", [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found(SIZE, &object("Dog", [1.0, 2.0, 3.0, 4.0])), [(UnknownClass, 2)]);
        assert_eq!(found("", &dog), [(NoSize, 1)]);
        assert_eq!(found("<size><width>50</width><height>100</height></size>", &dog), [(SizeMismatch, 1)]);
        assert_eq!(found(SIZE, &format!("{dog}{dog}")), [(DuplicateBox, 5)]);
        assert_eq!(found(SIZE, &format!("{dog}{}", object("cat", [1.0, 2.0, 3.0, 4.0]))), []);
    }

    #[test]
    fn the_message_helps() {
        assert!(unknown("Dog", &["dog".into()]).contains("is it \"dog\"?"));
    }
}

//! Looking through data sets for all that could go wrong in training, and counting what is in them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared_model::voc::Object;

use super::problem::{Problem, ProblemKind, problems, read_picture};
use super::source::{Labelled, Source, SourceAnnotations, class_names_of};
use crate::progress::Progress;

/// Sizes of boxes are counted between these, in pixels of an input of [`INPUT`] pixels.
const SIZE_EDGES: [f64; 8] = [0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, INPUT];

/// Side in pixels of the input by which sizes of boxes are told.
const INPUT: f64 = 416.0;

/// What is in some data sets, and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The splits.
    pub sources: Vec<SourceReport>,
    /// The classes of the list in its order, then unknown ones.
    pub classes: Vec<ClassReport>,
    /// How many boxes there are of which size.
    pub box_sizes: Vec<SizeReport>,
    /// In the order of sources and pictures; what concerns several pictures comes last.
    pub problems: Vec<Problem>,
}

/// A split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// The data set.
    pub folder: PathBuf,
    /// Its split.
    pub split: String,
    /// Pictures in the split's list.
    pub images: usize,
    /// Objects in them.
    pub objects: usize,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub class: String,
    /// Whether it is in the list of classes.
    pub known: bool,
    /// Pictures with an object of it.
    pub images: usize,
    /// Objects, difficult ones too.
    pub objects: usize,
    /// Objects that are marked as difficult.
    pub difficult: usize,
}

/// Boxes by the square root of their area, in pixels where the picture's longer side is 416.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SizeReport {
    /// At least so large.
    pub from: f64,
    /// Less than this.
    pub to: f64,
    /// Number of boxes.
    pub objects: usize,
}

/// Looks through `sources`, decoding every picture. The classes are `class_names`, else those that occur, as in
/// training.
///
/// # Errors
/// Fails where a source has no such split. All else that is wrong is in the report.
pub fn check(sources: &[Source], class_names: Option<&[String]>) -> Result<Report> {
    let read = sources.iter().map(SourceAnnotations::read).collect::<Result<Vec<_>>>()?;
    let class_names = class_names.map_or_else(|| class_names_of(&read), <[String]>::to_vec);
    let progress = Progress::new(read.iter().map(|source| source.pictures.len()).sum(), "pictures");
    let mut found = Vec::new();
    for source in &read {
        let look = |labelled: &Labelled| {
            let looked = look(source, labelled, &class_names);
            progress.step();
            looked
        };
        found.push(source.pictures.par_iter().map(look).collect::<Vec<_>>());
    }
    progress.finish();

    let mut problems: Vec<Problem> = found.iter().flatten().flat_map(|picture| picture.problems.clone()).collect();
    problems.extend(duplicates(sources, &read, &found));
    let counts = sources.iter().zip(&read).map(|(Source { folder, split }, read)| SourceReport {
        folder: folder.clone(),
        split: split.clone(),
        images: read.pictures.len(),
        objects: read.pictures.iter().map(|picture| objects(picture).count()).sum(),
    });
    let sizes: Vec<f64> = found.iter().flatten().flat_map(|picture| picture.box_sizes.iter().copied()).collect();
    Ok(Report {
        sources: counts.collect(),
        classes: classes(&read, &class_names),
        box_sizes: histogram(&sizes),
        problems,
    })
}

/// A picture that was looked at.
struct Looked {
    problems: Vec<Problem>,
    /// Of the pixels, where they could be decoded.
    digest: Option<[u8; 32]>,
    /// Of boxes that are some: square roots of areas, in pixels where the picture's longer side is [`INPUT`].
    box_sizes: Vec<f64>,
}

fn look(source: &SourceAnnotations, labelled: &Labelled, class_names: &[String]) -> Looked {
    let file = source.folder.picture(&labelled.name);
    let photo = read_picture(&file, file.photo());
    let digest = photo.as_ref().ok().map(|photo| {
        let mut digest = Sha256::new_with_prefix(photo.width().to_le_bytes());
        digest.update(photo.pixels().as_raw());
        digest.finalize().into()
    });
    let size = photo.map(|photo| [photo.width(), photo.height()]);
    let box_sizes = size.as_ref().map_or(Vec::new(), |&[width, height]| {
        let scale = INPUT / width.max(height) as f64;
        let boxes = objects(labelled).map(|object| object.bbox).filter(|bbox| !bbox.is_impossible());
        boxes.map(|b| scale * ((b.xmax - b.xmin) * (b.ymax - b.ymin)).sqrt()).collect()
    });
    let problems = problems(&source.folder, &labelled.name, &labelled.annotation, size, class_names);
    Looked { problems, digest, box_sizes }
}

fn objects(labelled: &Labelled) -> impl Iterator<Item = &Object> {
    labelled.annotation.iter().flat_map(|annotation| &annotation.objects).map(|annotated| &annotated.object)
}

fn classes(read: &[SourceAnnotations], class_names: &[String]) -> Vec<ClassReport> {
    let empty = |class: &str, known| ClassReport { class: class.into(), known, images: 0, objects: 0, difficult: 0 };
    let mut classes: Vec<_> = class_names.iter().map(|class| empty(class, true)).collect();
    let mut unknown = BTreeMap::new();
    for labelled in read.iter().flat_map(|source| &source.pictures) {
        let mut seen = BTreeSet::new();
        for object in objects(labelled) {
            let class = object.class.as_str();
            let report = match class_names.iter().position(|known| known == class) {
                Some(known) => &mut classes[known],
                None => unknown.entry(class).or_insert_with(|| empty(class, false)),
            };
            report.objects += 1;
            report.difficult += usize::from(object.difficult);
            report.images += usize::from(seen.insert(class));
        }
    }
    classes.extend(unknown.into_values());
    classes
}

fn histogram(sizes: &[f64]) -> Vec<SizeReport> {
    let bin = |edges: &[f64]| {
        let [from, to] = [edges[0], edges[1]];
        // A box of the whole picture belongs to the last bin.
        let inside = |&&size: &&f64| size >= from && (size < to || to == INPUT);
        SizeReport { from, to, objects: sizes.iter().filter(inside).count() }
    };
    SIZE_EDGES.windows(2).map(bin).collect()
}

/// Pictures that are there twice: by name within a split, by pixels anywhere.
fn duplicates(sources: &[Source], read: &[SourceAnnotations], found: &[Vec<Looked>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut first_of_digest = HashMap::new();
    for ((source, annotations), found) in sources.iter().zip(read).zip(found) {
        let list = annotations.folder.split_list(&source.split).path().to_path_buf();
        let mut first_of_name = BTreeMap::new();
        for (Labelled { name, line, .. }, Looked { digest, .. }) in annotations.pictures.iter().zip(found) {
            let problem = |kind, message| Problem { kind, file: list.clone(), line: Some(*line), message };
            match first_of_name.entry(name) {
                Entry::Occupied(first) => {
                    let first: &usize = first.get();
                    let message = format!("\"{name}\" is in line {first} too: take one of them out");
                    problems.push(problem(ProblemKind::DuplicateName, message));
                    continue;
                }
                Entry::Vacant(entry) => entry.insert(*line),
            };
            let Some(digest) = digest else { continue };
            if let Some((other, list, line)) = first_of_digest.get(digest) {
                let message =
                    format!("\"{name}\" is the same picture as \"{other}\" ({list}:{line}): take one of them out");
                problems.push(problem(ProblemKind::DuplicatePicture, message));
            } else {
                first_of_digest.insert(digest, (name, list.display().to_string(), line));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{VocBuilder, object};

    #[test]
    fn sizes_are_counted_up_to_the_whole_picture() {
        let sizes = histogram(&[0.0, 7.9, 8.0, 255.9, 256.0, 416.0, 420.0]);
        let counts: Vec<_> = sizes.iter().map(|size| size.objects).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 1, 3]);
    }

    #[test]
    fn good_data_are_counted() {
        let voc = VocBuilder::new();
        let dog = object("dog", [1.0, 1.0, 40.0, 30.0]);
        let difficult = dog.replace("<bndbox>", "<difficult>1</difficult><bndbox>").replace("<xmin>1<", "<xmin>2<");
        voc.picture("a", 40, 30, &format!("{dog}{difficult}"));
        voc.picture("b", 41, 30, "");
        voc.split("train", &["a", "b"]);
        let given = ["cat", "dog"].map(String::from);
        let report = check(&[voc.source("train")], Some(&given)).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!((report.sources[0].images, report.sources[0].objects), (2, 2));
        let dogs = ClassReport { class: "dog".into(), known: true, images: 1, objects: 2, difficult: 1 };
        assert_eq!(report.classes[1], dogs);
        assert_eq!((report.classes.len(), report.classes[0].objects), (2, 0));
        assert_eq!(report.box_sizes.last().unwrap().objects, 2);
    }

    #[test]
    fn repeated_and_damaged_pictures_are_found() {
        let voc = VocBuilder::new();
        let dog = object("dog", [1.0, 1.0, 9.0, 9.0]);
        for name in ["a", "b"] {
            voc.picture(name, 40, 30, &dog);
        }
        voc.picture("c", 40, 30, &dog);
        voc.copy("a", "twin");
        voc.cut("c");
        voc.split("train", &["a", "b", "", "a", "c"]);
        voc.split("val", &["twin", "b"]);
        let report = check(&[voc.source("train"), voc.source("val")], None).unwrap();
        let found: Vec<_> = report.problems.iter().map(|p| (p.kind, p.line)).collect();
        use ProblemKind::*;
        let expected = [
            (CorruptPicture, None),
            (DuplicateName, Some(4)),
            (DuplicatePicture, Some(1)),
            (DuplicatePicture, Some(2)),
        ];
        assert_eq!(found, expected, "{:#?}", report.problems);
        let twin = report.problems[2].to_string();
        assert!(twin.contains("val.txt:1") && twin.contains("\"a\"") && twin.contains("train.txt:1"), "{twin}");
    }
}

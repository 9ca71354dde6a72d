//! Looking through data sets for all that could go wrong in training, and counting what is in them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared_model::voc::{AnnotatedObject, VocObject};

use super::class_list::{ClassList, Origin, closest};
use super::files::DataFile;
use super::judge::{Judged, judge, similar_classes};
use super::problem::{Problem, ProblemKind, read_image};
use super::reading::Reading;
use super::source::{Labelled, Listed, Source, SourceAnnotations, classes_of};
use super::text::shown;
use crate::progress::Progress;

/// Sizes of boxes are counted between these, in pixels of an input of [`INPUT`] pixels.
const SIZE_EDGES: [f64; 8] = [0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, INPUT];

/// Side in pixels of the input by which sizes of boxes are told.
const INPUT: f64 = 416.0;

/// What was found out about some data sets.
pub struct Checked {
    pub report: DataReport,
    /// Image by image, in the order of sources and images.
    pub(super) images: Vec<Looked>,
}

/// What is in some data sets, and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataReport {
    /// The splits.
    pub sources: Vec<SourceReport>,
    /// The classes of the list in its order, then unknown ones.
    pub classes: Vec<ClassReport>,
    /// How many boxes there are of which size.
    pub box_sizes: Vec<SizeReport>,
    /// In the order of sources and images; what concerns several images comes last.
    pub problems: Vec<Problem>,
    /// What is wrong, and left out as asked for.
    pub left_out: Vec<Problem>,
}

/// A split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// The data set.
    pub folder: PathBuf,
    pub split: String,
    /// Images in the split's list.
    pub images: usize,
    /// Objects in them.
    pub objects: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub class: String,
    /// Whether it is in the list of classes.
    pub known: bool,
    /// Images with an object of it.
    pub images: usize,
    /// Objects, difficult ones too.
    pub objects: usize,
    /// Objects that are marked as difficult.
    pub difficult: usize,
}

/// Boxes by the square root of their area, in pixels where the image's longer side is 416.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SizeReport {
    /// At least so large.
    pub from: f64,
    /// Less than this.
    pub to: f64,
    /// Number of boxes.
    pub objects: usize,
}

/// Looks through `sources`, decoding every image. The classes are `class_names`, else those that occur where training
/// looks for them: in the splits whose names begin with "train", else in the first.
///
/// # Errors
/// Fails where a source has no such split. All else that is wrong is in the report.
pub fn check(sources: &[Source], class_names: Option<&[String]>, reading: &Reading) -> Result<Checked> {
    let read = sources.iter().map(SourceAnnotations::read).collect::<Result<Vec<_>>>()?;
    let trains = training_sources(sources);
    let of_training = || read.iter().zip(&trains).filter(|(_, trains)| **trains).map(|(source, _)| source);
    let classes = match class_names {
        Some(names) => ClassList { names: names.to_vec(), origin: Origin::Given },
        None => classes_of(of_training()),
    };
    let progress = Progress::new(read.iter().map(|source| source.images.len()).sum(), "images");
    let mut found = Vec::new();
    for source in &read {
        let look = |labelled: &Labelled| {
            let looked = look(labelled, &classes, reading);
            progress.step();
            looked
        };
        found.push(source.images.par_iter().map(look).collect::<Vec<_>>());
    }
    progress.finish();

    if class_names.is_none() {
        let learned: BTreeSet<&str> = of_training().flat_map(class_names_in).collect();
        for (images, source) in found.iter_mut().zip(&read).zip(&trains).filter(|(_, trains)| !**trains).map(|(s, _)| s)
        {
            unseen_classes(images, source, &classes, &learned);
        }
    }
    let splits = without_objects(&read, &found, &trains);
    let similar = similar_classes(&read, &classes).into_iter().flatten();
    let of_images = found.iter().flatten().flat_map(|image| image.problems.clone());
    let mut problems: Vec<Problem> = of_images.chain(similar).chain(splits).collect();
    for (source, image, problem) in duplicates(&read, &found) {
        problems.push(problem.clone());
        found[source][image].problems.push(problem);
    }
    let counts = sources.iter().zip(&read).map(|(Source { folder, split }, read)| SourceReport {
        folder: folder.clone(),
        split: split.clone(),
        images: read.images.len(),
        objects: read.images.iter().map(|image| image.annotated().count()).sum(),
    });
    let sources = counts.collect();
    let images: Vec<Looked> = found.into_iter().flatten().collect();
    let sizes: Vec<f64> = images.iter().flat_map(Looked::box_sizes).collect();
    let report = DataReport {
        sources,
        classes: count_classes(&read, &classes.names),
        box_sizes: histogram(&sizes),
        problems,
        left_out: images.iter().flat_map(|image| image.left_out.clone()).collect(),
    };
    Ok(Checked { report, images })
}

/// Which sources are to be trained on, by the names of their splits; else it is the first.
fn training_sources(sources: &[Source]) -> Vec<bool> {
    let named: Vec<bool> = sources.iter().map(|source| source.split_name().starts_with("train")).collect();
    if named.contains(&true) { named } else { (0..sources.len()).map(|i| i == 0).collect() }
}

/// An image that was looked at.
pub(super) struct Looked {
    pub(super) name: String,
    pub(super) file: DataFile,
    /// Width and height in pixels as it is decoded, where it could be.
    pub(super) size: Option<[f64; 2]>,
    pub(super) problems: Vec<Problem>,
    left_out: Vec<Problem>,
    /// Of the pixels, where they could be decoded.
    digest: Option<[u8; 32]>,
    /// What remains, in pixels of the image as it is decoded.
    pub(super) objects: Vec<VocObject>,
}

impl Looked {
    /// Of boxes that are some: square roots of areas, in pixels where the image's longer side is [`INPUT`].
    fn box_sizes(&self) -> impl Iterator<Item = f64> {
        let scale = self.size.map(|[width, height]| INPUT / width.max(height));
        let boxes = self.objects.iter().map(|object| object.bbox).filter(|bbox| !bbox.is_impossible());
        boxes.filter_map(move |b| Some(scale? * ((b.xmax - b.xmin) * (b.ymax - b.ymin)).sqrt()))
    }

    /// Objects that remain, and those of them that count in evaluation.
    fn count(&self) -> [usize; 2] {
        [self.objects.len(), self.objects.iter().filter(|object| !object.difficult).count()]
    }
}

fn look(labelled: &Labelled, classes: &ClassList, reading: &Reading) -> Looked {
    let Labelled { listed, .. } = labelled;
    let photo = read_image(listed, listed.image.photo());
    let digest = photo.as_ref().ok().map(|photo| {
        let mut digest = Sha256::new_with_prefix(photo.width().to_le_bytes());
        digest.update(photo.pixels().as_raw());
        digest.finalize().into()
    });
    let header = photo.as_ref().map(|photo| *photo.said()).map_err(Clone::clone);
    let Judged { mut problems, left_out, objects } = judge(labelled, header, Some(classes), reading);
    let file = listed.image.clone();
    if let Some(damage) = photo.as_ref().ok().and_then(|photo| Problem::of_damage(file.path(), photo)) {
        problems.insert(0, damage);
    }
    let size = photo.ok().map(|photo| [photo.width(), photo.height()].map(|side| side as f64));
    let objects = objects.into_iter().map(|annotated| annotated.object).collect();
    Looked { name: listed.name.clone(), file, size, problems, left_out, digest, objects }
}

fn class_names_in(source: &SourceAnnotations) -> impl Iterator<Item = &str> {
    source.images.iter().flat_map(Labelled::annotated).map(|annotated| annotated.object.class.as_str())
}

/// Says of classes that are not learned where the first object of each is, in place of saying so of every object.
fn unseen_classes(images: &mut [Looked], source: &SourceAnnotations, classes: &ClassList, learned: &BTreeSet<&str>) {
    let mut told = BTreeSet::new();
    for (looked, labelled) in images.iter_mut().zip(&source.images) {
        // In the order in which they were found.
        let objects = labelled.annotated().map(|annotated| annotated.object.class.as_str());
        let mut unknown = objects.filter(|class| !classes.names.iter().any(|name| name == class));
        looked.problems.retain_mut(|problem| {
            if problem.kind != ProblemKind::UnknownClass {
                return true;
            }
            let Some(class) = unknown.next().filter(|class| !learned.contains(class)) else { return true };
            problem.kind = ProblemKind::UnseenClass;
            let hint = match closest(class, &classes.names) {
                Some(known) => format!(" (is it \"{}\"?)", shown(known)),
                None => String::new(),
            };
            problem.message = format!(
                "the class \"{}\" is in no split for training{hint}: mend the name, or give the list of all classes with \
                 --classes",
                shown(class)
            );
            told.insert(class)
        });
    }
}

/// Splits that are of no use for want of objects.
fn without_objects(read: &[SourceAnnotations], found: &[Vec<Looked>], trains: &[bool]) -> Vec<Problem> {
    let count = |which: usize, of: &dyn Fn(usize) -> bool| -> usize {
        let images = found.iter().enumerate().filter(|(i, _)| of(*i)).flat_map(|(_, images)| images);
        images.map(|image| image.count()[which]).sum()
    };
    let mut problems = Vec::new();
    for (i, annotations) in read.iter().enumerate() {
        let mut add = |kind, message: &str| {
            let (file, message) = (annotations.list.clone(), message.into());
            problems.push(Problem { kind, file, line: None, entry: None, message });
        };
        let [own, counting] = [0, 1].map(|which| count(which, &|j| j == i));
        // Others of the same use may make up for it.
        let [learned, scored] = [(0, true), (1, false)].map(|(which, use_of)| count(which, &|j| trains[j] == use_of));
        if trains[i] && learned == 0 {
            add(
                ProblemKind::NoObjects,
                "no image of the split has an object to be learned: annotate some, or name another split",
            );
        } else if !trains[i] && scored == 0 {
            let message = "no image of the split has an object that counts (difficult ones do not), so that nothing can be \
                           scored on it: name another split";
            add(ProblemKind::NoObjects, message);
        } else if counting == 0 && own > 0 {
            let message = "all objects of the split are difficult: they can be learned, but --val and eval need others";
            add(ProblemKind::NothingToScore, message);
        }
    }
    problems
}

fn count_classes(read: &[SourceAnnotations], class_names: &[String]) -> Vec<ClassReport> {
    let empty = |class: &str, known| ClassReport { class: class.into(), known, images: 0, objects: 0, difficult: 0 };
    let mut classes: Vec<_> = class_names.iter().map(|class| empty(class, true)).collect();
    let mut unknown = BTreeMap::new();
    for labelled in read.iter().flat_map(|source| &source.images) {
        let mut seen = BTreeSet::new();
        for AnnotatedObject { object, .. } in labelled.annotated() {
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
        // A box of the whole image belongs to the last bin.
        let inside = |&&size: &&f64| size >= from && (size < to || to == INPUT);
        SizeReport { from, to, objects: sizes.iter().filter(inside).count() }
    };
    SIZE_EDGES.windows(2).map(bin).collect()
}

/// Images that are there twice, by name within a split, by pixels anywhere: each with the positions of its source and in it.
fn duplicates(read: &[SourceAnnotations], found: &[Vec<Looked>]) -> Vec<(usize, usize, Problem)> {
    let mut problems = Vec::new();
    let mut first_of_digest: HashMap<&[u8; 32], (&str, String, Option<usize>)> = HashMap::new();
    for (source, (SourceAnnotations { list, images, .. }, found)) in read.iter().zip(found).enumerate() {
        let mut first_of_name = BTreeMap::new();
        for (i, (Labelled { listed, .. }, Looked { digest, .. })) in images.iter().zip(found).enumerate() {
            let Listed { name, line, .. } = listed;
            let mut add = |kind, message| {
                problems.push((source, i, Problem { kind, file: list.clone(), line: *line, entry: None, message }));
            };
            match first_of_name.entry(listed.image.path()) {
                Entry::Occupied(first) => {
                    let first: &Option<usize> = first.get();
                    let place = first.map_or("there twice".into(), |line| format!("in line {line} too"));
                    add(ProblemKind::DuplicateName, format!("\"{name}\" is {place}: take one of them out"));
                    continue;
                }
                Entry::Vacant(entry) => entry.insert(*line),
            };
            let Some(digest) = digest else { continue };
            if let Some((other, list, line)) = first_of_digest.get(digest) {
                let place = line.map(|line| format!(":{line}")).unwrap_or_default();
                let message =
                    format!("\"{name}\" is the same image as \"{other}\" ({list}{place}): take one of them out");
                add(ProblemKind::DuplicateImage, message);
            } else {
                first_of_digest.insert(digest, (name, list.display().to_string(), *line));
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
    fn sizes_are_counted_up_to_the_whole_image() {
        let sizes = histogram(&[0.0, 7.9, 8.0, 255.9, 256.0, 416.0, 420.0]);
        let counts: Vec<_> = sizes.iter().map(|size| size.objects).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 1, 3]);
    }

    #[test]
    fn good_data_are_counted() {
        let voc = VocBuilder::new();
        let dog = object("dog", [1.0, 1.0, 40.0, 30.0]);
        let difficult = dog.replace("<bndbox>", "<difficult>1</difficult><bndbox>").replace("<xmin>1<", "<xmin>2<");
        voc.image("a", 40, 30, &format!("{dog}{difficult}"));
        voc.image("b", 41, 30, "");
        voc.split("train", &["a", "b"]);
        let given = ["cat", "dog"].map(String::from);
        let report = check(&[voc.source("train")], Some(&given), &Reading::default()).unwrap().report;
        assert_eq!(report.problems, []);
        assert_eq!((report.sources[0].images, report.sources[0].objects), (2, 2));
        let dogs = ClassReport { class: "dog".into(), known: true, images: 1, objects: 2, difficult: 1 };
        assert_eq!(report.classes[1], dogs);
        assert_eq!((report.classes.len(), report.classes[0].objects), (2, 0));
        assert_eq!(report.box_sizes.last().unwrap().objects, 2);
    }

    #[test]
    fn repeated_and_damaged_images_are_found() {
        let voc = VocBuilder::new();
        let dog = object("dog", [1.0, 1.0, 9.0, 9.0]);
        for name in ["a", "b"] {
            voc.image(name, 40, 30, &dog);
        }
        voc.image("c", 40, 30, &dog);
        voc.copy("a", "twin");
        voc.cut("c");
        voc.split("train", &["a", "b", "", "a", "c"]);
        voc.split("val", &["twin", "b"]);
        let report = check(&[voc.source("train"), voc.source("val")], None, &Reading::default()).unwrap().report;
        let found: Vec<_> = report.problems.iter().map(|p| (p.kind, p.line)).collect();
        use ProblemKind::*;
        let expected =
            [(CorruptImage, None), (DuplicateName, Some(4)), (DuplicateImage, Some(1)), (DuplicateImage, Some(2))];
        assert_eq!(found, expected, "{:#?}", report.problems);
        let twin = report.problems[2].to_string();
        assert!(twin.contains("val.txt:1") && twin.contains("\"a\"") && twin.contains("train.txt:1"), "{twin}");
    }

    fn kinds(voc: &VocBuilder, splits: &[&str]) -> Vec<(ProblemKind, String)> {
        let sources: Vec<_> = splits.iter().map(|split| voc.source(split)).collect();
        let problems = check(&sources, None, &Reading::default()).unwrap().report.problems;
        problems.into_iter().map(|problem| (problem.kind, problem.to_string())).collect()
    }

    #[test]
    fn splits_are_compared() {
        let voc = VocBuilder::new();
        let dog = object("dog", [1.0, 1.0, 9.0, 9.0]);
        voc.image("a", 40, 30, &dog);
        voc.image("b", 41, 30, &format!("{dog}{0}{0}", object("star", [1.0, 1.0, 9.0, 9.0])));
        voc.image("c", 42, 30, &object("star", [1.0, 1.0, 9.0, 9.0]));
        voc.image("d", 43, 30, "");
        voc.image("e", 44, 30, &dog.replace("<bndbox>", "<difficult>1</difficult><bndbox>"));
        voc.image("f", 45, 30, &dog.replace("dog", "Dog"));
        for (split, names) in [
            ("train", &["a"][..]),
            ("val", &["b", "c"]),
            ("empty", &["d"]),
            ("difficult", &["e"]),
            ("mixed", &["d", "a"]),
            ("train_Dog", &["f"]),
        ] {
            voc.split(split, names);
        }
        use ProblemKind::*;
        let only = |splits: &[&str]| kinds(&voc, splits).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        assert_eq!(only(&["train", "mixed"]), [DuplicateImage]);
        let unseen = kinds(&voc, &["val", "train"]);
        let stars: Vec<_> = unseen.iter().filter(|(kind, _)| *kind == UnseenClass).collect();
        assert_eq!(stars.len(), 1, "{unseen:?}");
        assert!(stars[0].1.contains("b.xml:6") && stars[0].1.contains("\"star\""), "{unseen:?}");
        assert_eq!(only(&["train", "empty"]), [NoObjects]);
        assert_eq!(only(&["empty"]), [NoObjects]);
        assert_eq!(only(&["train", "difficult"]), [NoObjects]);
        assert_eq!(only(&["difficult"]), [NothingToScore]);
        assert_eq!(only(&["train", "train_Dog"]), [SimilarClass]);
    }
}

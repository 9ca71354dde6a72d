//! Where labelled images come from: the splits of data sets.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use rayon::prelude::*;
use shared_model::voc::{AnnotatedObject, Annotation};

use super::class_list::{self, ClassList};
use super::files::DataFile;
use super::formats;
use super::problem::{Problem, read_annotation};
use super::voc::VocFolder;

/// A split of a data set, on the command line `FOLDER:SPLIT`, `data.yaml:SPLIT` or `FILE.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A folder in Pascal VOC's layout or a tar archive of one, a folder in COCO's or YOLO's layout, a `data.yaml`, or
    /// COCO's JSON.
    pub folder: PathBuf,
    /// Name of the split; empty where none was named (see [`Source::in_role`]). To a JSON file, the folder of its images.
    pub split: String,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (folder, split) = match text.rsplit_once(':') {
            Some((_, "")) => ("", ""),
            Some(parts) => parts,
            None => (text, ""),
        };
        if folder.is_empty() {
            return Err("a data set is needed, as in VOCdevkit/VOC2007:trainval, VOC2007.tar:trainval, data.yaml or \
                 instances_train.json"
                .into());
        }
        Ok(Self { folder: folder.into(), split: split.into() })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split.as_str() {
            "" => write!(f, "{}", self.folder.display()),
            split => write!(f, "{}:{split}", self.folder.display()),
        }
    }
}

/// The classes of several sources together: those that data sets list, in their order, then those that occur in data sets
/// without a list (Pascal VOC's), in the order of the alphabet (see [`class_list::of_names`]).
///
/// # Errors
/// Fails where a source has no such split.
pub fn class_names(sources: &[Source]) -> Result<Vec<String>> {
    Ok(classes_of(&sources.iter().map(SourceAnnotations::read).collect::<Result<Vec<_>>>()?).names)
}

pub(super) fn classes_of<'a>(sources: impl IntoIterator<Item = &'a SourceAnnotations>) -> ClassList {
    let (listed, unlisted): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.classes.is_some());
    let objects = unlisted.into_iter().flat_map(|source| &source.images).flat_map(Labelled::annotated);
    let occurring = class_list::of_names(objects.map(|annotated| annotated.object.class.as_str()));
    let listed = listed.into_iter().flat_map(|source| &source.classes).flatten().map(|class| class.name.clone());
    let mut names: Vec<String> = Vec::new();
    for name in listed.chain(occurring.names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    ClassList { names, origin: occurring.origin }
}

/// All classes of several sources with numbers: those that data sets list have theirs, unless an earlier one has that
/// already; others follow in the order of the alphabet.
pub(super) fn numbered_classes(sources: &[SourceAnnotations]) -> Vec<NumberedClass> {
    let mut classes: Vec<NumberedClass> = Vec::new();
    let mut add = |name: &str, id: Option<i64>| {
        if classes.iter().all(|known| known.name != name) {
            let is_free = |id: &i64| classes.iter().all(|known| known.id != *id);
            let next = || {
                let greatest = classes.iter().map(|known| known.id).max().unwrap_or_default();
                greatest.checked_add(1).or_else(|| (1..).find(is_free)).expect("there are fewer classes than numbers")
            };
            let id = id.filter(is_free).unwrap_or_else(next);
            classes.push(NumberedClass { name: name.into(), id });
        }
    };
    for class in sources.iter().flat_map(|source| &source.classes).flatten() {
        add(&class.name, Some(class.id));
    }
    let objects = sources.iter().flat_map(|source| &source.images).flat_map(Labelled::annotated);
    let occurring: BTreeSet<&str> = objects.map(|annotated| annotated.object.class.as_str()).collect();
    occurring.into_iter().for_each(|name| add(name, None));
    classes
}

/// The annotations of a source.
pub(super) struct SourceAnnotations {
    /// The file or folder that says which images there are.
    pub(super) list: PathBuf,
    pub(super) images: Vec<Labelled>,
    /// The classes, where the data set lists them.
    pub(super) classes: Option<Vec<NumberedClass>>,
}

/// A class with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedClass {
    pub name: String,
    /// COCO's number of it; elsewhere its place in the list, from 1.
    pub id: i64,
}

/// An image of a split.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, without extension where the format's lists have none.
    pub name: String,
    /// The line of the split's list that it is in, from 1; `None` where there is no list.
    pub line: Option<usize>,
    /// Its file, which may be missing.
    pub image: DataFile,
    /// The file with what is in it, which may be missing.
    pub annotation: DataFile,
    /// A file that it may be, where it is missing: its name differs by case only.
    pub similar: Option<String>,
}

/// An image of a split with its labels.
pub(super) struct Labelled {
    pub(super) listed: Listed,
    /// COCO's number of it; elsewhere its place in the split, from 1.
    pub(super) image_id: i64,
    /// Its annotation, where that can be read.
    pub(super) annotation: Result<Annotation, Problem>,
}

impl Labelled {
    /// What its annotation says is in it.
    pub(super) fn annotated(&self) -> impl Iterator<Item = &AnnotatedObject> {
        self.annotation.iter().flat_map(|annotation| &annotation.objects)
    }
}

impl SourceAnnotations {
    pub(super) fn read(source: &Source) -> Result<Self> {
        formats::read(source)
    }

    pub(super) fn of_voc(folder: &VocFolder, split: &str) -> Result<Self> {
        let read = |(i, listed): (usize, Listed)| {
            let annotation = read_annotation(&listed.annotation);
            Labelled { listed, image_id: i as i64 + 1, annotation }
        };
        let images = folder.split(split)?.into_par_iter().enumerate().map(read).collect();
        Ok(Self { list: folder.split_list(split).path().into(), images, classes: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_their_numbers_and_others_get_the_next() {
        let class = |(name, id): (&str, i64)| NumberedClass { name: name.into(), id };
        let object = |class: &str| AnnotatedObject {
            object: shared_model::voc::VocObject {
                class: class.into(),
                difficult: false,
                bbox: shared_model::voc::VocBox { xmin: 1.0, ymin: 1.0, xmax: 2.0, ymax: 2.0 },
            },
            class_line: 1,
            box_line: 1,
            coco: None,
        };
        let source = |classes: Option<Vec<NumberedClass>>, objects: &[&str]| {
            let file = DataFile::on_disk("a");
            let listed = Listed { name: "a".into(), line: None, image: file.clone(), annotation: file, similar: None };
            let objects = objects.iter().map(|class| object(class)).collect();
            let annotation = Ok(Annotation { objects, ..Annotation::default() });
            SourceAnnotations { list: "a".into(), images: vec![Labelled { listed, image_id: 1, annotation }], classes }
        };
        let listed = |classes: &[(&str, i64)]| Some(classes.iter().copied().map(class).collect());
        let sources = [
            source(None, &["ring", "disc", "cat"]),
            source(listed(&[("zebra", 17), ("cat", 2)]), &["cat"]),
            source(listed(&[("cat", 1), ("star", 17)]), &[]),
        ];
        let expected = [("zebra", 17), ("cat", 2), ("star", 18), ("disc", 19), ("ring", 20)].map(class);
        assert_eq!(numbered_classes(&sources), expected);
        assert_eq!(classes_of(&sources).names, ["zebra", "cat", "star", "disc", "ring"]);
        assert_eq!(numbered_classes(&sources[..1]), [("cat", 1), ("disc", 2), ("ring", 3)].map(class));
    }

    #[test]
    fn sources_are_folder_and_split() {
        let source: Source = "a:b/VOC:train".parse().unwrap();
        assert_eq!((source.folder.to_str(), source.split.as_str()), (Some("a:b/VOC"), "train"));
        assert_eq!(source.to_string(), "a:b/VOC:train");
        let whole: Source = "set/data.yaml".parse().unwrap();
        assert_eq!((whole.split.as_str(), whole.to_string().as_str()), ("", "set/data.yaml"));
        for text in ["", "VOC:", ":train"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}

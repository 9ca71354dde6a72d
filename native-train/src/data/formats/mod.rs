//! The formats that data sets come in, known by what is named: Pascal VOC's folders, COCO's JSON, and YOLO's text with
//! ultralytics' `data.yaml`. Whatever the format, what is read is VOC's [`Annotation`](shared_model::voc::Annotation).

mod coco;
mod yaml;
mod yaml_node;
mod yolo;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::list::is_of_the_system;
use super::source::{Source, SourceAnnotations};
use super::voc::{self, VocFolder};

/// A format of data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Pascal VOC: an XML file an image, in the folders JPEGImages, Annotations and ImageSets.
    Voc,
    /// COCO: a JSON file a split.
    Coco,
    /// YOLO: a text file an image, and data.yaml.
    Yolo,
}

/// What a split is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To learn from.
    Train,
    /// To choose the best weights by.
    Val,
    /// To be scored on.
    Eval,
}

impl Format {
    /// The format of what lies at `path`. What is of none is taken for Pascal VOC's, which then says what is missing.
    pub fn of(path: &Path) -> Self {
        match extension(path).as_str() {
            "json" => Self::Coco,
            "yaml" | "yml" => Self::Yolo,
            _ if voc::is_folder(path) => Self::Voc,
            _ if yolo::is_folder(path) => Self::Yolo,
            // Any JSON beside a folder such as VOC2007 is no reason to pass that over.
            _ if !coco::splits(path).is_empty() && VocFolder::open(path).is_err() => Self::Coco,
            _ => Self::Voc,
        }
    }
}

impl Source {
    /// The split of this source that serves `role`, where none is named.
    ///
    /// # Errors
    /// Fails where there is none, or there are several, naming them.
    pub fn in_role(&self, role: Role) -> Result<Self> {
        if !self.split.is_empty() || is_one_split(&self.folder) {
            return Ok(self.clone());
        }
        let wanted = match role {
            Role::Train => &["train"][..],
            Role::Val => &["val"],
            Role::Eval => &["test", "val"],
        };
        let Some(splits) = splits(&self.folder)? else {
            // Which one is meant to be learned is nobody's guess.
            ensure!(role == Role::Eval, self.needs_split());
            return Ok(Self { split: wanted[0].into(), ..self.clone() });
        };
        let found = wanted.iter().find_map(|wanted| find_split(&splits, wanted));
        let split = found.with_context(|| no_split(&self.folder, wanted[0], &splits))?;
        Ok(Self { split: split.into(), ..self.clone() })
    }

    fn needs_split(&self) -> String {
        format!("{self} needs a split, as in VOCdevkit/VOC2007:trainval or VOC2007.tar:trainval")
    }

    /// This source, or one for each split where none is named.
    ///
    /// # Errors
    /// Fails where a data set's list of splits cannot be read; and for Pascal VOC's lists, which overlap.
    pub fn in_splits(&self) -> Result<Vec<Self>> {
        if !self.split.is_empty() || is_one_split(&self.folder) {
            return Ok(vec![self.clone()]);
        }
        let splits = splits(&self.folder)?.with_context(|| self.needs_split())?;
        ensure!(!splits.is_empty(), "{} names no split: add train or val to it", self.folder.display());
        Ok(splits.into_iter().map(|split| Self { split, ..self.clone() }).collect())
    }

    /// What its split is called: that of a COCO file by the file's name.
    pub(crate) fn split_name(&self) -> String {
        if !is_one_split(&self.folder) {
            return self.split.clone();
        }
        match self.folder.parent().filter(|_| file_name(&self.folder) == coco::ROBOFLOW) {
            Some(folder) => file_name(folder),
            None => coco::split_of(&self.folder),
        }
    }

    /// This source, if its paths are relative to the folder `base`.
    pub(crate) fn below(&self, base: &Path) -> Self {
        // To a file, the folder of its images.
        let images = Some(&self.split).filter(|split| is_one_split(&self.folder) && !split.is_empty());
        let split = images.map(|images| base.join(images).display().to_string());
        Self { folder: base.join(&self.folder), split: split.unwrap_or_else(|| self.split.clone()) }
    }
}

/// The splits of `sources` that serve `role`: see [`Source::in_role`].
///
/// # Errors
/// As for [`Source::in_role`].
pub fn in_role(sources: &[Source], role: Role) -> Result<Vec<Source>> {
    sources.iter().map(|source| source.in_role(role)).collect()
}

/// Whether there is nothing to choose from: a single COCO file.
fn is_one_split(path: &Path) -> bool {
    extension(path) == "json"
}

/// The splits of a data set; `None` where they overlap, as Pascal VOC's lists do (`trainval` has all of `train`).
fn splits(folder: &Path) -> Result<Option<Vec<String>>> {
    match Format::of(folder) {
        Format::Voc => Ok(VocFolder::open(folder)?.splits_apart().map(<[String]>::to_vec)),
        Format::Coco => Ok(Some(coco::splits(folder).into_iter().map(|(split, _)| split).collect())),
        Format::Yolo => yolo::splits(folder).map(Some),
    }
}

/// Reads the annotations of a source, in whatever format.
pub(super) fn read(source: &Source) -> Result<SourceAnnotations> {
    match Format::of(&source.folder) {
        Format::Voc => {
            ensure!(!source.split.is_empty(), source.needs_split());
            SourceAnnotations::of_voc(&VocFolder::open(&source.folder)?, &source.split)
        }
        Format::Coco => coco::read(source),
        Format::Yolo => yolo::read(source),
    }
}

/// The split that is called `wanted`, or that others call so: `valid` is `val`, and so is `val2017`.
fn find_split<'a>(splits: &'a [String], wanted: &str) -> Option<&'a str> {
    let exact = splits.iter().find(|split| *split == wanted);
    let mut alike = splits.iter().filter(|split| common_name(split) == common_name(wanted));
    let only = alike.next().filter(|_| alike.next().is_none());
    exact.or(only).map(String::as_str)
}

fn common_name(split: &str) -> String {
    let name = split.to_ascii_lowercase();
    match without_year(&name) {
        "valid" | "validation" => "val".into(),
        "training" => "train".into(),
        "testing" => "test".into(),
        other => other.into(),
    }
}

/// Without a year from 1900 on at its end, and what joins it to the name.
fn without_year(name: &str) -> &str {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (name_alone, year) = name.split_at(name.len() - digits);
    let is_year = year.len() == 4 && (year.starts_with("19") || year.starts_with("20"));
    if is_year { name_alone.trim_end_matches(['_', '-']) } else { name }
}

fn no_split(folder: &Path, split: &str, splits: &[String]) -> String {
    let folder = folder.display();
    match splits {
        [] => format!("there is no split in {folder}"),
        splits => format!("there is no split \"{split}\" in {folder}: the splits are {}", splits.join(", ")),
    }
}

/// In lower case; empty without one.
fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The entries of a folder in the order of their names, without what systems leave there; none where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut entries: Vec<_> =
        entries.filter(|entry| !is_of_the_system(Path::new(&entry.file_name()))).map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_known_by_their_common_names() {
        let splits = ["train2017", "valid", "test_a", "test_b"].map(String::from);
        assert_eq!(find_split(&splits, "train"), Some("train2017"));
        assert_eq!(find_split(&splits, "val"), Some("valid"));
        assert_eq!(find_split(&splits, "test_b"), Some("test_b"));
        assert_eq!(find_split(&splits, "test"), None);
        assert_eq!(find_split(&["train2".into()], "train"), None, "a number is no year");
        assert_eq!(find_split(&["test_2007".into()], "test"), Some("test_2007"));
        assert_eq!(find_split(&["val2014", "val2017"].map(String::from), "val"), None, "which one?");
    }

    #[test]
    fn a_split_is_chosen_by_what_it_is_wanted_for() {
        let folder = tempfile::tempdir().unwrap();
        let put =
            |path: &str, text: &str| crate::files::write_atomic(&folder.path().join(path), text.as_bytes()).unwrap();
        put("coco/annotations/instances_train2017.json", "{}");
        put("coco/annotations/instances_val2017.json", "{}");
        put("roboflow/train/a.xml", "");
        put("roboflow/valid/b.xml", "");
        put("voc/ImageSets/Main/train.txt", "a");
        put("voc/JPEGImages/a.jpg", "");
        put("voc/Annotations/a.xml", "");
        let source = |set: &str| Source { folder: folder.path().join(set), split: String::new() };
        for (set, role, split) in [
            ("coco", Role::Train, Some("train2017")),
            ("coco", Role::Eval, Some("val2017")),
            ("roboflow", Role::Val, Some("valid")),
            ("voc", Role::Train, None),
            ("voc", Role::Eval, Some("test")),
            ("coco/annotations/instances_val2017.json", Role::Train, Some("")),
        ] {
            let chosen = source(set).in_role(role).map(|source| source.split);
            assert_eq!(chosen.as_deref().ok(), split, "{set}, {role:?}: {chosen:?}");
        }
        let splits = |set: &str| source(set).in_splits().map(|splits| splits.iter().map(Source::split_name).collect());
        let names: Vec<Vec<String>> = ["coco", "roboflow"].map(|set| splits(set).unwrap()).into();
        assert_eq!(names, [["train2017", "val2017"], ["train", "valid"]]);
        assert!(splits("voc").map(|_: Vec<String>| ()).unwrap_err().to_string().contains("needs a split"));
    }

    #[test]
    fn names_of_splits_are_those_of_files_and_both_paths_follow_the_folder() {
        for (path, name) in [
            ("a/instances_val2017.json", "val2017"),
            ("a/train.json", "train"),
            ("set/valid/_annotations.coco.json", "valid"),
            ("data.yaml:test", "test"),
        ] {
            assert_eq!(path.parse::<Source>().unwrap().split_name(), name, "{path}");
        }
        let below = |text: &str| text.parse::<Source>().unwrap().below(Path::new("/then")).to_string();
        assert_eq!(below("a/b.json:photos"), "/then/a/b.json:/then/photos");
        assert_eq!(below("a/data.yaml:val"), "/then/a/data.yaml:val");
    }

    #[test]
    fn formats_are_known_by_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let put =
            |path: &str, text: &str| crate::files::write_atomic(&folder.path().join(path), text.as_bytes()).unwrap();
        for (set, file, format) in [
            ("voc", "JPEGImages/a.jpg", Format::Voc),
            ("lower", "imagesets/main/train.txt", Format::Voc),
            ("kit", "VOC2007/JPEGImages/a.jpg", Format::Voc),
            ("nothing", "a.jpg", Format::Voc),
            ("yolo", "data.yaml", Format::Yolo),
            ("named", "pets.yml", Format::Yolo),
            ("darknet", "labels/a.txt", Format::Yolo),
            ("coco", "annotations/instances_val2017.json", Format::Coco),
            ("roboflow", "valid/_annotations.coco.json", Format::Coco),
            ("split", "_annotations.coco.json", Format::Coco),
        ] {
            put(&format!("{set}/{file}"), "names: [cat]");
            put("darknet/images/a.jpg", "");
            put("kit/notes.json", "{}");
            put("kit/VOC2007/ImageSets/Main/train.txt", "a");
            put("kit/VOC2007/Annotations/a.xml", "");
            assert_eq!(Format::of(&folder.path().join(set)), format, "{set}");
        }
        assert_eq!(Format::of(Path::new("x/data.YAML")), Format::Yolo);
        assert_eq!(Format::of(Path::new("x/a.json")), Format::Coco);
        assert_eq!(Format::of(Path::new("x.tar")), Format::Voc);
    }
}

//! Folders in the layout of Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>), and archives of them. Roboflow's exports
//! in this format have a folder for each split instead, with images and annotations side by side.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow, bail, ensure};

use super::files::{DataFile, Files};
use super::list::{ImageIndex, names};
use super::source::Listed;
use super::text;

/// The folders that there must be, and what others call them, in lower case.
const PARTS: [(&str, &[&str]); 3] =
    [("JPEGImages", &["jpegimages", "images"]), ("Annotations", &["annotations"]), ("ImageSets", &["imagesets"])];

/// Data sets lie at most so many folders below the one that is named, as in `VOCtrainval/VOCdevkit/VOC2007`.
const DEPTH: usize = 3;

/// No more folders than these are looked into in search of a data set.
const MOST_FOLDERS: usize = 1000;

/// A folder in VOC's layout, or a tar archive of one.
#[derive(Clone, Debug)]
pub struct VocFolder {
    files: Files,
    layout: Layout,
}

#[derive(Clone, Debug)]
enum Layout {
    Voc {
        images: String,
        annotations: String,
        /// The folders that lists may be in, the usual one first.
        lists: Vec<String>,
        index: Arc<OnceLock<ImageIndex>>,
    },
    /// A folder a split, with images and annotations in it.
    Roboflow { splits: Vec<String> },
}

impl VocFolder {
    /// The data set in the folder or archive `root`, or in the only folder of it that holds one.
    ///
    /// # Errors
    /// Fails where there is none or there are several, one of the three folders is missing, or an archive cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        let files = Files::open(root)?;
        let sets =
            find(&files, |files, folder| PARTS.iter().any(|(part, _)| part_of(files, folder, &[part]).is_some()));
        if sets.is_empty() {
            let is_split = |files: &Files, folder: &Path| !splits_in(files, folder).is_empty();
            if let [folder] = &find(&files, is_split)[..] {
                let splits = splits_in(&files, folder);
                return Ok(Self { files: files.at(folder), layout: Layout::Roboflow { splits } });
            }
        }
        if sets.len() > 1 {
            let folders: Vec<_> = sets.iter().map(|folder| format!("\"{}\"", folder.display())).collect();
            let (what, remedy) = match files.is_archive() {
                true => ("the archive ", "make an archive of each"),
                false => ("", "name one of them, as in FOLDER/VOC2007:trainval"),
            };
            let has_lists = |folder: &PathBuf| part_of(&files, folder, &["imagesets"]).is_some();
            let remedy = match sets.iter().any(has_lists) {
                true => remedy,
                false => {
                    "if they are splits, put each one's images and annotations side by side into one folder, as Roboflow's \
                     export has them, or list each one's names in ImageSets/Main/SPLIT.txt"
                }
            };
            let folders = folders.join(", ");
            bail!("{what}{} holds several data sets, in its folders {folders}: {remedy}", root.display());
        }
        if let (true, Some(name)) = (sets.is_empty() && !files.is_archive(), root.file_name())
            && files.below(Path::new(""), 1).iter().any(|file| xml_name(file).is_some())
        {
            bail!(
                "{} has annotations in it, but no folders: a split with images and annotations side by side is named by the \
                 folder that it is in, as in {}:{}",
                root.display(),
                root.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new(".")).display(),
                name.display()
            );
        }
        let files = files.at(sets.first().map_or(Path::new(""), PathBuf::as_path));
        let mut found = Vec::new();
        for (part, names) in PARTS {
            let Some(folder) = part_of(&files, Path::new(""), names) else {
                let hint = match part {
                    "ImageSets" => "; the names of its images belong in ImageSets/Main/SPLIT.txt, one a line",
                    _ => "",
                };
                bail!(
                    "{} is no Pascal VOC folder: it has no {part}{hint}; name the folder that holds JPEGImages, \
                     Annotations and ImageSets (such as VOCdevkit/VOC2007), a .tar archive of it, or Roboflow's export \
                     in this format",
                    files.root().display()
                );
            };
            found.push(folder);
        }
        let [images, annotations, sets] = found.try_into().expect("there are three parts");
        let main = part_of(&files, Path::new(&sets), &["main"]).map(|main| format!("{sets}/{main}"));
        let lists = main.into_iter().chain([sets]).collect();
        Ok(Self { files, layout: Layout::Voc { images, annotations, lists, index: Arc::default() } })
    }

    /// The images of a split, in the order of its list.
    ///
    /// # Errors
    /// Fails where there is no such split (naming those that there are), its list is no text, or it is empty.
    pub fn split(&self, split: &str) -> Result<Vec<Listed>> {
        let list = self.split_list(split);
        let path = list.path().display();
        match &self.layout {
            Layout::Voc { images, annotations, index, .. } => {
                ensure!(list.exists(), self.no_split(split));
                let text = text::read(&list)?;
                let index = index.get_or_init(|| {
                    ImageIndex::new(self.files.below(Path::new(images), usize::MAX).iter().map(String::as_str))
                });
                let listed = names(&text, index).into_iter().map(|(line, name, extension)| {
                    let similar = if extension.is_none() { index.similar(&name) } else { None };
                    let extension = extension.as_deref().unwrap_or("jpg");
                    let image = self.files.file(format!("{images}/{name}.{extension}"));
                    let annotation = self.annotation(annotations, &name);
                    Listed { name, line: Some(line), image, annotation, similar }
                });
                let listed: Vec<_> = listed.collect();
                ensure!(!listed.is_empty(), "the split {path} is empty: list the images' names in it, one a line");
                Ok(listed)
            }
            Layout::Roboflow { splits } => {
                ensure!(splits.iter().any(|known| known == split), self.no_split(split));
                let files = self.files.below(Path::new(split), 1);
                let index = ImageIndex::new(files.iter().map(String::as_str));
                // An annotation whose image is missing is not passed over in silence.
                let annotated = files.iter().filter_map(|file| xml_name(file));
                let names: BTreeSet<&str> = index.names().into_iter().chain(annotated).collect();
                let listed = names.into_iter().map(|name| Listed {
                    name: name.into(),
                    line: None,
                    image: self.files.file(format!("{split}/{name}.{}", index.extension(name).unwrap_or("jpg"))),
                    annotation: self.annotation(split, name),
                    similar: index.extension(name).is_none().then(|| index.similar(name)).flatten(),
                });
                Ok(listed.collect())
            }
        }
    }

    /// The annotation of the image `name`.
    fn annotation(&self, folder: &str, name: &str) -> DataFile {
        let [usual, capital] = ["xml", "XML"].map(|extension| self.files.file(format!("{folder}/{name}.{extension}")));
        if !usual.exists() && capital.exists() { capital } else { usual }
    }

    /// The splits, where they are apart: Pascal VOC's lists overlap, Roboflow's folders do not.
    pub fn splits_apart(&self) -> Option<&[String]> {
        match &self.layout {
            Layout::Voc { .. } => None,
            Layout::Roboflow { splits } => Some(splits),
        }
    }

    /// A split's list; Roboflow's splits have none, but a folder.
    pub fn split_list(&self, split: &str) -> DataFile {
        match &self.layout {
            Layout::Voc { lists, .. } => {
                let names = [".txt", ".TXT", ""].map(|extension| format!("{split}{extension}"));
                let mut files = names
                    .iter()
                    .flat_map(|name| lists.iter().map(move |folder| self.files.file(format!("{folder}/{name}"))));
                let first = files.next().expect("there is a folder of lists");
                if first.exists() { first } else { files.find(DataFile::exists).unwrap_or(first) }
            }
            Layout::Roboflow { .. } => self.files.file(split),
        }
    }

    fn no_split(&self, split: &str) -> anyhow::Error {
        let (folder, splits) = match &self.layout {
            Layout::Voc { lists, .. } => (self.files.file(&lists[0]).path().to_path_buf(), self.splits(lists)),
            Layout::Roboflow { splits } => (self.files.root().to_path_buf(), splits.clone()),
        };
        let splits = match splits.is_empty() {
            true => "list the images' names in a file there, one a line".into(),
            false => format!("the splits are {}", splits.join(", ")),
        };
        anyhow!("there is no split \"{split}\" in {}: {splits}", folder.display())
    }

    /// The splits of whole data sets, without those of single classes (`dog_train.txt` beside `train.txt`).
    fn splits(&self, lists: &[String]) -> Vec<String> {
        let names = lists.iter().flat_map(|folder| self.files.below(Path::new(folder), 1));
        let split = |name: String| match name.rsplit_once('.') {
            Some((split, extension)) => extension.eq_ignore_ascii_case("txt").then(|| split.to_string()),
            None => Some(name),
        };
        let mut splits: Vec<String> = names.filter_map(split).collect();
        splits.sort();
        splits.dedup();
        let of_class =
            |name: &&String| name.rsplit_once('_').is_some_and(|(_, split)| splits.iter().any(|known| known == split));
        splits.iter().filter(|name| !of_class(name)).cloned().collect()
    }
}

/// The folders that `holds` says a data set is in, where they are not too deep: the outermost ones.
fn find(files: &Files, holds: impl Fn(&Files, &Path) -> bool) -> Vec<PathBuf> {
    let mut level = vec![PathBuf::new()];
    for _ in 0..=DEPTH {
        let found: Vec<PathBuf> = level.iter().filter(|folder| holds(files, folder)).cloned().collect();
        if !found.is_empty() {
            return found;
        }
        let inside = level.iter().flat_map(|folder| files.folders(folder).into_iter().map(|name| folder.join(name)));
        level = inside.take(MOST_FOLDERS).collect();
    }
    Vec::new()
}

/// Whether a folder holds such a data set itself, by names that no other format has: `JPEGImages` or `ImageSets`.
pub(super) fn is_folder(folder: &Path) -> bool {
    let has = |files: &Files| part_of(files, Path::new(""), &["jpegimages", "imagesets"]).is_some();
    folder.is_dir() && Files::open(folder).as_ref().is_ok_and(has)
}

/// The folder in `folder` with one of these names, in whatever case; the first name goes first.
fn part_of(files: &Files, folder: &Path, names: &[&str]) -> Option<String> {
    let folders = files.folders(folder);
    let called = |name: &&str| folders.iter().find(|known| known.eq_ignore_ascii_case(name));
    names.iter().find_map(called).cloned()
}

/// The folders in `folder` with annotations in them.
fn splits_in(files: &Files, folder: &Path) -> Vec<String> {
    let inside = |name: &String| files.below(&folder.join(name), 1);
    let is_annotated = |name: &String| inside(name).iter().any(|file| xml_name(file).is_some());
    let has_image = |name: &String| !ImageIndex::new(inside(name).iter().map(String::as_str)).names().is_empty();
    let (splits, others): (Vec<String>, Vec<String>) = files.folders(folder).into_iter().partition(is_annotated);
    // Annotations alone, beside a folder of images alone, are no split.
    let are_apart = !splits.iter().any(has_image) && others.iter().any(has_image);
    if are_apart { Vec::new() } else { splits }
}

/// The name of an annotation's image.
fn xml_name(file: &str) -> Option<&str> {
    file.strip_suffix(".xml").or_else(|| file.strip_suffix(".XML"))
}

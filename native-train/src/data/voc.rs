//! Folders in the layout of Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>), and archives of them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use shared_model::voc::{Annotation, Object};

use super::files::{DataFile, Files};

/// The folders that there must be.
const PARTS: [&str; 3] = ["JPEGImages", "Annotations", SPLITS];

/// The folder with the lists of splits.
const SPLITS: &str = "ImageSets/Main";

/// A folder in VOC's layout, or a tar archive of one.
#[derive(Clone, Debug)]
pub struct VocFolder {
    files: Files,
}

impl VocFolder {
    /// The data set in the folder or archive `root`. In an archive it may be in any one folder.
    ///
    /// # Errors
    /// Fails where one of the three folders is missing, or an archive cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        let files = Files::open(root, &PARTS)?;
        for part in PARTS {
            ensure!(
                files.has_folder(part),
                "{} is no Pascal VOC folder: it has no {part}; name the folder that holds JPEGImages, Annotations and \
                 ImageSets (such as VOCdevkit/VOC2007), or a .tar archive of it",
                root.display()
            );
        }
        Ok(Self { files })
    }

    /// The names of a split's pictures, in the order of its list.
    ///
    /// # Errors
    /// Fails where there is no such split (naming those that there are), or it is empty.
    pub fn split(&self, split: &str) -> Result<Vec<String>> {
        Ok(self.split_lines(split)?.into_iter().map(|(_, name)| name).collect())
    }

    /// The names of a split's pictures, each with its line in the list, from 1.
    ///
    /// # Errors
    /// As for [`VocFolder::split`].
    pub fn split_lines(&self, split: &str) -> Result<Vec<(usize, String)>> {
        let list = self.split_list(split);
        let path = list.path().display();
        if !list.exists() {
            let folder = self.files.file(SPLITS);
            let splits = self.splits().unwrap_or_default().join(", ");
            bail!("there is no split \"{split}\" in {}: the splits are {splits}", folder.path().display());
        }
        let text = list.read_text().with_context(|| path.to_string())?;
        // The lists of single classes have a second column.
        let name = |(i, line): (usize, &str)| Some((i + 1, line.split_whitespace().next()?.to_string()));
        let names: Vec<_> = text.lines().enumerate().filter_map(name).collect();
        ensure!(!names.is_empty(), "the split {path} is empty: list the pictures' names in it, one a line");
        Ok(names)
    }

    /// A split's list.
    pub fn split_list(&self, split: &str) -> DataFile {
        self.files.file(format!("{SPLITS}/{split}.txt"))
    }

    /// A picture.
    pub fn picture(&self, name: &str) -> DataFile {
        self.files.file(format!("JPEGImages/{name}.jpg"))
    }

    /// A picture's annotation.
    pub fn annotation(&self, name: &str) -> DataFile {
        self.files.file(format!("Annotations/{name}.xml"))
    }

    /// The objects in a picture.
    ///
    /// # Errors
    /// Fails, naming the file, where it is missing or is no VOC annotation, or a box is impossible.
    pub fn objects(&self, name: &str) -> Result<Vec<Object>> {
        let file = self.annotation(name);
        let read = || anyhow::Ok(Annotation::parse(&file.read_text()?)?.into_objects()?);
        read().with_context(|| format!("the annotation {} cannot be read", file.path().display()))
    }

    /// The splits of whole data sets, without those of single classes (`dog_train.txt`).
    fn splits(&self) -> Result<Vec<String>> {
        let names = self.files.names(SPLITS)?;
        let splits = names.iter().filter_map(|name| name.strip_suffix(".txt")).filter(|stem| !stem.contains('_'));
        Ok(splits.map(String::from).collect())
    }
}

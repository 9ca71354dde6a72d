//! Folders in the layout of Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`
//! (<http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf>).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use shared_model::voc::{Annotation, Object};

/// A folder in VOC's layout.
#[derive(Clone, Debug)]
pub struct VocFolder {
    root: PathBuf,
}

impl VocFolder {
    /// The data set in the folder `root`.
    ///
    /// # Errors
    /// Fails where one of the three folders is missing.
    pub fn open(root: &Path) -> Result<Self> {
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            ensure!(
                root.join(part).is_dir(),
                "{} is no Pascal VOC folder: it has no {part}; name the folder that holds JPEGImages, Annotations and \
                 ImageSets (such as VOCdevkit/VOC2007)",
                root.display()
            );
        }
        Ok(Self { root: root.into() })
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
        let path = self.split_path(split);
        if !path.is_file() {
            let folder = self.root.join("ImageSets/Main");
            let splits = splits(&folder).unwrap_or_default().join(", ");
            bail!("there is no split \"{split}\" in {}: the splits are {splits}", folder.display());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // The lists of single classes have a second column.
        let name = |(i, line): (usize, &str)| Some((i + 1, line.split_whitespace().next()?.to_string()));
        let names: Vec<_> = text.lines().enumerate().filter_map(name).collect();
        ensure!(!names.is_empty(), "the split {} is empty: list the pictures' names in it, one a line", path.display());
        Ok(names)
    }

    /// Where a split's list is.
    pub fn split_path(&self, split: &str) -> PathBuf {
        self.root.join("ImageSets/Main").join(format!("{split}.txt"))
    }

    /// Where a picture is.
    pub fn picture(&self, name: &str) -> PathBuf {
        self.root.join("JPEGImages").join(format!("{name}.jpg"))
    }

    /// Where a picture's annotation is.
    pub fn annotation_path(&self, name: &str) -> PathBuf {
        self.root.join("Annotations").join(format!("{name}.xml"))
    }

    /// The objects in a picture.
    ///
    /// # Errors
    /// Fails, naming the file, where it is missing or is no VOC annotation, or a box is impossible.
    pub fn objects(&self, name: &str) -> Result<Vec<Object>> {
        let path = self.annotation_path(name);
        let read = || anyhow::Ok(Annotation::parse(&std::fs::read_to_string(&path)?)?.into_objects()?);
        read().with_context(|| format!("the annotation {} cannot be read", path.display()))
    }
}

/// The splits of whole data sets, without those of single classes (`dog_train.txt`).
fn splits(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(stem), Some("txt")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
            && !stem.contains('_')
        {
            names.push(stem.into());
        }
    }
    names.sort();
    Ok(names)
}

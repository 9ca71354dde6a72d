//! Where labelled pictures come from: the splits of data sets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use rayon::prelude::*;
use shared_model::voc::Annotation;

use super::class_list;
use super::problem::{Problem, read_annotation};
use super::voc::VocFolder;

/// A split of a data set, on the command line `FOLDER:SPLIT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A folder in Pascal VOC's layout, or a tar archive of one.
    pub folder: PathBuf,
    /// `ImageSets/Main/SPLIT.txt` lists its pictures.
    pub split: String,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((folder, split)) if !folder.is_empty() && !split.is_empty() => {
                Ok(Self { folder: folder.into(), split: split.into() })
            }
            _ => {
                Err("a folder and a split are needed, as in VOCdevkit/VOC2007:trainval or VOC2007.tar:trainval".into())
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.folder.display(), self.split)
    }
}

/// The classes of several sources together, in the order of the alphabet (see [`class_list::of_names`]).
///
/// # Errors
/// Fails where a source has no such split.
pub fn class_names(sources: &[Source]) -> Result<Vec<String>> {
    Ok(class_names_of(&sources.iter().map(SourceAnnotations::read).collect::<Result<Vec<_>>>()?))
}

pub(super) fn class_names_of(sources: &[SourceAnnotations]) -> Vec<String> {
    let annotations = sources.iter().flat_map(|source| &source.pictures).filter_map(|p| p.annotation.as_ref().ok());
    class_list::of_names(annotations.flat_map(|read| &read.objects).map(|o| o.object.class.as_str()))
}

/// The annotations of a source.
pub(super) struct SourceAnnotations {
    pub(super) folder: VocFolder,
    pub(super) pictures: Vec<Labelled>,
}

/// A picture of a split.
pub(super) struct Labelled {
    pub(super) name: String,
    /// Line of its name in the split's list, from 1.
    pub(super) line: usize,
    /// Its annotation, where that can be read.
    pub(super) annotation: Result<Annotation, Problem>,
}

impl SourceAnnotations {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let folder = VocFolder::open(&source.folder)?;
        let names = folder.split_lines(&source.split)?;
        let read = |(line, name): (usize, String)| {
            let annotation = read_annotation(&folder, &name);
            Labelled { name, line, annotation }
        };
        let pictures = names.into_par_iter().map(read).collect();
        Ok(Self { folder, pictures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_folder_and_split() {
        let source: Source = "a:b/VOC:train".parse().unwrap();
        assert_eq!((source.folder.to_str(), source.split.as_str()), (Some("a:b/VOC"), "train"));
        assert_eq!(source.to_string(), "a:b/VOC:train");
        for text in ["VOC", "VOC:", ":train"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}

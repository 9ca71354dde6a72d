//! The files of a data set, which lie in a folder or in a tar archive of one: whoever reads them need not know which.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use crate::photo::{Photo, PhotoError};

/// A data set's folder, or an archive of it.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    archive: Option<Members>,
}

/// The part of an archive that is the data set.
#[derive(Clone, Debug)]
struct Members {
    archive: Arc<Archive>,
    /// The folder in the archive that the data set's folders are in.
    prefix: PathBuf,
}

impl Files {
    /// The files in the folder or archive `root`. An archive may have the folders `parts` at its root or in any one folder
    /// of it, which need not be named.
    ///
    /// # Errors
    /// Fails where an archive cannot be read, or has `parts` in several folders. A folder is not looked into.
    pub fn open(root: &Path, parts: &[&str]) -> Result<Self> {
        let is_archive = root.is_file() || root.extension().is_some_and(|extension| extension == "tar");
        let archive = if is_archive { Some(Members::open(root, parts)?) } else { None };
        Ok(Self { root: root.into(), archive })
    }

    /// The file at `path`, below the data set's folder; it may be missing.
    pub fn file(&self, path: impl AsRef<Path>) -> DataFile {
        let member = self
            .archive
            .as_ref()
            .map(|Members { archive, prefix }| Member { archive: Arc::clone(archive), name: prefix.join(&path) });
        DataFile { path: self.root.join(path), member }
    }

    /// Whether there is a folder `folder`; in an archive, whether there is something in it.
    pub fn has_folder(&self, folder: &str) -> bool {
        match &self.archive {
            Some(members) => members.names().any(|name| name.starts_with(folder)),
            None => self.root.join(folder).is_dir(),
        }
    }

    /// The names of the files in a folder, in the order of the alphabet.
    ///
    /// # Errors
    /// Fails, naming the folder, where it cannot be read.
    pub fn names(&self, folder: &str) -> Result<Vec<String>> {
        let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
        let mut names: Vec<String> = match &self.archive {
            Some(members) => {
                let inside = members.names().filter(|name| name.parent() == Some(Path::new(folder)));
                inside.filter_map(|name| name.file_name().map(text)).collect()
            }
            None => {
                let folder = self.root.join(folder);
                let read = || folder.read_dir()?.map(|entry| Ok(text(&entry?.file_name()))).collect::<io::Result<_>>();
                read().with_context(|| folder.display().to_string())?
            }
        };
        names.sort();
        Ok(names)
    }
}

impl Members {
    fn open(root: &Path, parts: &[&str]) -> Result<Self> {
        let archive = Archive::open(root)?;
        let prefixes: BTreeSet<&Path> = archive.members().filter_map(|name| prefix(name, parts)).collect();
        if prefixes.len() > 1 {
            let folders: Vec<_> = prefixes.iter().map(|prefix| format!("\"{}\"", prefix.display())).collect();
            bail!(
                "the archive {} holds several data sets, in its folders {}: make an archive of each",
                root.display(),
                folders.join(", ")
            );
        }
        let prefix = prefixes.into_iter().next().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self { archive: Arc::new(archive), prefix })
    }

    /// The files of the data set, below its folder.
    fn names(&self) -> impl Iterator<Item = &Path> {
        self.archive.members().filter_map(|name| name.strip_prefix(&self.prefix).ok())
    }
}

/// What stands before one of `parts` in the name of a file in it.
fn prefix<'a>(name: &'a Path, parts: &[&str]) -> Option<&'a Path> {
    let holds = |folder: &&Path| {
        let below = name.strip_prefix(folder).unwrap_or(name);
        parts.iter().any(|part| below.starts_with(part) && below != Path::new(part))
    };
    // The outermost one, if there are several.
    name.ancestors().skip(1).filter(holds).last()
}

/// A file of a data set: on disk, or a member of an archive.
#[derive(Clone, Debug)]
pub struct DataFile {
    path: PathBuf,
    member: Option<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    archive: Arc<Archive>,
    name: PathBuf,
}

/// Files are the same where they lie at the same place.
impl PartialEq for DataFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl DataFile {
    /// Where it lies, for people: a member of an archive as if the archive were a folder, `VOC2007.tar/JPEGImages/1.jpg`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        match &self.member {
            Some(Member { archive, name }) => archive.contains(name),
            None => self.path.is_file(),
        }
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// As the file system's; it does not name the file.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match &self.member {
            Some(Member { archive, name }) => archive.read(name),
            None => std::fs::read(&self.path),
        }
    }

    /// All of its text.
    ///
    /// # Errors
    /// As [`DataFile::read`], and where it is not in UTF-8.
    pub fn read_text(&self) -> io::Result<String> {
        String::from_utf8(self.read()?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Width and height of the picture that it is: see [`Photo::size`].
    ///
    /// # Errors
    /// As for [`Photo::size`], and where it cannot be read.
    pub fn photo_size(&self) -> Result<[usize; 2], PhotoError> {
        Photo::size(&self.read()?)
    }

    /// The picture that it is.
    ///
    /// # Errors
    /// As for [`Photo::decode`], and where it cannot be read.
    pub fn photo(&self) -> Result<Photo, PhotoError> {
        Photo::decode(&self.read()?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::testing::{VocBuilder, rectangles};
    use crate::data::voc::VocFolder;
    use crate::data::{Difficult, Source, TrainingSet};

    /// A file of these bytes called `voc.tar`, in a folder that is removed at the end.
    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voc.tar");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn open(bytes: &[u8], split: &str) -> Result<TrainingSet> {
        let (_folder, path) = file(bytes);
        TrainingSet::open(&[Source { folder: path, split: split.into() }], None, Difficult::Learn)
    }

    #[test]
    fn an_archive_holds_the_set_of_its_folder_wherever_it_lies_in_it() {
        let (voc, set) = rectangles();
        for prefix in [".", "VOC2007", "VOCdevkit/VOC2007"] {
            let archived = open(&voc.archive(&[prefix]), "train").unwrap();
            assert_eq!((&archived.class_names, &archived.warnings), (&set.class_names, &set.warnings), "{prefix}");
            assert_eq!(archived.items.len(), 6);
            for (found, expected) in archived.items.iter().zip(&set.items) {
                assert_eq!((&found.name, &found.boxes), (&expected.name, &expected.boxes), "{prefix}");
                assert!(found.picture.path().ends_with(format!("voc.tar/JPEGImages/{}.jpg", found.name)));
                assert!(found.picture.exists());
                assert_eq!(found.picture.read().unwrap(), expected.picture.read().unwrap());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_an_archive_is_said_with_a_remedy() {
        let (voc, _) = rectangles();
        let good = voc.archive(&["VOC2007"]);
        let name = b"VOC2007/JPEGImages/colour2.jpg";
        let header = good.windows(name.len()).position(|bytes| bytes == name).unwrap();
        let mut damaged = good.clone();
        damaged[header..header + 100].fill(b'?');
        let two = voc.archive(&["VOCdevkit/VOC2007", "VOCdevkit/VOC2012"]);
        let bare = VocBuilder::new();
        bare.split("train", &["a"]);
        for (what, bytes, split, expected) in [
            ("empty", &[][..], "train", &["voc.tar is empty", "again"][..]),
            ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\0", "train", &["compressed (gzip)", "gunzip"]),
            ("text", &[b'x'; 2000], "train", &["voc.tar is no tar archive", "name a folder"]),
            ("in a header", &good[..header + 100], "train", &["voc.tar is cut short", "again"]),
            ("before a header", &good[..header], "train", &["voc.tar is cut short", "again"]),
            ("in a member", &good[..header + 530], "train", &["voc.tar/VOC2007/JPEGImages/colour2.jpg is cut short"]),
            ("damaged", &damaged, "train", &["voc.tar is damaged behind byte", "again"]),
            ("two", &two, "train", &["several data sets", "VOCdevkit/VOC2012", "an archive of each"]),
            ("no folder", &bare.archive(&["."]), "train", &["voc.tar is no Pascal VOC folder", "no JPEGImages"]),
            ("no split", &good, "test", &["no split \"test\"", "voc.tar/ImageSets/Main", "the splits are train"]),
        ] {
            let error = format!("{:#}", open(bytes, split).expect_err(what));
            assert!(expected.iter().all(|part| error.contains(part)), "{what}: {error}");
        }
        let missing = format!("{:#}", VocFolder::open(Path::new("nowhere/voc.tar")).unwrap_err());
        assert!(missing.contains("nowhere/voc.tar cannot be opened"), "{missing}");
    }

    #[test]
    fn damaged_and_missing_members_are_named() {
        let (voc, _) = rectangles();
        voc.cut("colour3");
        voc.split("train", &["colour3", "gone"]);
        let error = format!("{:#}", open(&voc.archive(&["a"]), "train").unwrap_err());
        assert!(error.contains("voc.tar/JPEGImages/gone.jpg: the picture is missing"), "{error}");
        let (_folder, path) = file(&voc.archive(&["a"]));
        let picture = VocFolder::open(&path).unwrap().picture("colour3");
        assert!(picture.photo().unwrap_err().to_string().contains("damaged or cut short"));
        // Whoever holds an archive open may meet with its being overwritten.
        fs::write(&path, b"").unwrap();
        let error = picture.photo().unwrap_err().to_string();
        assert!(error.contains("shorter since it was opened"), "{error}");
    }
}

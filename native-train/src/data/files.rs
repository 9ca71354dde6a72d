//! The files of a data set, which lie in a folder or in a tar archive of one: whoever reads them need not know which.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use walkdir::WalkDir;

use super::archive::Archive;
use super::list::is_of_the_system;
use crate::photo::{Photo, PhotoError, PhotoHeader};

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
    /// The files in the folder or archive `root`.
    ///
    /// # Errors
    /// Fails where there is none, or an archive cannot be read. A folder is not looked into.
    pub fn open(root: &Path) -> Result<Self> {
        let is_archive = root.is_file() || root.extension().is_some_and(|extension| extension == "tar");
        let archive = match is_archive {
            true => Some(Members { archive: Arc::new(Archive::open(root)?), prefix: PathBuf::new() }),
            false => None,
        };
        ensure!(is_archive || root.is_dir(), "there is no folder or archive {}: mend its name", root.display());
        Ok(Self { root: root.into(), archive })
    }

    /// The files in the folder `folder` of this one. Paths of files in an archive are told as if it held nothing else.
    pub fn at(&self, folder: &Path) -> Self {
        match &self.archive {
            Some(Members { archive, prefix }) => {
                let members = Members { archive: Arc::clone(archive), prefix: prefix.join(folder) };
                Self { root: self.root.clone(), archive: Some(members) }
            }
            // Joining nothing would add a slash.
            None if folder == Path::new("") => self.clone(),
            None => Self { root: self.root.join(folder), archive: None },
        }
    }

    /// Where they are, for people.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether they are in an archive.
    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// The file at `path`, below the data set's folder; it may be missing.
    pub fn file(&self, path: impl AsRef<Path>) -> DataFile {
        let member = self
            .archive
            .as_ref()
            .map(|Members { archive, prefix }| Member { archive: Arc::clone(archive), name: prefix.join(&path) });
        DataFile { path: self.root.join(path), member }
    }

    /// The names of the folders in a folder, in the order of the alphabet; those of an archive have something in them.
    /// There are none in what cannot be read.
    pub fn folders(&self, folder: &Path) -> Vec<String> {
        let names: BTreeSet<String> = match &self.archive {
            Some(members) => {
                let below = members.names().filter_map(|name| name.strip_prefix(folder).ok());
                let inside = below.filter(|name| name.components().nth(1).is_some());
                inside.filter_map(|name| Some(name.iter().next()?.to_string_lossy().into_owned())).collect()
            }
            None => {
                let entries = self.root.join(folder).read_dir().into_iter().flatten().flatten();
                let folders = entries.filter(|entry| entry.path().is_dir());
                folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
        };
        names.into_iter().filter(|name| !is_of_the_system(Path::new(name))).collect()
    }

    /// The files below a folder, at most `depth` folders deep: their paths in it, with slashes, in the order of the alphabet.
    /// What systems leave there is left out, and what cannot be read.
    pub fn below(&self, folder: &Path, depth: usize) -> Vec<String> {
        let text = |path: &Path| path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        let of_the_user = |path: &Path| (!is_of_the_system(path)).then(|| text(path));
        let mut names: Vec<String> = match &self.archive {
            Some(members) => {
                let below = members.names().filter_map(|name| name.strip_prefix(folder).ok());
                below.filter(|path| path.iter().count() <= depth).filter_map(of_the_user).collect()
            }
            None => {
                let root = self.root.join(folder);
                let entries =
                    WalkDir::new(&root).min_depth(1).max_depth(depth).follow_links(true).into_iter().flatten();
                let files = entries.filter(|entry| entry.file_type().is_file());
                files.filter_map(|entry| of_the_user(entry.path().strip_prefix(&root).ok()?)).collect()
            }
        };
        names.sort();
        names
    }
}

impl Members {
    /// The files of the data set, below its folder.
    fn names(&self) -> impl Iterator<Item = &Path> {
        self.archive.members().filter_map(|name| name.strip_prefix(&self.prefix).ok())
    }
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
    /// The file at `path`, which may be missing.
    pub fn on_disk(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), member: None }
    }

    /// Where it lies, for people: a member of an archive as if the archive were a folder, `VOC2007.tar/JPEGImages/1.jpg`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of this name beside it.
    pub fn sibling(&self, name: &str) -> Self {
        let member = self.member.as_ref().map(|Member { archive, name: own }| Member {
            archive: Arc::clone(archive),
            name: own.with_file_name(name),
        });
        Self { path: self.path.with_file_name(name), member }
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

    /// What the image that it is says before its pixels: see [`Photo::header`].
    ///
    /// # Errors
    /// As for [`Photo::header`], and where it cannot be read.
    pub fn photo_header(&self) -> Result<PhotoHeader, PhotoError> {
        Photo::header(&self.read()?)
    }

    /// The image that it is.
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
                assert!(found.image.path().ends_with(format!("voc.tar/JPEGImages/{}.jpg", found.name)));
                assert!(found.image.exists());
                assert_eq!(found.image.read().unwrap(), expected.image.read().unwrap());
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
            ("zip", &[b"PK\x03\x04".as_slice(), &[0; 600]].concat(), "train", &["compressed (zip)", "unzip"]),
            ("7z", b"7z\xbc\xaf\x27\x1c\0\x04", "train", &["compressed (7-Zip)", "7z x"]),
            ("rar", b"Rar!\x1a\x07\x01\0", "train", &["compressed (RAR)", "unrar x"]),
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
        assert!(error.contains("voc.tar/JPEGImages/gone.jpg: the image is missing"), "{error}");
        let (_folder, path) = file(&voc.archive(&["a"]));
        let image = VocFolder::open(&path).unwrap().split("train").unwrap().remove(0).image;
        assert!(image.photo().unwrap_err().to_string().contains("damaged or cut short"));
        // Whoever holds an archive open may meet with its being overwritten.
        fs::write(&path, b"").unwrap();
        let error = image.photo().unwrap_err().to_string();
        assert!(error.contains("shorter since it was opened"), "{error}");
    }
}

//! Writing data sets in another format.

mod coco;
mod voc;
mod yolo;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use shared_model::voc::{AnnotatedObject, VocBox};

use crate::data::labels::{self, Classes, LabelledImage};
use crate::data::problem::Problem;
use crate::data::source::NumberedClass;
use crate::data::{DataFile, Format, Reading, Source};
use crate::files::temporary_folder;

/// What becomes of the images' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They are copied.
    Copy,
    /// Symbolic links name them, hard ones on systems that reserve those. What is in an archive is copied.
    Link,
}

/// A data set that is to be written.
pub struct Conversion {
    classes: Vec<NumberedClass>,
    splits: Vec<Split>,
    /// What is wrong with the data, but harmless.
    pub warnings: Vec<Problem>,
    /// What is wrong with the data, and was left out as asked for.
    pub left_out: Vec<Problem>,
}

struct Split {
    name: String,
    images: Vec<Image>,
}

struct Image {
    /// Its file name in the new data set, which no other image has.
    file_name: String,
    file: DataFile,
    /// Width and height in pixels of the upright image.
    size: [usize; 2],
    id: i64,
    /// In pixels of the upright image.
    objects: Vec<AnnotatedObject>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Images, each counted once for every split that it is in.
    pub images: usize,
    /// Objects in them.
    pub objects: usize,
    /// Objects that were marked as difficult or as crowds, and are like any other now.
    pub unmarked: usize,
    /// Boxes that reached so far over their image's edge that the format cannot tell it: they were cut.
    pub cut: usize,
    /// Boxes that lay outside: they were left out.
    pub dropped: usize,
}

impl Conversion {
    /// Reads `sources`, each of which becomes a split.
    ///
    /// # Errors
    /// As for [`labels::read`], and where two have the same name.
    pub fn read(sources: &[Source], reading: &Reading) -> Result<Self> {
        let mut splits: Vec<Split> = Vec::new();
        for name in sources.iter().map(Source::split_name) {
            ensure!(
                splits.iter().all(|split| split.name != name),
                "two data sets have a split called {name}: convert them one at a time, each to a folder of its own"
            );
            splits.push(Split { name, images: Vec::new() });
        }
        let labels = labels::read(sources, Classes::Any, reading)?;
        let mut names = FileNames::default();
        for image in labels.images {
            let LabelledImage { image: file, header, source, id, objects, .. } = image.in_file_pixels();
            let file_name = names.of(file.path());
            splits[source].images.push(Image { file_name, file, size: header.upright(), id, objects });
        }
        Ok(Self { classes: labels.numbered, splits, warnings: labels.warnings, left_out: labels.left_out })
    }

    /// How many images there are, each counted once for every split that it is in.
    pub fn images(&self) -> usize {
        self.splits.iter().map(|split| split.images.len()).sum()
    }

    /// Writes the data set to the folder `out`, which must be new or empty: it appears when all is written, or not at all.
    /// `go_on` is asked before each image.
    ///
    /// # Errors
    /// Fails where there is something already, an image cannot be read, a file cannot be written, or `go_on` says no.
    pub fn write(&self, format: Format, images: Images, out: &Path, go_on: &dyn Fn() -> bool) -> Result<Written> {
        let is_new = !out.exists() || out.is_dir() && out.read_dir()?.next().is_none();
        ensure!(is_new, "there is something in {} already: name a new folder", out.display());
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let place = || format!("{} cannot be written", out.display());
        let (unfinished, _lock) = temporary_folder(parent).with_context(place)?;
        let writer = Writer { root: unfinished.path(), images, go_on };
        let written = match format {
            Format::Voc => voc::write(self, &writer),
            Format::Coco => coco::write(self, &writer),
            Format::Yolo => yolo::write(self, &writer),
        }?;
        if out.exists() {
            fs::remove_dir(out).with_context(place)?;
        }
        // The folder's own name, not the temporary one's rights: those are the owner's alone.
        #[cfg(unix)]
        fs::set_permissions(unfinished.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .with_context(place)?;
        let unfinished = unfinished.keep();
        fs::rename(&unfinished, out).inspect_err(|_| drop(fs::remove_dir_all(&unfinished))).with_context(place)?;
        Ok(written)
    }
}

/// Writes files of a data set that nobody sees yet.
struct Writer<'a> {
    root: &'a Path,
    images: Images,
    go_on: &'a dyn Fn() -> bool,
}

impl Writer<'_> {
    fn text(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root.join(path);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(self.root))?;
            fs::write(&path, text)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Puts an image's file into a folder.
    fn image(&self, folder: &str, image: &Image) -> Result<()> {
        ensure!((self.go_on)(), "stopped: nothing was written");
        let from = image.file.path();
        let to = self.root.join(folder).join(&image.file_name);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(to.parent().unwrap_or(self.root))?;
            if to.exists() {
                // In another split, too.
                return Ok(());
            }
            match (self.images, from.is_file()) {
                (Images::Link, true) => link(from, &to),
                (Images::Copy, true) => fs::copy(from, &to).map(|_| ()),
                (_, false) => fs::write(&to, image.file.read()?),
            }
        };
        write().with_context(|| format!("{} cannot be put to {}", from.display(), to.display()))
    }
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    let from = fs::canonicalize(from)?;
    #[cfg(unix)]
    return std::os::unix::fs::symlink(from, to);
    #[cfg(not(unix))]
    return fs::hard_link(from, to);
}

/// Gives every image a name of its own.
#[derive(Default)]
struct FileNames {
    /// By the stem in lower case, since systems and formats differ in what they tell apart.
    taken: HashMap<String, PathBuf>,
}

impl FileNames {
    fn of(&mut self, path: &Path) -> String {
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = (part(path.file_stem()), part(path.extension()));
        let candidates = (1..).map(|i| if i == 1 { stem.clone() } else { format!("{stem}_{i}") });
        for candidate in candidates {
            let owner = self.taken.entry(candidate.to_lowercase()).or_insert_with(|| path.to_path_buf());
            if owner == path {
                return format!("{candidate}.{extension}");
            }
        }
        unreachable!("there are more numbers than images")
    }
}

/// The file's name without its extension.
fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// What is left of a box in an image of this width and height; `None` where that is nothing.
fn cut(bbox: &VocBox, [width, height]: [f64; 2]) -> Option<VocBox> {
    let [x1, y1, x2, y2] = bbox.corners();
    let [x1, x2] = [x1, x2].map(|x| x.clamp(0.0, width));
    let [y1, y2] = [y1, y2].map(|y| y.clamp(0.0, height));
    (x2 > x1 && y2 > y1).then(|| VocBox::from_corners([x1, y1, x2, y2]))
}

/// Refuses names that would lead out of a folder.
fn check_split(name: &str) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        bail!("\"{name}\" cannot be the name of a split: convert one split at a time, by its name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_name_are_told_apart() {
        let mut names = FileNames::default();
        let mut of = |path: &str| names.of(Path::new(path));
        assert_eq!(
            [of("a/x.jpg"), of("b/X.png"), of("a/x.jpg"), of("c/x.jpg")],
            ["x.jpg", "X_2.png", "x.jpg", "x_3.jpg"]
        );
    }

    #[test]
    fn boxes_are_cut_at_the_edges() {
        let bbox = VocBox { xmin: -4.0, ymin: 3.0, xmax: 20.0, ymax: 9.0 };
        assert_eq!(cut(&bbox, [10.0, 10.0]), Some(VocBox { xmin: 1.0, ymin: 3.0, xmax: 11.0, ymax: 9.0 }));
        assert_eq!(cut(&bbox, [10.0, 1.0]), None);
    }
}

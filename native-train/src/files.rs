//! Finding image files, and writing files so that none is ever half written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::data::list::is_of_the_system;
use crate::photo::EXTENSIONS;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    pub path: PathBuf,
    /// Its path inside the folder in which it was found; its file name where it was named itself.
    pub inside: PathBuf,
}

/// The image files among `paths`: files as they are, folders searched through in order of names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundImages {
    pub images: Vec<ImageFile>,
    /// Files in folders that have no image's extension, but for those that systems leave there.
    pub skipped: usize,
    /// What cannot be looked into, such as a link that leads nowhere, and why.
    pub unreadable: Vec<String>,
    /// Those of them that have an image's name.
    pub unreadable_images: Vec<PathBuf>,
}

/// Finds the image files in `paths`.
///
/// # Errors
/// Fails where there is no image at all. What cannot be read is told in the result.
pub fn find_images(paths: &[PathBuf]) -> Result<FoundImages> {
    let mut found = FoundImages::default();
    for path in paths {
        if !path.is_dir() {
            // A missing or unreadable file is reported with the others when its turn comes.
            let inside: PathBuf = path.file_name().unwrap_or(path.as_os_str()).into();
            // As of `photos/*`.
            if is_of_the_system(&inside) {
                continue;
            }
            found.images.push(ImageFile { path: path.clone(), inside });
            continue;
        }
        for entry in WalkDir::new(path).sort_by_file_name().follow_links(true) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    found.unreadable.push(error.to_string());
                    found
                        .unreadable_images
                        .extend(error.path().filter(|path| has_image_extension(path)).map(PathBuf::from));
                    continue;
                }
            };
            let inside = entry.path().strip_prefix(path).unwrap_or(entry.path());
            if !entry.file_type().is_file() || is_of_the_system(inside) {
                continue;
            }
            if has_image_extension(entry.path()) {
                let inside = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_path_buf();
                found.images.push(ImageFile { path: entry.into_path(), inside });
            } else {
                found.skipped += 1;
            }
        }
    }
    if found.images.is_empty() {
        let folders: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let unreadable = found.unreadable.first().map(|error| format!(" ({error})")).unwrap_or_default();
        bail!("there is no image ({}) in {}{unreadable}", EXTENSIONS.join(", "), folders.join(", "));
    }
    Ok(found)
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// How temporary names begin.
pub(crate) const TEMPORARY: &str = ".yolox-nano-";

/// So often a file is begun anew whose temporary file another process took for a leftover.
const ATTEMPTS: usize = 3;

/// Writes a file under a temporary name beside its place, then renames it. Missing folders are made. What processes left in
/// the folder that were killed in between is removed.
///
/// # Errors
/// Fails, naming the file, where it cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        remove_leftovers(folder);
        let mut builder = tempfile::Builder::new();
        // Readable for others as any new file is, not for the owner alone as temporary files are.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut attempts = 1..=ATTEMPTS;
        loop {
            let is_last = attempts.next() == Some(ATTEMPTS);
            let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
            // Says that somebody is writing; where a file system has no locks, nobody removes anything either.
            let _ = file.as_file().lock();
            file.write_all(bytes)?;
            match file.persist(path) {
                Err(error) if error.error.kind() == ErrorKind::NotFound && !is_last => {}
                result => return Ok(result.map(drop)?),
            }
        }
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// A folder in `parent` under a temporary name, and what says that somebody is writing to it: see [`write_atomic`].
///
/// # Errors
/// Fails where it cannot be made.
pub fn temporary_folder(parent: &Path) -> Result<(TempDir, Option<File>)> {
    std::fs::create_dir_all(parent)?;
    remove_leftovers(parent);
    let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent)?;
    // Windows opens no folders, and finds no leftovers among them.
    let lock = File::open(folder.path()).ok().filter(|folder| folder.lock().is_ok());
    Ok((folder, lock))
}

/// Folders that this process has looked through.
static TIDY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes temporary files and folders that nobody is writing any more, once for each folder and process. Where that cannot be done, they
/// stay.
fn remove_leftovers(folder: &Path) {
    let is_new = TIDY.lock().is_ok_and(|mut tidy| tidy.insert(folder.into()));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|_| is_new) {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        // A process that died holds no lock.
        let is_left = |file: File| file.try_lock().is_ok();
        if is_temporary && File::open(entry.path()).is_ok_and(is_left) {
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_removed_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, left, locked] =
            ["a.txt", ".yolox-nano-x1y2z3", ".yolox-nano-x4y5z6"].map(|name| folder.path().join(name));
        std::fs::write(&left, b"x").unwrap();
        let writing = File::create(&locked).unwrap();
        writing.lock().unwrap();
        let folders = tempfile::tempdir().unwrap();
        let left_folder = folders.path().join(".yolox-nano-x7y8z9");
        std::fs::create_dir_all(left_folder.join("images")).unwrap();
        let writing_folder = temporary_folder(folders.path()).unwrap();
        TIDY.lock().unwrap().remove(folders.path());
        temporary_folder(folders.path()).unwrap();
        assert!(!left_folder.exists() && writing_folder.0.path().is_dir());
        write_atomic(&whole, b"x").unwrap();
        assert!(whole.is_file() && !left.exists() && locked.exists());
    }

    #[test]
    fn folders_are_searched_in_order_and_other_files_counted() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["b.JPG", "a/z.png", "a/notes.txt", "c.webp", "Thumbs.db", "a/.DS_Store", "._b.JPG", "__MACOSX/b.JPG"]
        {
            write_atomic(&folder.path().join(name), b"x").unwrap();
        }
        let found = find_images(&[folder.path().to_path_buf(), "named.jpg".into()]).unwrap();
        let inside: Vec<_> = found.images.iter().map(|image| image.inside.to_str().unwrap()).collect();
        assert_eq!(inside, ["a/z.png", "b.JPG", "c.webp", "named.jpg"]);
        assert_eq!(found.skipped, 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_does_not_end_the_search() {
        let folder = tempfile::tempdir().unwrap();
        write_atomic(&folder.path().join("b/c.png"), b"x").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a.jpg")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let found = find_images(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!(found.images.len(), 1);
        assert!(found.unreadable.len() == 2 && found.unreadable[0].contains("a.jpg"), "{:?}", found.unreadable);
    }

    #[test]
    fn a_folder_without_images_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = find_images(&[folder.path().to_path_buf()]).unwrap_err().to_string();
        assert!(error.contains("no image") && error.contains("jpg"), "{error}");
    }
}

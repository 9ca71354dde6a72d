//! Finding picture files, and writing files so that none is ever half written.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use crate::photo::EXTENSIONS;

/// A picture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path inside the folder in which it was found; its file name where it was named itself.
    pub inside: PathBuf,
}

/// The picture files among `paths`: files as they are, folders searched through in order of names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The pictures.
    pub pictures: Vec<PictureFile>,
    /// Files in folders that have no picture's extension.
    pub skipped: usize,
}

/// Finds the picture files in `paths`.
///
/// # Errors
/// Fails where a path does not exist, a folder cannot be read, or there is no picture at all.
pub fn find_pictures(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if !path.is_dir() {
            // A missing or unreadable file is reported with the others when its turn comes.
            let inside = path.file_name().unwrap_or(path.as_os_str()).into();
            found.pictures.push(PictureFile { path: path.clone(), inside });
            continue;
        }
        for entry in WalkDir::new(path).sort_by_file_name().follow_links(true) {
            let entry = entry.context("the folder cannot be searched through")?;
            if !entry.file_type().is_file() {
                continue;
            }
            if has_picture_extension(entry.path()) {
                let inside = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_path_buf();
                found.pictures.push(PictureFile { path: entry.into_path(), inside });
            } else {
                found.skipped += 1;
            }
        }
    }
    if found.pictures.is_empty() {
        let folders: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("there is no picture ({}) in {}", EXTENSIONS.join(", "), folders.join(", "));
    }
    Ok(found)
}

fn has_picture_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// How temporary names begin.
const TEMPORARY: &str = ".yolox-nano-";

/// Writes a file under a temporary name beside its place, then renames it. Missing folders are made.
///
/// # Errors
/// Fails, naming the file, where it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // Readable for others as any new file is, not for the owner alone as temporary files are.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// Removes what [`write_whole`] left in a folder where its process was killed; nobody else may be writing there.
///
/// # Errors
/// Fails where the folder cannot be read or a file cannot be removed.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    for entry in WalkDir::new(folder) {
        let entry = entry.context("the folder cannot be searched through")?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            std::fs::remove_file(entry.path()).with_context(|| format!("{}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_removed_and_others_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, unfinished] = ["a/b.txt", "a/.yolox-nano-x1y2z3"].map(|name| folder.path().join(name));
        write_whole(&whole, b"x").unwrap();
        std::fs::write(&unfinished, b"x").unwrap();
        remove_unfinished(folder.path()).unwrap();
        assert!(whole.is_file() && !unfinished.exists());
    }

    #[test]
    fn folders_are_searched_in_order_and_other_files_counted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.JPG", "a/z.png", "a/notes.txt", "c.webp"] {
            write_whole(&folder.path().join(name), b"x").unwrap();
        }
        let found = find_pictures(&[folder.path().to_path_buf(), "named.jpg".into()]).unwrap();
        let inside: Vec<_> = found.pictures.iter().map(|picture| picture.inside.to_str().unwrap()).collect();
        assert_eq!(inside, ["a/z.png", "b.JPG", "c.webp", "named.jpg"]);
        assert_eq!(found.skipped, 1);
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = find_pictures(&[folder.path().to_path_buf()]).unwrap_err().to_string();
        assert!(error.contains("no picture") && error.contains("jpg"), "{error}");
    }
}

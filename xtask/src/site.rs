//! The files of the site, by logical name, and how they reach the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::names;

/// A site in the making: logical name -> published file.
#[derive(Default)]
pub struct Site {
    files: BTreeMap<String, SiteFile>,
}

pub struct SiteFile {
    /// Relative to index.html.
    pub url: String,
    /// What is served.
    pub content: Vec<u8>,
}

impl Site {
    /// Publishes `content` under a name that carries its hash (but for the service worker), and returns that name.
    pub fn add(&mut self, logical: &str, content: Vec<u8>) -> Result<String> {
        let url = match logical {
            names::SERVICE_WORKER => logical.to_owned(),
            _ => names::hashed(logical, &content)?,
        };
        let before = self.files.insert(logical.to_owned(), SiteFile { url: url.clone(), content });
        ensure!(before.is_none(), "two files of the site are called {logical}");
        Ok(url)
    }

    /// Publishes the files in `folder` under `prefix`; hidden files stay behind.
    pub fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                self.add_folder(&path, &format!("{prefix}{name}/"))?;
            } else {
                let content = fs::read(&path).with_context(|| path.display().to_string())?;
                self.add(&format!("{prefix}{name}"), content)?;
            }
        }
        Ok(())
    }

    /// Takes a file out again.
    pub fn remove(&mut self, logical: &str) {
        self.files.remove(logical);
    }

    /// The published name of a file.
    pub fn url(&self, logical: &str) -> Option<&str> {
        self.files.get(logical).map(|file| file.url.as_str())
    }

    /// All files, in order of their logical names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &SiteFile)> {
        self.files.iter().map(|(logical, file)| (logical.as_str(), file))
    }

    /// Writes the site with its page, so that a browser may load from `folder` meanwhile: the page comes after the files that it names, and
    /// what no page names any more goes last.
    pub fn write(&self, page: &str, folder: &Path) -> Result<()> {
        for file in self.files.values() {
            let path = folder.join(&file.url);
            // The name stands for the content, unless a write was cut short.
            if names::is_hashed(&file.url)
                && fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.content.len() as u64)
            {
                continue;
            }
            fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
            fs::write(&path, &file.content).with_context(|| path.display().to_string())?;
        }
        fs::write(folder.join("index.html"), page)?;
        self.remove_stale(folder, "")
    }

    /// Removes hashed files that are not of this site. Others are not xtask's, and stay.
    fn remove_stale(&self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let url = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.remove_stale(&entry.path(), &format!("{url}/"))?;
            } else if names::is_hashed(&url) && !self.files.values().any(|file| file.url == url) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_write_leaves_only_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut first = Site::default();
        let old = first.add("models/a.bin", b"old".to_vec()).unwrap();
        let kept = first.add("page.css", b"css".to_vec()).unwrap();
        first.add(names::SERVICE_WORKER, b"old".to_vec()).unwrap();
        first.write("one", path).unwrap();
        fs::write(path.join("CNAME"), "a file of somebody else's").unwrap();

        let mut second = Site::default();
        let new = second.add("models/a.bin", b"new".to_vec()).unwrap();
        assert_eq!(second.add("page.css", b"css".to_vec()).unwrap(), kept);
        second.add(names::SERVICE_WORKER, b"new".to_vec()).unwrap();
        second.write("two", path).unwrap();

        assert!(!path.join(old).exists());
        assert_eq!(fs::read(path.join(new)).unwrap(), b"new");
        assert!(path.join(kept).exists() && path.join("CNAME").exists());
        assert_eq!(fs::read(path.join(names::SERVICE_WORKER)).unwrap(), b"new");
        assert_eq!(fs::read_to_string(path.join("index.html")).unwrap(), "two");
    }

    #[test]
    fn folders_are_published_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("samples")).unwrap();
        fs::write(folder.path().join("samples/dog.jpg"), "dog").unwrap();
        fs::write(folder.path().join(".gitkeep"), "").unwrap();
        let mut site = Site::default();
        site.add_folder(folder.path(), "assets/").unwrap();
        let names: Vec<_> = site.files().map(|(logical, _)| logical).collect();
        assert_eq!(names, ["assets/samples/dog.jpg"]);
        assert!(site.add("assets/samples/dog.jpg", vec![]).is_err());
    }
}

//! Which weights a command uses: a file, an entry of `models/manifest.json`, or that manifest's default.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use shared_model::{Manifest, ManifestEntry, Weights};

use crate::files::write_whole;

/// Where the manifest lies below the folders that are searched.
const MANIFEST: &str = "models/manifest.json";

/// The published weights.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    manifest: Manifest,
}

/// Weights, and the name to show for them.
#[derive(Debug)]
pub struct Named {
    /// The manifest's name or the file's path.
    pub name: String,
    /// The weights.
    pub weights: Weights,
}

impl Models {
    /// The manifest of the current folder or one above it, else of a folder above the program.
    ///
    /// # Errors
    /// Fails where there is none, or it cannot be read.
    pub fn find() -> Result<Self> {
        let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
        let folders = starts.iter().flatten().flat_map(|start| start.ancestors());
        match folders.map(|folder| folder.join(MANIFEST)).find(|path| path.is_file()) {
            Some(path) => Self::read(&path),
            None => bail!(
                "{MANIFEST} is neither in this folder, nor in one above it or above the program: \
                 go to the project's folder, or name a weight file with --weights FILE.safetensors"
            ),
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Fails, naming the file, where it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Manifest> { Ok(Manifest::from_json(&std::fs::read_to_string(path)?)?) };
        let manifest = read().with_context(|| path.display().to_string())?;
        Ok(Self { folder: path.parent().unwrap_or(Path::new("")).into(), manifest })
    }

    /// Where the manifest and its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts an entry into the manifest, in place of one of the same name, and writes the manifest.
    ///
    /// # Errors
    /// Fails, naming the file, where it cannot be written.
    pub fn put(&mut self, entry: ManifestEntry) -> Result<()> {
        match self.manifest.models.iter_mut().find(|other| other.name == entry.name) {
            Some(place) => *place = entry,
            None => self.manifest.models.push(entry),
        }
        let mut text = serde_json::to_string_pretty(&self.manifest)?;
        text.push('\n');
        let name = Path::new(MANIFEST).file_name().unwrap_or_default();
        write_whole(&self.folder.join(name), text.as_bytes())
    }

    /// Reads an entry's weight file, and checks that it is the one the manifest describes.
    fn load(&self, entry: &ManifestEntry) -> Result<Named> {
        let path = self.folder.join(&entry.file);
        let bytes = read(&path)?;
        if sha256(&bytes) != entry.sha256 {
            bail!(
                "{} is not the file that {MANIFEST} describes: restore it (git checkout), or name it with --weights",
                path.display()
            );
        }
        Ok(Named { name: entry.name.clone(), weights: parse(&path, &bytes)? })
    }
}

/// The weights called `name`: a file, or an entry of the manifest; the manifest's default where `name` is `None`.
///
/// # Errors
/// Fails where there are no such weights, or they cannot be read.
pub fn load(name: Option<&str>) -> Result<Named> {
    let Some(name) = name else {
        let models = Models::find()?;
        return models.load(models.manifest.default_entry());
    };
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Named { name: name.into(), weights: parse(path, &read(path)?)? });
    }
    let Ok(models) = Models::find() else { bail!("there is no weight file {name}") };
    match models.manifest.named(name) {
        Some(entry) => models.load(entry),
        None => {
            let names: Vec<_> = models.manifest.models.iter().map(|entry| entry.name.as_str()).collect();
            bail!("there is no weight file {name}, and no model of that name: the models are {}", names.join(", "))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("the weight file {} cannot be read", path.display()))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Weights> {
    Weights::from_bytes(bytes).with_context(|| path.display().to_string())
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use shared_model::cost;

    use super::*;

    /// Keeps the published manifest true.
    #[test]
    fn the_manifest_describes_its_files() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(MANIFEST);
        let models = Models::read(&path).unwrap();
        for entry in &models.manifest.models {
            let bytes = std::fs::read(models.folder.join(&entry.file)).unwrap();
            assert_eq!((entry.bytes, &entry.sha256), (bytes.len() as u64, &sha256(&bytes)), "{}", entry.name);
            let weights = Weights::from_bytes(&bytes).unwrap();
            let metadata = &weights.metadata;
            assert_eq!(
                (&entry.variant, entry.classes, entry.input_size, &entry.source),
                (&metadata.variant, metadata.class_names.len(), metadata.input_size, &metadata.source),
                "{}",
                entry.name
            );
            let cost = cost(&weights.graph().unwrap(), entry.input_size, entry.input_size);
            assert_eq!(entry.parameters, cost.parameters, "{}", entry.name);
            assert!((entry.gflops - cost.gflops).abs() < 0.5e-4 + 1e-9, "{}: {} GFLOPs", entry.name, cost.gflops);
            if let Some(mean) = entry.voc2007_ap50 {
                let classes = &entry.voc2007_classes;
                let of_classes = classes.values().sum::<f64>() / classes.len() as f64;
                assert!((of_classes - mean).abs() < 0.01, "{}: AP50 {mean}, of its classes {of_classes}", entry.name);
            }
            // What the page downloads; fpn2, the largest, has 1,906,000 bytes.
            assert!(entry.classes != 20 || entry.bytes <= 1_910_000, "{}: {} bytes", entry.name, entry.bytes);
            if entry.protocol.is_some() {
                let card = std::fs::read_to_string(models.folder.join(format!("{}.md", entry.name))).unwrap();
                assert!(card.contains(&entry.sha256), "{}: the card is of other weights", entry.name);
            }
            if let Some(curves) = &entry.curves {
                assert!(models.folder.join(curves).is_file(), "{} has no curves", entry.name);
            }
        }
    }

    #[test]
    fn sha256_of_the_standard_example() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

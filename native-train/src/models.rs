//! Which weights a command uses: a file (of any format that [`foreign`] reads), an entry of `models/manifest.json`, or that manifest's default.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use shared_model::{Manifest, ManifestEntry, Weights};

use crate::files::write_atomic;
use crate::foreign;

/// Where the manifest lies below the folders that are searched.
const MANIFEST: &str = "models/manifest.json";

/// Extension of weight files.
const WEIGHTS: &str = "safetensors";

/// The same, of those in a byte a number.
const SMALL_WEIGHTS: &str = "int8.safetensors";

/// What AP50 (per cent) may lose in a byte a number.
pub const LARGEST_LOSS: f64 = 0.3;

/// Digits of a SHA-256 that tell files of one name apart.
const HASH_DIGITS: usize = 8;

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
                 go to the project's folder, or name a weight file with --weights FILE"
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

    /// Name for a file of weights with this SHA-256 that are published as `name`: not that of others, which the manifest describes
    /// until [`Models::put`]. Those that are published already keep theirs.
    pub fn free_file(&self, name: &str, sha256: &str) -> String {
        if let Some(same) = self.manifest.named(name).filter(|entry| entry.sha256 == sha256) {
            return same.file.clone();
        }
        let plain = format!("{name}.{WEIGHTS}");
        match self.manifest.models.iter().find(|entry| entry.file == plain) {
            Some(other) if other.sha256 != sha256 => format!("{name}-{}.{WEIGHTS}", &sha256[..HASH_DIGITS]),
            _ => plain,
        }
    }

    /// Name for the smaller file ([`shared_model::SmallFile`]) of weights in `file`.
    pub fn small_file(file: &str) -> String {
        format!(
            "{}.{SMALL_WEIGHTS}",
            file.strip_suffix(WEIGHTS).and_then(|file| file.strip_suffix('.')).unwrap_or(file)
        )
    }

    /// Removes the files that [`Models::free_file`] and [`Models::small_file`] gave names to and the manifest does not name: those of
    /// an earlier training, or of a publication that was killed.
    ///
    /// # Errors
    /// Fails where the folder cannot be read or a file not be removed.
    pub fn remove_unnamed(&self, name: &str) -> Result<()> {
        let is_hash = |text: &str| text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_of_name = |file: &str| {
            let file = [SMALL_WEIGHTS, WEIGHTS].into_iter().find_map(|end| file.strip_suffix(end));
            let rest = file.and_then(|file| file.strip_suffix('.')?.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_hash))
        };
        for file in std::fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())? {
            let file = file?.file_name().to_string_lossy().into_owned();
            let is_named = |entry: &ManifestEntry| {
                entry.file == file || entry.small.as_ref().is_some_and(|small| small.file == file)
            };
            if is_of_name(&file) && !self.manifest.models.iter().any(is_named) {
                std::fs::remove_file(self.folder.join(&file)).with_context(|| format!("{file} cannot be removed"))?;
            }
        }
        Ok(())
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
        write_atomic(&self.folder.join(name), text.as_bytes())
    }

    /// Reads an entry's weight file, and checks that it is the one the manifest describes.
    fn load(&self, entry: &ManifestEntry) -> Result<Named> {
        let path = self.folder.join(&entry.file);
        let bytes =
            std::fs::read(&path).with_context(|| format!("the weight file {} cannot be read", path.display()))?;
        if sha256(&bytes) != entry.sha256 {
            bail!(
                "{} is not the file that {MANIFEST} describes: restore it (git checkout), or name it with --weights",
                path.display()
            );
        }
        Ok(Named {
            name: entry.name.clone(),
            weights: Weights::from_bytes(&bytes).with_context(|| path.display().to_string())?,
        })
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
        return Ok(Named { name: name.into(), weights: foreign::read(path, None)? });
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

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use shared_model::{WeightPrecision, cost};

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
            // fpn2, the largest, has 1,906,000 bytes.
            assert!(entry.classes != 20 || entry.bytes <= 1_910_000, "{}: {} bytes", entry.name, entry.bytes);
            assert!(entry.small.is_some() || entry.protocol.is_none(), "{}: nothing smaller to download", entry.name);
            if let Some(small) = &entry.small {
                let bytes = std::fs::read(models.folder.join(&small.file)).unwrap();
                assert!(bytes == weights.to_bytes(WeightPrecision::Int8).unwrap(), "{}: other weights", small.file);
                assert_eq!((small.bytes, &small.sha256), (bytes.len() as u64, &sha256(&bytes)), "{}", small.file);
                let less = entry.voc2007_ap50.unwrap() - small.voc2007_ap50;
                assert!(less <= LARGEST_LOSS, "{}: AP50 is less by {less:.2}", small.file);
            }
            if entry.protocol.is_some() {
                let card = std::fs::read_to_string(models.folder.join(format!("{}.md", entry.name))).unwrap();
                assert!(card.contains(&entry.sha256), "{}: the card is of other weights", entry.name);
            }
            if let Some(curves) = &entry.curves {
                assert!(models.folder.join(curves).is_file(), "{} has no curves", entry.name);
            }
        }
    }

    /// What `yolox-nano publish` does not write itself, such as figures reported elsewhere, stays.
    #[test]
    fn putting_an_entry_keeps_the_rest_of_the_manifest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(MANIFEST);
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("manifest.json");
        std::fs::copy(&path, &copy).unwrap();
        let mut models = Models::read(&copy).unwrap();
        models.put(models.manifest.default_entry().clone()).unwrap();
        let json = |path: &Path| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        assert_eq!(json(&copy), json(&path));
        assert!(json(&copy)["reported"]["variants"]["baseline"]["ap50"].is_f64());
    }

    #[test]
    fn weights_in_place_of_others_get_a_file_of_their_own() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(MANIFEST);
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(&path, folder.path().join("manifest.json")).unwrap();
        let mut models = Models::read(&folder.path().join("manifest.json")).unwrap();
        let mut entry = models.manifest.named("final-voc").unwrap().clone();
        assert_eq!(models.free_file("final-voc", &entry.sha256), "final-voc.safetensors");
        entry.sha256 = sha256(b"abc");
        entry.file = models.free_file("final-voc", &entry.sha256);
        assert_eq!(entry.file, "final-voc-ba7816bf.safetensors");
        let small = Models::small_file(&entry.file);
        assert_eq!(small, "final-voc-ba7816bf.int8.safetensors");
        entry.small.as_mut().unwrap().file.clone_from(&small);
        let names = [
            "final-voc.safetensors",
            &entry.file,
            "final-voc-00000000.safetensors",
            "final-voc-2.safetensors",
            "final-voc.int8.safetensors",
            &small,
        ];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").unwrap());
        models.put(entry.clone()).unwrap();
        models.remove_unnamed("final-voc").unwrap();
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, true, false, true, false, true], "the published one stays, and what has another name");
        assert_eq!(models.free_file("final-voc", &sha256(b"abc")), "final-voc-ba7816bf.safetensors");
        assert_eq!(models.free_file("final-voc", "00"), "final-voc.safetensors");
    }

    #[test]
    fn other_weights_than_the_manifest_describes_are_refused() {
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(MANIFEST);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        std::fs::copy(&published, &path).unwrap();
        let models = Models::read(&path).unwrap();
        let entry = models.manifest.default_entry();
        let mut bytes = std::fs::read(published.with_file_name(&entry.file)).unwrap();
        std::fs::write(folder.path().join(&entry.file), &bytes).unwrap();
        assert_eq!(models.load(entry).unwrap().name, entry.name);

        // A weight, which is as good as any other.
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(folder.path().join(&entry.file), &bytes).unwrap();
        let error = models.load(entry).unwrap_err().to_string();
        assert!(error.contains("is not the file that models/manifest.json describes"), "{error}");
    }

    #[test]
    fn sha256_of_the_standard_example() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

//! What is disturbed: small, so that it takes seconds.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use native_train::models::sha256;
use shared_model::{Manifest, ManifestEntry, Variant, WeightPrecision, Weights};
use walkdir::WalkDir;

use super::{Files, read};
use crate::drawn::write_voc;
use crate::yolox_nano;

/// A command that a person starts, and starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// `yolox-nano train`, then `train --resume`.
    Train,
    /// `yolox-nano campaign` of two runs at once.
    Campaign,
    /// `yolox-nano prune` in two rounds with training.
    Prune,
    /// `yolox-nano publish` in place of weights that are published already.
    Publish,
    /// `yolox-nano convert` to COCO's format, then a look at what it has written.
    Convert,
}

/// Where a command's output goes, in the scene's folder.
const SAID: &str = "said.txt";

const TRAINED: [&str; 3] =
    ["run/weights/best.safetensors", "run/weights/last.safetensors", "run/weights/last-mosaic.safetensors"];

const OF_CAMPAIGN: [&str; 6] = [
    "plan/runs/baseline-s0/weights/best.safetensors",
    "plan/runs/baseline-s0/weights/last.safetensors",
    "plan/runs/baseline-s0/checkpoint.safetensors",
    "plan/runs/dw3-s1/weights/best.safetensors",
    "plan/runs/dw3-s1/weights/last.safetensors",
    "plan/runs/dw3-s1/checkpoint.safetensors",
];

const PRUNED: [&str; 3] = ["pruned/pruned.safetensors", "pruned/round-1.safetensors", "pruned/round-2.safetensors"];

/// What a conversion writes, in the scene's folder.
const CONVERTED: &str = "converted";

/// Has a command work in the scene's folder, and write there what it says, behind what those before it said.
pub(super) fn in_folder(command: &mut Command, folder: &Path) {
    // A full disk is no reason not to start.
    let file = || File::options().create(true).append(true).open(folder.join(SAID));
    let out = || file().map_or_else(|_| Stdio::null(), Stdio::from);
    command.current_dir(folder).stdin(Stdio::null()).stdout(out()).stderr(out());
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Train, Self::Campaign, Self::Prune, Self::Publish, Self::Convert];

    /// Puts what the command needs into its folder.
    ///
    /// # Panics
    /// Panics where a file cannot be written.
    pub fn prepare(self, folder: &Path) {
        write_voc(&folder.join("voc"), 4);
        let settings = "train = ['voc:train']\nval = ['voc:train']\nsize = 64\nbatch = 2\nepochs = 4\nthreads = 1\n\
            checkpoint-every = 0.002\n";
        fs::write(folder.join("config.toml"), settings).unwrap();
        let runs = "[[runs]]\n[[runs]]\nvariant = 'dw3'\nseeds = [1]\n";
        fs::write(folder.join("plan.toml"), format!("[defaults]\n{settings}{runs}")).unwrap();
        // The manifest that is found: that of the repository stays out of this.
        let models = folder.join("models");
        fs::create_dir_all(&models).unwrap();
        let weights = |seed| {
            let mut weights = Weights::random(Variant::named("baseline").unwrap(), 2, seed);
            weights.metadata.class_names = ["green", "red"].map(String::from).into();
            weights.metadata.input_size = 64;
            weights
        };
        fs::write(folder.join("weights.safetensors"), weights(0).to_bytes(WeightPrecision::Single).unwrap()).unwrap();
        let bytes = weights(1).to_bytes(WeightPrecision::Half).unwrap();
        fs::write(models.join("a.safetensors"), &bytes).unwrap();
        let entry = ManifestEntry {
            name: "a".into(),
            file: "a.safetensors".into(),
            variant: "baseline".into(),
            classes: 2,
            sha256: sha256(&bytes),
            bytes: bytes.len() as u64,
            input_size: 64,
            ..ManifestEntry::default()
        };
        let manifest = Manifest {
            format_version: 1,
            default: "a".into(),
            opening: Vec::new(),
            reported: None,
            models: vec![entry],
        };
        fs::write(models.join("manifest.json"), serde_json::to_string(&manifest).unwrap()).unwrap();
    }

    /// The command as a person would give it now.
    ///
    /// # Panics
    /// Panics where its output cannot be kept.
    pub fn command(self, folder: &Path) -> Command {
        let is_begun = folder.join("run/checkpoint.safetensors").is_file();
        let is_converted = folder.join(CONVERTED).exists();
        let line = match self {
            Self::Train if is_begun => "train --resume run",
            Self::Train => "train --config config.toml --out run",
            Self::Campaign => "campaign plan.toml --lanes 2",
            Self::Prune => {
                "prune weights.safetensors --to 0.6 --rounds 2 --out pruned --train voc:train --size 64 --batch 2 \
                 --epochs 2 --threads 1 --checkpoint-every 0.002"
            }
            Self::Publish => "publish weights.safetensors --name a --data voc --split train --trained-on drawings",
            Self::Convert if is_converted => "check-data converted",
            Self::Convert => "convert voc:train --to coco --out converted",
        };
        let mut command = Command::new(yolox_nano());
        command.args(line.split_whitespace());
        in_folder(&mut command, folder);
        command
    }

    /// The end of what the commands have said.
    pub fn said(self, folder: &Path) -> String {
        let text = fs::read(folder.join(SAID)).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(1500)..]).into_owned()
    }

    /// What may never be, at whatever moment the command ended.
    ///
    /// # Errors
    /// Fails where a file is there in parts.
    pub fn check(self, folder: &Path) -> Result<()> {
        ensure!(!self.said(folder).contains("panicked"), "it panicked: {}", self.said(folder));
        for (path, bytes) in read(folder, &[&TRAINED[..], &OF_CAMPAIGN[..], &PRUNED[..]].concat()) {
            let is_checkpoint = path.ends_with("checkpoint.safetensors");
            let whole = safetensors::SafeTensors::deserialize(&bytes).map(drop);
            whole.with_context(|| format!("{} is not whole", path.display()))?;
            ensure!(is_checkpoint || Weights::from_bytes(&bytes).is_ok(), "{} are no weights", path.display());
        }
        let models = folder.join("models");
        let manifest = Manifest::from_json(&fs::read_to_string(models.join("manifest.json"))?)?;
        for entry in &manifest.models {
            let bytes = fs::read(models.join(&entry.file)).with_context(|| entry.file.clone())?;
            ensure!(sha256(&bytes) == entry.sha256, "{} is not the file that the manifest describes", entry.file);
        }
        Ok(())
    }

    /// What must be the same however often the command was disturbed, and what must not be there any more.
    ///
    /// # Errors
    /// Fails where a file cannot be read.
    pub fn result(self, folder: &Path) -> Result<Files> {
        Ok(match self {
            Self::Train => read(folder, &TRAINED),
            Self::Campaign => read(folder, &OF_CAMPAIGN),
            Self::Prune => read(folder, &PRUNED),
            Self::Publish => {
                let mut names = Vec::new();
                for entry in fs::read_dir(folder.join("models"))? {
                    names.push(format!("models/{}", entry?.file_name().to_string_lossy()));
                }
                read(folder, &names.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Self::Convert => {
                let mut files = Files::new();
                for entry in WalkDir::new(folder.join(CONVERTED)) {
                    let path = entry?.into_path();
                    if path.is_file() {
                        files.insert(path.strip_prefix(folder)?.into(), fs::read(&path)?);
                    }
                }
                files
            }
        })
    }
}

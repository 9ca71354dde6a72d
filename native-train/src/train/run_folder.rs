//! The folder that a training writes to.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use shared_model::{WeightPrecision, Weights};

use super::settings::Settings;
use super::tensorboard::EVENTS;
use crate::files::{TEMPORARY, write_atomic};

/// Where runs are where nobody says otherwise.
const RUNS: &str = "runs";

/// Where a run's weights are in its folder.
const WEIGHTS: &str = "weights";

/// How the names of files begin that a run writes before its first checkpoint.
const FIRST_FILES: [&str; 5] = ["config.toml", "config.json", "metrics.jsonl", EVENTS, TEMPORARY];

/// Which of a training's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptWeights {
    /// The newest.
    Last,
    /// Those with the best evaluation.
    Best,
    /// The last before mosaic ended: L1 loss may do harm.
    LastMosaic,
}

#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// The folder, open and locked.
    #[expect(dead_code, reason = "it is held, and let go with the last clone")]
    lock: Option<Arc<File>>,
}

impl RunFolder {
    /// Makes the folder of a new run: `root`, else a new one under `runs` that is named after the variant. Nobody else can use it
    /// until the last clone of what is returned is gone. What is there of a run that was killed before its first checkpoint
    /// is removed.
    ///
    /// # Errors
    /// Fails where `root` holds anything else, or cannot be made.
    pub fn create(root: Option<&Path>, variant: &str) -> Result<Self> {
        let root = root.map_or_else(|| first_free(Path::new(RUNS), variant), Path::to_path_buf);
        let path = root.display();
        let make = || -> Result<_> {
            std::fs::create_dir_all(&root)?;
            let folder = Self::existing(&root).locked();
            let entries = std::fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            Ok((folder, entries))
        };
        let (folder, entries) = make().with_context(|| format!("the folder {path} cannot be made"))?;
        if folder.checkpoint().exists() {
            let resume = folder.resume_command();
            bail!("{path} is the folder of a run already: go on with it ({resume}), or name another with --out");
        }
        let is_of_a_start = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            FIRST_FILES.iter().any(|first| name.starts_with(first)) && path.is_file()
        };
        ensure!(entries.iter().all(is_of_a_start), "{path} holds files already: name another folder with --out");
        for entry in &entries {
            std::fs::remove_file(entry).with_context(|| format!("{} cannot be removed", entry.display()))?;
        }
        Ok(folder)
    }

    /// The folder of a run that is there.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.into(), lock: None }
    }

    /// The same folder, kept from other processes that ask for this until the last clone is gone. Waits for one that has it: the
    /// trainings of a campaign that was killed live on until they notice. Where folders have no locks, as on Windows, nobody
    /// waits.
    pub fn locked(self) -> Self {
        let lock = File::open(&self.root).ok().filter(|folder| match folder.try_lock() {
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another process to leave {}", self.root.display());
                folder.lock().is_ok()
            }
            result => result.is_ok(),
        });
        Self { lock: lock.map(Arc::new), ..self }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What the training goes on from.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint.safetensors")
    }

    /// Lines of [`Record`](super::metrics::Record).
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// Losses, learning rate and AP over the epochs.
    pub fn curves(&self) -> PathBuf {
        self.root.join("curves.svg")
    }

    /// The folder of the run that has written these weights, if they still lie in one.
    pub fn of_weights(weights: &Path) -> Option<Self> {
        let folder = weights.parent().filter(|folder| folder.ends_with(WEIGHTS))?.parent()?;
        Some(Self::existing(folder))
    }

    /// A file of this name in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Weights of the running mean, or `raw` ones.
    pub fn weights(&self, kept: KeptWeights, raw: bool) -> PathBuf {
        let name = match kept {
            KeptWeights::Last => "last",
            KeptWeights::Best => "best",
            KeptWeights::LastMosaic => "last-mosaic",
        };
        self.root.join(WEIGHTS).join(format!("{name}{}.safetensors", if raw { "-raw" } else { "" }))
    }

    /// The weights that most people want.
    pub fn best_weights(&self) -> PathBuf {
        self.weights(KeptWeights::Best, false)
    }

    /// What a new run can start from where this one cannot go on.
    pub fn last_raw_weights(&self) -> PathBuf {
        self.weights(KeptWeights::Last, true)
    }

    /// Writes the settings in the two formats: `config.toml` can be given to `--config`; `config.json` holds what follows
    /// from them too.
    ///
    /// # Errors
    /// Fails where a file cannot be written.
    pub fn write_config(&self, settings: &Settings, facts: &Facts) -> Result<()> {
        let mut text = "# yolox-nano train --config FILE\n".to_string();
        let _ = write!(text, "{}", toml::to_string_pretty(settings).context("the settings cannot be written")?);
        write_atomic(&self.root.join("config.toml"), text.as_bytes())?;
        #[derive(Serialize)]
        struct Config<'a> {
            settings: &'a Settings,
            #[serde(flatten)]
            facts: &'a Facts,
        }
        write_atomic(&self.root.join("config.json"), &serde_json::to_vec_pretty(&Config { settings, facts })?)
    }

    /// Writes weights in single precision.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn write_weights(&self, kept: KeptWeights, raw: bool, weights: &Weights) -> Result<()> {
        write_atomic(&self.weights(kept, raw), &weights.to_bytes(WeightPrecision::Single)?)
    }

    /// What to type to go on with this run.
    pub fn resume_command(&self) -> String {
        let path = self.root.display().to_string();
        let plain = path.chars().all(|c| c.is_alphanumeric() || "/._-\\:".contains(c));
        format!("yolox-nano train --resume {}", if plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) })
    }
}

/// What is known about a run besides its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Release of this program.
    pub program: String,
    /// Commit of the repository that the command was run in, if any.
    pub git_revision: Option<String>,
    /// Names of the classes, in the order of the network's outputs.
    pub class_names: Vec<String>,
    /// Images to learn from.
    pub train_images: usize,
    /// Objects of each class to learn.
    pub train_objects: Vec<usize>,
    /// Images that the best weights are chosen by.
    pub val_images: usize,
    /// Parameters of the network that are trained.
    pub parameters: usize,
    /// Learning rate after warm-up.
    pub learning_rate: f64,
    /// Images of a step.
    pub effective_batch: usize,
    pub iterations_per_epoch: usize,
    pub threads: usize,
}

/// The commit that is checked out in the current folder, with "-dirty" where files differ from it.
pub fn git_revision() -> Option<String> {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { commit } else { commit + "-dirty" })
}

fn first_free(folder: &Path, name: &str) -> PathBuf {
    let numbered = (2..).map(|number| folder.join(format!("{name}-{number}")));
    let mut names = std::iter::once(folder.join(name)).chain(numbered);
    names.find(|path| !path.exists()).expect("numbers do not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_used_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run one");
        let checkpoint = RunFolder::create(Some(&root), "baseline").unwrap().checkpoint();
        // Killed before its first checkpoint.
        for name in ["config.toml", "events.out.tfevents.1.2", ".yolox-nano-x1y2z3"] {
            std::fs::write(root.join(name), "x").unwrap();
        }
        RunFolder::create(Some(&root), "baseline").unwrap();
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
        std::fs::write(root.join("notes.txt"), "x").unwrap();
        let error = RunFolder::create(Some(&root), "baseline").unwrap_err().to_string();
        assert!(error.contains("--out"), "{error}");
        std::fs::write(checkpoint, "x").unwrap();
        let error = RunFolder::create(Some(&root), "baseline").unwrap_err().to_string();
        assert!(error.contains("--resume '") && error.contains("run one'"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_has_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunFolder::existing(folder.path()).locked();
        let clone = first.clone();
        drop(first);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let path = folder.path();
            scope.spawn(move || sender.send(RunFolder::existing(path).locked()));
            assert!(receiver.recv_timeout(std::time::Duration::from_millis(100)).is_err(), "it did not wait");
            drop(clone);
            receiver.recv().unwrap();
        });
    }

    #[test]
    fn runs_without_a_name_get_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let free = || first_free(folder.path(), "final").file_name().unwrap().to_str().unwrap().to_string();
        assert_eq!(free(), "final");
        std::fs::create_dir(folder.path().join("final")).unwrap();
        assert_eq!(free(), "final-2");
    }
}

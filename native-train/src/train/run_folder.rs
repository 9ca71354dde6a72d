//! The folder that a training writes to.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use shared_model::{Precision, Weights};

use super::settings::Settings;
use crate::files::write_whole;

/// Where runs are where nobody says otherwise.
const RUNS: &str = "runs";

/// Where a run's weights are in its folder.
const WEIGHTS: &str = "weights";

/// Which of a training's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The newest.
    Last,
    /// Those with the best evaluation.
    Best,
    /// The last before mosaic ended: L1 loss may do harm.
    LastMosaic,
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run: `root`, else a new one under `runs` that is named after the variant.
    ///
    /// # Errors
    /// Fails where `root` holds something already, or cannot be made.
    pub fn create(root: Option<&Path>, variant: &str) -> Result<Self> {
        let root = root.map_or_else(|| first_free(Path::new(RUNS), variant), Path::to_path_buf);
        let folder = Self { root };
        let path = folder.root.display();
        if folder.checkpoint().exists() {
            let resume = folder.resume_command();
            bail!("{path} is the folder of a run already: go on with it ({resume}), or name another with --out");
        }
        if let Ok(mut entries) = std::fs::read_dir(&folder.root) {
            ensure!(entries.next().is_none(), "{path} holds files already: name another folder with --out");
        }
        std::fs::create_dir_all(&folder.root).with_context(|| format!("the folder {path} cannot be made"))?;
        Ok(folder)
    }

    /// The folder of a run that is there.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.into() }
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
    pub fn weights(&self, kept: Kept, raw: bool) -> PathBuf {
        let name = match kept {
            Kept::Last => "last",
            Kept::Best => "best",
            Kept::LastMosaic => "last-mosaic",
        };
        self.root.join(WEIGHTS).join(format!("{name}{}.safetensors", if raw { "-raw" } else { "" }))
    }

    /// The weights that most people want.
    pub fn best_weights(&self) -> PathBuf {
        self.weights(Kept::Best, false)
    }

    /// What a new run can start from where this one cannot go on.
    pub fn last_raw_weights(&self) -> PathBuf {
        self.weights(Kept::Last, true)
    }

    /// Writes the settings in the two formats: `config.toml` can be given to `--config`; `config.json` holds what follows
    /// from them too.
    ///
    /// # Errors
    /// Fails where a file cannot be written.
    pub fn write_config(&self, settings: &Settings, facts: &Facts) -> Result<()> {
        let mut text = "# yolox-nano train --config FILE\n".to_string();
        let _ = write!(text, "{}", toml::to_string_pretty(settings).context("the settings cannot be written")?);
        write_whole(&self.root.join("config.toml"), text.as_bytes())?;
        #[derive(Serialize)]
        struct Config<'a> {
            settings: &'a Settings,
            #[serde(flatten)]
            facts: &'a Facts,
        }
        write_whole(&self.root.join("config.json"), &serde_json::to_vec_pretty(&Config { settings, facts })?)
    }

    /// Writes weights in single precision.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn write_weights(&self, kept: Kept, raw: bool, weights: &Weights) -> Result<()> {
        write_whole(&self.weights(kept, raw), &weights.to_bytes(Precision::Single)?)
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
    /// Pictures to learn from.
    pub train_pictures: usize,
    /// Objects of each class to learn.
    pub train_objects: Vec<usize>,
    /// Pictures that the best weights are chosen by.
    pub val_pictures: usize,
    /// Parameters of the network that are trained.
    pub parameters: usize,
    /// Learning rate after warm-up.
    pub learning_rate: f64,
    /// Pictures of a step.
    pub effective_batch: usize,
    /// Iterations of an epoch.
    pub iterations_per_epoch: usize,
    /// Number of threads.
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
        let run = RunFolder::create(Some(&root), "baseline").unwrap();
        RunFolder::create(Some(&root), "baseline").unwrap();
        std::fs::write(root.join("notes.txt"), "x").unwrap();
        let error = RunFolder::create(Some(&root), "baseline").unwrap_err().to_string();
        assert!(error.contains("--out"), "{error}");
        std::fs::write(run.checkpoint(), "x").unwrap();
        let error = RunFolder::create(Some(&root), "baseline").unwrap_err().to_string();
        assert!(error.contains("--resume '") && error.contains("run one'"), "{error}");
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

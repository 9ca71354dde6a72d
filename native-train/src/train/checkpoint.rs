//! Everything that a training needs to go on, in one file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use shared_model::{Channels, Graph, Variant};

use super::OptimizerState;
use super::schedule::Schedule;
use super::settings::Settings;
use crate::files::write_atomic;

/// The only key of the file's metadata; its value is [`TrainingProgress`] as JSON.
const METADATA_KEY: &str = "yolox-nano-checkpoint";

/// Version of the format that this code reads and writes.
const FORMAT_VERSION: u32 = 1;

/// How far a training has come. There is no state of random numbers in it: all follow from the seed and the iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// What the training was told.
    pub settings: Settings,
    /// The classes, in the order of the network's outputs.
    pub class_names: Vec<String>,
    /// The network's channels, where it is pruned.
    #[serde(default, skip_serializing_if = "Channels::is_empty")]
    pub channels: Channels,
    /// SHA-256 of the training set's file names and labels.
    pub data: String,
    /// Where the first weights came from, in a few words.
    pub origin: String,
    /// The folder that the run was started in, which names of files may be relative to.
    #[serde(default)]
    pub began_in: Option<PathBuf>,
    /// Finished iterations.
    pub iteration: usize,
    /// The iteration of the last evaluation; 0 before the first.
    pub evaluated: usize,
    /// When stages begin.
    pub schedule: Schedule,
    /// Layers that are fitted to the teacher's parts before training: their names.
    #[serde(default)]
    pub fitted: Vec<String>,
    /// Iterations that the mean of the weights has seen.
    pub ema_updates: usize,
    /// Seconds that were spent on training so far.
    pub seconds: f64,
    /// The best evaluation so far.
    pub best: Option<Best>,
}

impl TrainingProgress {
    /// The network that is trained.
    ///
    /// # Errors
    /// Fails where there is no such network.
    pub fn graph(&self) -> Result<Graph> {
        let variant = Variant::named(&self.settings.variant)?;
        Ok(variant.graph(self.class_names.len()).with_channels(&self.channels)?)
    }
}

/// The figures of an evaluation; per cent, 11-point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Finished iterations.
    pub iteration: usize,
    /// AP over IoU .50:.05:.95.
    pub ap: f64,
    /// AP at IoU .50.
    pub ap50: f64,
}

/// A training between two iterations. The arrays are in the order of [`shared_model::ParameterLayout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far it has come.
    pub progress: TrainingProgress,
    /// The parameters and running statistics as they are.
    pub parameters: Vec<f32>,
    /// Their running mean.
    pub ema: Vec<f32>,
    /// What the optimizer remembers; its arrays are as long as the others, or empty.
    pub optimizer: OptimizerState,
}

#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    format_version: u32,
    #[serde(flatten)]
    progress: TrainingProgress,
    #[serde(default)]
    optimizer_steps: usize,
}

impl Checkpoint {
    /// Writes the file under another name and renames it: at any moment a complete one is there.
    ///
    /// # Errors
    /// Fails where a value is not finite, which no training can go on from, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let OptimizerState { velocity, squares, steps } = &self.optimizer;
        let arrays =
            [("parameters", &self.parameters), ("ema", &self.ema), ("velocity", velocity), ("squares", squares)];
        for (name, values) in arrays {
            ensure!(
                values.iter().all(|value| value.is_finite()),
                "the {name} are not finite: no checkpoint is written"
            );
        }
        let bytes =
            arrays.map(|(name, values)| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()));
        let mut views = Vec::new();
        for (name, bytes) in &bytes {
            views.push((*name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?));
        }
        let header = CheckpointHeader {
            format_version: FORMAT_VERSION,
            progress: self.progress.clone(),
            optimizer_steps: *steps,
        };
        let metadata = HashMap::from([(METADATA_KEY.to_string(), serde_json::to_string(&header)?)]);
        let write = || write_atomic(path, &serialize(views, Some(metadata))?);
        write().context("make room, or mend the folder's permissions; the checkpoint before it is still there")
    }

    /// How far the training of a checkpoint has come.
    ///
    /// # Errors
    /// Fails, naming the file, where it is missing, cut short or something else.
    pub fn progress(path: &Path) -> Result<TrainingProgress> {
        let read = || -> Result<TrainingProgress> { Ok(header(&std::fs::read(path)?)?.progress) };
        read().with_context(|| format!("the checkpoint {} cannot be used", path.display()))
    }

    /// Reads a checkpoint of a network with `len` parameters and statistics, which [`TrainingProgress`] says more about.
    ///
    /// # Errors
    /// Fails, naming the file and the remedy, where it is missing, cut short or something else.
    pub fn read(path: &Path, len: impl FnOnce(&TrainingProgress) -> Result<usize>) -> Result<Self> {
        let read = || -> Result<Self> {
            let bytes = std::fs::read(path)?;
            let damaged = |error| anyhow!("the file is damaged or cut short ({error})");
            let header = header(&bytes)?;
            let len = len(&header.progress)?;
            let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
            let array = |name: &str| -> Result<Vec<f32>> {
                let view = tensors.tensor(name).map_err(damaged)?;
                let of_optimizer = name == "squares" && view.shape() == [0];
                ensure!(
                    view.dtype() == Dtype::F32 && (view.shape() == [len] || of_optimizer),
                    "its {name} are not those of the network that it names"
                );
                let values: Vec<f32> =
                    view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                ensure!(values.iter().all(|value| value.is_finite()), "its {name} are not finite");
                Ok(values)
            };
            let (parameters, ema, velocity) = (array("parameters")?, array("ema")?, array("velocity")?);
            // Those of earlier releases have none.
            let squares = if tensors.tensor("squares").is_ok() { array("squares")? } else { Vec::new() };
            let optimizer = OptimizerState { velocity, squares, steps: header.optimizer_steps };
            Ok(Self { progress: header.progress, parameters, ema, optimizer })
        };
        if !path.is_file() {
            bail!(
                "there is no checkpoint {}: name the folder of a run (train --out) with --resume, or start one",
                path.display()
            );
        }
        read().with_context(|| {
            format!(
                "the checkpoint {} cannot be used; to go on from the run's last weights, start a new one with --init \
                 WEIGHTS --out FOLDER",
                path.display()
            )
        })
    }
}

/// What a checkpoint's file says about itself.
fn header(bytes: &[u8]) -> Result<CheckpointHeader> {
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| anyhow!("the file is damaged or cut short ({error})"))?;
    let foreign = || anyhow!("it is not a checkpoint (weights? they go with --init)");
    let json = header.metadata().as_ref().and_then(|all| all.get(METADATA_KEY)).ok_or_else(foreign)?;
    let header: CheckpointHeader =
        serde_json::from_str(json).context("its description cannot be read: another release wrote it")?;
    let version = header.format_version;
    ensure!(version == FORMAT_VERSION, "it has format version {version}, this program reads {FORMAT_VERSION}");
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::StageLengths;

    fn checkpoint() -> Checkpoint {
        let progress = TrainingProgress {
            settings: Settings { lr: Some(0.1 + 0.2), freeze: vec!["a \"b\"".into()], ..Settings::default() },
            class_names: vec!["dog".into()],
            channels: Channels::default(),
            data: "00".into(),
            origin: "random weights".into(),
            began_in: Some("/somewhere".into()),
            iteration: 7,
            evaluated: 5,
            schedule: Schedule::new(10, 100, StageLengths::default()),
            fitted: vec!["backbone.C3_p4.m.0.conv2.dconv".into()],
            ema_updates: 7,
            seconds: 1.5,
            best: Some(Best { iteration: 5, ap: 30.1, ap50: 50.2 }),
        };
        let array = |scale: f32| (0..50).map(|i| scale * (i as f32).sin()).collect();
        let optimizer = OptimizerState { velocity: array(1e30), squares: array(1e-20), steps: 3 };
        Checkpoint { progress, parameters: array(1.0), ema: array(1e-30), optimizer }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        checkpoint().write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, |_| Ok(50)).unwrap(), checkpoint());
        let error = format!("{:#}", Checkpoint::read(&path, |_| Ok(51)).unwrap_err());
        assert!(error.contains("not those of the network"), "{error}");
        // Optimizers without squares have none, networks have parameters.
        let without = |optimizer| Checkpoint { optimizer, ..checkpoint() };
        let sgd = without(OptimizerState { squares: Vec::new(), ..checkpoint().optimizer });
        sgd.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, |_| Ok(50)).unwrap(), sgd);
        without(OptimizerState { velocity: Vec::new(), ..checkpoint().optimizer }).write(&path).unwrap();
        let error = format!("{:#}", Checkpoint::read(&path, |_| Ok(50)).unwrap_err());
        assert!(error.contains("its velocity are not those"), "{error}");
    }

    #[test]
    fn damaged_and_foreign_files_are_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        checkpoint().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[20] ^= 0x40;
        let weights = shared_model::Weights::random(&shared_model::VARIANTS[0], 1, 0);
        let weights = weights.to_bytes(shared_model::WeightPrecision::Single).unwrap();
        for (what, bytes) in [
            ("empty", &[][..]),
            ("cut in the header", &bytes[..40]),
            ("cut in the data", &bytes[..bytes.len() - 3]),
            ("flipped", &flipped),
            ("weights", &weights),
            ("text", b"this is no checkpoint"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Checkpoint::read(&path, |_| Ok(50)).unwrap_err());
            assert!(error.contains("checkpoint.safetensors") && error.contains("--init"), "{what}: {error}");
        }
        let error = format!("{:#}", Checkpoint::read(&folder.path().join("none"), |_| Ok(50)).unwrap_err());
        assert!(error.contains("there is no checkpoint"), "{error}");
    }

    #[test]
    fn nothing_that_is_not_finite_replaces_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        checkpoint().write(&path).unwrap();
        let mut broken = checkpoint();
        broken.optimizer.velocity[3] = f32::NAN;
        assert!(broken.write(&path).is_err());
        assert_eq!(Checkpoint::read(&path, |_| Ok(50)).unwrap(), checkpoint());
    }
}

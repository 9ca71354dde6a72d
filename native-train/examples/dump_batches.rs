//! Writes what a run of `yolox-nano train` learned from, so that another program can train on the same:
//! `docs/compare_training.py` does so with PyTorch.
//!
//! ```text
//! cargo run --release --example dump_batches -- RUN_FOLDER NEW_FOLDER [MOST]
//! ```
//!
//! It reads nothing of the run but `config.toml`. The new folder holds
//! - `initial.safetensors`: the first weights, with batch normalisation;
//! - `plan.json`: when which stage begins, and the numbers that the optimizer and the mean of the weights are given;
//! - `batch-00000.safetensors` and so on, at most `MOST`: `pixels` (u8; images x 3 x height x width; blue, green, red)
//!   and `objects` (f32; a row each of image, class, cx, cy, w, h in pixels).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use native_train::data::TrainingSet;
use native_train::data::images::Images;
use native_train::engine::Engine;
use native_train::train::init;
use native_train::train::loader::{LabelledBatch, Loader, LoaderSettings};
use native_train::train::schedule::Schedule;
use native_train::train::settings::Settings;
use native_train::train::start::training_set;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;
use shared_model::{Channels, Graph, ParameterLayout, Variant, WeightPrecision, Weights};

/// Batches that are prepared ahead.
const PREFETCH: usize = 2;

fn main() -> Result<()> {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (run, out, most) = match args.as_slice() {
        [run, out] => (run, out, usize::MAX),
        [run, out, most] => (run, out, most.to_string_lossy().parse().context("MOST must be a number")?),
        _ => bail!("usage: dump_batches RUN_FOLDER NEW_FOLDER [MOST]"),
    };
    let config = run.join("config.toml");
    let text = fs::read_to_string(&config).with_context(|| format!("{} cannot be read", config.display()))?;
    let settings = Settings::from_layers(&[text.parse()?])?;
    ensure!(settings.time_budget.is_none(), "the schedule of a run with --time-budget followed its speed");
    dump(&settings, out, most)
}

fn dump(settings: &Settings, out: &Path, most: usize) -> Result<()> {
    let set = training_set(settings)?;
    let plan = settings.plan(set.items.len())?;
    let per_epoch = plan.iterations_per_epoch();
    let schedule = Schedule::new(per_epoch, settings.epochs * per_epoch, settings.stage_lengths());
    let batches = most.min(schedule.iterations * settings.accumulate);
    fs::create_dir(out).with_context(|| format!("the folder {} cannot be made", out.display()))?;

    let weights = first_weights(settings, &set)?;
    fs::write(out.join("initial.safetensors"), weights.to_bytes(WeightPrecision::Single)?)?;
    let described = json!({
        "classes": set.class_names.len(),
        "batches": batches,
        "accumulate": settings.accumulate,
        "warmup": schedule.warmup,
        "plain_from": schedule.no_aug_from,
        "iterations": schedule.iterations,
        "lr": settings.learning_rate(),
        "weight_decay": settings.weight_decay,
        "ema_decay": settings.ema_decay(&schedule),
    });
    fs::write(out.join("plan.json"), serde_json::to_vec_pretty(&described)?)?;

    let loading = LoaderSettings { seed: settings.seed, threads: 1, prefetch: PREFETCH };
    let images = Images::new(Arc::new(set), settings.cache.unwrap_or_default() << 20);
    let plan = move |i| (i < batches).then(|| plan.batch(i, &schedule));
    for (i, batch) in Loader::start(Arc::new(images), settings.augmentation.clone(), loading, 0, plan).enumerate() {
        fs::write(out.join(format!("batch-{i:05}.safetensors")), bytes(&batch?)?)?;
    }
    Ok(())
}

fn first_weights(settings: &Settings, set: &TrainingSet) -> Result<Weights> {
    let variant = Variant::named(&settings.variant)?;
    let graph = variant.graph(set.class_names.len());
    let make =
        |graph: &Graph, settings: &Settings| -> Result<Box<dyn Engine>> { settings.engine_choice().engine(graph) };
    let initial = init::initial(settings, &Channels::default(), set, &make, make(&graph, settings)?.as_mut())?;
    let mut metadata = Weights::random(variant, set.class_names.len(), settings.seed).metadata;
    metadata.class_names.clone_from(&set.class_names);
    metadata.source = initial.origin;
    Ok(ParameterLayout::new(&graph).weights(&initial.parameters, metadata))
}

/// The file of a batch.
fn bytes(labelled: &LabelledBatch) -> Result<Vec<u8>> {
    let batch = &labelled.batch;
    let rows: Vec<[f32; 6]> = labelled
        .objects
        .iter()
        .enumerate()
        .flat_map(|(i, objects)| objects.iter().map(move |o| [i as f32, o.class as f32, o.cx, o.cy, o.w, o.h]))
        .collect();
    let objects: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![batch.images, 3, batch.height, batch.width];
    let tensors = [
        ("pixels", TensorView::new(Dtype::U8, shape, &batch.pixels)?),
        ("objects", TensorView::new(Dtype::F32, vec![rows.len(), 6], &objects)?),
    ];
    Ok(serialize(tensors, None)?)
}

//! The weights that a training begins with.

use anyhow::{Context, Result, ensure};
use shared_model::{ColourOrder, Graph, NormState, ParameterLayout, Variant, Weights};

use super::loader::plain_batch;
use super::settings::Settings;
use super::{Engine, recreate_norm, transfer, unfolded};
use crate::data::TrainingSet;
use crate::models;

/// Training pictures that batch normalisation is re-created from, where weights have lost it.
const CALIBRATION_PICTURES: usize = 64;
/// Pictures that go through the network at once for that.
const CALIBRATION_BATCH: usize = 8;

/// Where a training begins.
#[derive(Clone, Debug)]
pub struct Initial {
    /// Parameters and statistics, as the layout has them.
    pub parameters: Vec<f32>,
    /// Where they come from, in a few words.
    pub origin: String,
    /// What was taken over from other weights, for people to read.
    pub transferred: Option<String>,
}

/// Random weights, with what fits of the weights to start from. Where those have batch normalisation folded into them, it
/// is re-created from the statistics of some training pictures.
///
/// # Errors
/// Fails where those weights cannot be read or the device fails.
pub fn initial(settings: &Settings, variant: &Variant, set: &TrainingSet, engine: &mut dyn Engine) -> Result<Initial> {
    let graph = variant.graph(set.class_names.len());
    let layout = ParameterLayout::new(&graph);
    let mut random = Weights::random(variant, set.class_names.len(), settings.seed);
    random.metadata.class_names.clone_from(&set.class_names);
    let Some(name) = &settings.init else {
        return Ok(Initial { parameters: layout.flatten(&random), origin: random.metadata.source, transferred: None });
    };
    let from = models::load(Some(name)).context("--init")?.weights;
    ensure!(
        from.metadata.colour_order == ColourOrder::Bgr,
        "--init {name}: these weights take pictures in the order red, green, blue, which is not trained here"
    );
    let (weights, report) = transfer(&random, &unfolded(&from)?).with_context(|| format!("--init {name}"))?;
    let mut parameters = layout.flatten(&weights);
    let mut transferred = report.to_string();
    if from.metadata.norm == NormState::Folded {
        transferred += &recreate(engine, &graph, &mut parameters, set, settings.size)?;
    }
    Ok(Initial { parameters, origin: format!("{name} ({})", from.metadata.variant), transferred: Some(transferred) })
}

/// Re-creates batch normalisation from pictures all over the training set; says so.
fn recreate(
    engine: &mut dyn Engine,
    graph: &Graph,
    parameters: &mut [f32],
    set: &TrainingSet,
    size: usize,
) -> Result<String> {
    let count = set.items.len().min(CALIBRATION_PICTURES);
    let pictures: Vec<usize> = (0..count).map(|i| i * set.items.len() / count).collect();
    let batch = |pictures: &[usize]| Ok(plain_batch(set, pictures, size)?.batch);
    let batches = pictures.chunks(CALIBRATION_BATCH).map(batch).collect::<Result<Vec<_>>>()?;
    recreate_norm(engine, graph, parameters, &batches)?;
    Ok(format!("\n  batch normalisation re-created from {count} training pictures"))
}

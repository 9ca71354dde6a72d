//! The weights that a training begins with.

use anyhow::{Context, Result, ensure};
use shared_model::{Channels, ColourOrder, NormState, ParameterLayout, Variant, Weights};

use super::loader::plain_batch;
use super::settings::Settings;
use super::start::MakeEngine;
use super::{Fate, recreate_norm, settle_norm, transfer};
use crate::data::TrainingSet;
use crate::engine::{Batch, Engine};
use crate::models;

/// Training images that batch normalisation is re-created from, where weights have lost it or it is another network's.
pub(super) const CALIBRATION_IMAGES: usize = 64;
/// Images that go through the network at once for that.
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
    /// Layers that do not compute what their counterparts did, or have none.
    pub unfit: Vec<String>,
}

/// Random weights, with what fits of the weights to start from. Where those have batch normalisation folded into them, it
/// is re-created first, from the statistics of some training images. `engine` computes the network that is trained, which has
/// these `channels`.
///
/// # Errors
/// Fails where those weights cannot be read or the device fails.
pub fn initial(
    settings: &Settings,
    channels: &Channels,
    set: &TrainingSet,
    make_engine: &MakeEngine,
    engine: &mut dyn Engine,
) -> Result<Initial> {
    let variant = Variant::named(&settings.variant)?;
    let mut random = Weights::random_pruned(variant, channels, set.class_names.len(), settings.seed)?;
    let graph = random.graph()?;
    let layout = ParameterLayout::new(&graph);
    random.metadata.class_names.clone_from(&set.class_names);
    let Some(name) = &settings.init else {
        return Ok(Initial {
            parameters: layout.flatten(&random),
            origin: random.metadata.source,
            transferred: None,
            unfit: Vec::new(),
        });
    };
    let mut from = models::load(Some(name)).context("--init")?.weights;
    ensure!(
        from.metadata.colour_order == ColourOrder::Bgr,
        "--init {name}: these weights take images in the order red, green, blue, which is not trained here"
    );
    let mut notes = String::new();
    if from.metadata.norm == NormState::Fused {
        // In the network that they were trained in: in another one, layers that have no counterpart there would give
        // their statistics to those behind them.
        let graph = from.graph()?;
        let layout = ParameterLayout::new(&graph);
        from = from.unfused().with_context(|| format!("--init {name}"))?;
        let mut parameters = layout.flatten(&from);
        let batches = calibration(set, settings.size, CALIBRATION_IMAGES)?;
        recreate_norm(make_engine(&graph, settings)?.as_mut(), &graph, &mut parameters, &batches)?;
        from = layout.weights(&parameters, from.metadata);
        notes += &format!("\n  batch normalisation re-created from {} training images", images(&batches));
    }
    let (weights, report) = transfer(&random, &from).with_context(|| format!("--init {name}"))?;
    let mut parameters = layout.flatten(&weights);
    if from.metadata.variant != variant.name {
        let batches = calibration(set, settings.size, CALIBRATION_IMAGES)?;
        let before = parameters.clone();
        settle_norm(engine, &graph, &mut parameters, &batches)?;
        if report.same_function() {
            // What the other network was normalised by over its whole training is better than what a few images say.
            let is_silent = |name: &str| {
                let mut silent = report.layers.get(&Fate::Silent).into_iter().flatten();
                silent.any(|(layer, _)| name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.')))
            };
            for (_, range) in layout.entries.iter().filter(|(parameter, _)| !is_silent(&parameter.name)) {
                parameters[range.clone()].copy_from_slice(&before[range.clone()]);
            }
        }
        notes += &format!("\n  statistics of batch normalisation from {} training images", images(&batches));
    }
    let unfit = [Fate::Approximate, Fate::Random].into_iter().filter_map(|fate| report.layers.get(&fate));
    Ok(Initial {
        unfit: unfit.flatten().map(|(name, _)| name.clone()).collect(),
        parameters,
        origin: format!("{name} ({})", from.metadata.variant),
        transferred: Some(format!("{report}{notes}")),
    })
}

/// Images all over the training set, as they are.
///
/// # Errors
/// Fails where one cannot be read.
pub(crate) fn calibration(set: &TrainingSet, size: usize, images: usize) -> Result<Vec<Batch>> {
    let count = set.items.len().min(images);
    let images: Vec<usize> = (0..count).map(|i| i * set.items.len() / count).collect();
    images.chunks(CALIBRATION_BATCH).map(|images| Ok(plain_batch(set, images, size)?.batch)).collect()
}

fn images(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.images).sum()
}

//! The weights that a training begins with.

use anyhow::{Result, bail};
use shared_model::{ParameterLayout, Variant, Weights};

use super::Engine;
use super::settings::Settings;
use crate::data::TrainingSet;

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

/// Random weights, with what fits of the weights to start from.
///
/// # Errors
/// Fails where those weights cannot be read or the device fails.
pub fn initial(
    settings: &Settings,
    variant: &Variant,
    set: &TrainingSet,
    layout: &ParameterLayout,
    _engine: &mut dyn Engine,
) -> Result<Initial> {
    let mut random = Weights::random(variant, set.class_names.len(), settings.seed);
    random.metadata.class_names.clone_from(&set.class_names);
    if settings.init.is_some() {
        bail!("--init is still to come");
    }
    Ok(Initial { parameters: layout.flatten(&random), origin: random.metadata.source, transferred: None })
}

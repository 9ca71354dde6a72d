//! Some steps of real training.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use shared_model::{ParameterLayout, VARIANTS, Weights};

use super::CLASSES;
use crate::augment::Augmentation;
use crate::commands::bench::SEED;
use crate::commands::bench::train::random_objects;
use crate::data::Object;
use crate::data::images::Images;
use crate::data::{Difficult, Source, TrainingSet};
use crate::engine::{Batch, EngineChoice};
use crate::train::loader::LabelledBatch;
use crate::train::loader::{Loader, LoaderSettings};
use crate::train::plan::EpochPlan;
use crate::train::schedule::{Schedule, StageLengths};
use crate::train::{LossSettings, Optimizer, loss};

const WEIGHT_DECAY: f64 = 5e-4;
/// For each 64 images of a step, as in the reference recipe.
const LEARNING_RATE: f64 = 0.01;
/// Steps in which the learning rate rises.
const WARM_UP: usize = 20;
/// The loss has fallen if it ends below this part of its beginning.
const FALLEN: f64 = 0.9;
/// Memory for decoded images.
const CACHE: usize = 4 << 30;
/// The training that the goal is about: epochs and images.
const WHOLE_TRAINING: (usize, usize) = (300, 5000);

/// How a short training went.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Learned {
    computed_by: String,
    data: String,
    batch: usize,
    steps: usize,
    /// Mean loss of the first and the last tenth.
    first_loss: f64,
    last_loss: f64,
    /// Of the second half, loading included.
    images_per_second: f64,
    /// The part of that time in which the step waited for images.
    waiting: f64,
}

impl Learned {
    pub(super) fn falls(&self) -> bool {
        self.last_loss < FALLEN * self.first_loss
    }
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epochs, images) = WHOLE_TRAINING;
        let minutes = (epochs * images) as f64 / self.images_per_second / 60.0;
        write!(
            f,
            "{} steps of {} images ({}), {}: loss {:.2} to {:.2}; {:.0} images/s, {:.0} % of the time waiting for images; \
             {epochs} epochs of {images} images would take {minutes:.0} minutes",
            self.steps,
            self.batch,
            self.data,
            self.computed_by,
            self.first_loss,
            self.last_loss,
            self.images_per_second,
            100.0 * self.waiting
        )
    }
}

/// Trains the baseline for some steps from random weights.
///
/// # Errors
/// Fails where data cannot be read, the engine fails, or the loss is no number.
pub(super) fn learn(
    choice: EngineChoice,
    data: Option<&Source>,
    batch: usize,
    size: usize,
    steps: usize,
) -> Result<Learned> {
    let variant = &VARIANTS[0];
    let mut batches: Box<dyn Iterator<Item = Result<LabelledBatch>>> = match data {
        Some(source) => Box::new(photographs(source, batch, size)?),
        None => Box::new(rectangles(batch, size)),
    };
    let layout = ParameterLayout::new(&variant.graph(CLASSES));
    let mut parameters = layout.flatten(&Weights::random(variant, CLASSES, SEED));
    let mut sgd = Optimizer::sgd(&layout, WEIGHT_DECAY);
    let mut engine = choice.engine(&variant.graph(CLASSES))?;
    let mut update = vec![0.0; layout.len];
    let mut losses = Vec::new();
    let (mut half, mut waited) = (Instant::now(), 0.0);
    for step in 0..steps {
        if step == steps / 2 {
            (half, waited) = (Instant::now(), 0.0);
        }
        let asked = Instant::now();
        let labelled = batches.next().context("there are no more batches")??;
        waited += asked.elapsed().as_secs_f64();
        engine.load(&parameters)?;
        let mut head = |output: &_| {
            let (found, gradient) = loss(output, &labelled.objects, &LossSettings::default());
            losses.push(f64::from(found.total));
            Ok(gradient)
        };
        engine.step(&labelled.batch, &mut head, &mut update)?;
        ensure!(losses.iter().all(|loss| loss.is_finite()), "the loss of step {step} is no number");
        let warm = ((step + 1) as f32 / WARM_UP as f32).min(1.0);
        sgd.step(&layout, &mut parameters, &update, f64::from(warm) * LEARNING_RATE * batch as f64 / 64.0);
    }
    let seconds = half.elapsed().as_secs_f64();
    let part = (steps / 10).max(1).min(losses.len());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    Ok(Learned {
        computed_by: choice.to_string(),
        data: data.map_or("drawn rectangles".into(), ToString::to_string),
        batch,
        steps,
        first_loss: mean(&losses[..part]),
        last_loss: mean(&losses[losses.len() - part..]),
        images_per_second: ((steps - steps / 2) * batch) as f64 / seconds,
        waiting: waited / seconds,
    })
}

/// Batches as a training of 300 epochs begins with.
fn photographs(source: &Source, batch: usize, size: usize) -> Result<Loader> {
    let set = Arc::new(TrainingSet::open(std::slice::from_ref(source), None, Difficult::Learn)?);
    ensure!(set.class_names.len() <= CLASSES, "{source} has more than {CLASSES} classes");
    let images = set.items.len();
    ensure!(batch <= images, "{source} has {images} images, fewer than a batch of {batch}");
    let plan = EpochPlan { seed: SEED, images, batch, accumulate: 1, size, multi_scale: None, mosaic: true };
    let per_epoch = plan.iterations_per_epoch();
    let schedule = Schedule::new(per_epoch, WHOLE_TRAINING.0 * per_epoch, StageLengths::default());
    let threads = rayon::current_num_threads();
    let settings = LoaderSettings { seed: SEED, threads, prefetch: threads + 4 };
    let images = Arc::new(Images::new(set, CACHE));
    Ok(Loader::start(images, Augmentation::default(), settings, 0, move |i| Some(plan.batch(i, &schedule))))
}

/// Rectangles on noise, in a colour for each class.
fn rectangles(batch: usize, size: usize) -> impl Iterator<Item = Result<LabelledBatch>> {
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    std::iter::from_fn(move || {
        let objects = random_objects(&mut rng, batch, size);
        let mut pixels: Vec<u8> = (0..3 * batch * size * size).map(|_| rng.random_range(100..150)).collect();
        for (image, objects) in pixels.chunks_exact_mut(3 * size * size).zip(&objects) {
            objects.iter().for_each(|object| paint(image, size, object));
        }
        let batch = Batch { pixels, images: batch, height: size, width: size };
        Some(Ok(LabelledBatch { batch, objects }))
    })
}

fn paint(image: &mut [u8], size: usize, object: &Object) {
    let within = |centre: f32, length: f32| {
        let [low, high] = [-0.5, 0.5].map(|side| (centre + side * length).clamp(0.0, size as f32) as usize);
        low..high
    };
    for (colour, plane) in image.chunks_exact_mut(size * size).enumerate() {
        // Three levels of three colours: 27 of them.
        let level = object.class / 3_usize.pow(colour as u32) % 3;
        for y in within(object.cy, object.h) {
            plane[y * size..][within(object.cx, object.w)].fill([20, 180, 250][level]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_can_be_learned() {
        let learned = learn(EngineChoice::default(), None, 8, 64, 200).unwrap();
        assert!(learned.falls(), "{learned}");
    }
}

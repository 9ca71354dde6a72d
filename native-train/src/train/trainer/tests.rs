//! The loop, around an engine that is a line a channel.

use std::path::{Path, PathBuf};

use anyhow::Context;
use shared_model::{Graph, ParameterLayout, Variant, Weights};

use super::*;
use crate::data::testing::{VocBuilder, rectangles};
use crate::engine::{Batch, CpuEngine, Engine, HeadOutput};
use crate::train::init::calibration;
use crate::train::metrics::Evaluation;
use crate::train::settings::Settings;
use crate::train::settle_norm;
use crate::train::start::{Resumed, Run, new_run, resumed_run};

/// Every anchor's row is `parameters[..row] * (1 + brightness of the image)`; the statistics are the brightness.
struct Line {
    layout: ParameterLayout,
    row: usize,
    parameters: Vec<f32>,
}

impl Line {
    fn make(graph: &Graph, _: &Settings) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self { layout: ParameterLayout::new(graph), row: 5 + graph.classes, parameters: Vec::new() }))
    }

    fn brightness(batch: &Batch) -> Vec<f32> {
        let size = 3 * batch.width * batch.height;
        let mean = |pixels: &[u8]| pixels.iter().map(|&level| f32::from(level)).sum::<f32>() / size as f32 / 255.0;
        batch.pixels.chunks(size).map(mean).collect()
    }
}

impl Engine for Line {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        self.parameters = parameters.to_vec();
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        let output = self.infer(batch)?;
        let gradient = loss(&output)?;
        let brightness = Self::brightness(batch);
        update.fill(0.0);
        for (parameter, range) in &self.layout.entries {
            if !parameter.trainable {
                update[range.clone()].fill(brightness[0] + 0.5);
            }
        }
        let of_image = output.anchors() * self.row;
        for (gradients, brightness) in gradient.chunks(of_image).zip(brightness) {
            for row in gradients.chunks(self.row) {
                update.iter_mut().zip(row).for_each(|(sum, gradient)| *sum += gradient * (1.0 + brightness));
            }
        }
        Ok(())
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        let anchors = shared_model::anchors(batch.height, batch.width).len();
        let row = &self.parameters[..self.row];
        let values = Self::brightness(batch).into_iter().flat_map(|brightness| {
            let of_anchor = row.iter().map(move |parameter| parameter * (1.0 + brightness));
            std::iter::repeat_n(of_anchor, anchors).flatten()
        });
        Ok(HeadOutput {
            values: values.collect(),
            images: batch.images,
            classes: self.row - 5,
            height: batch.height,
            width: batch.width,
        })
    }

    fn observe(&mut self, _: &Batch, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
}

/// An engine that computes so many steps.
struct Broken {
    line: Box<dyn Engine>,
    steps: usize,
}

impl Engine for Broken {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        self.line.load(parameters)
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        self.steps = self.steps.checked_sub(1).context("the engine is broken")?;
        self.line.step(batch, loss, update)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.line.infer(batch)
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        self.line.observe(batch, statistics)
    }
}

/// Six images, two a step, 64 pixels wide: three steps an epoch.
fn settings(voc: &VocBuilder, more: &str) -> Settings {
    let text = format!(
        "train = ['{train}']\nval = ['{train}']\nsize = 64\nbatch = 2\nepochs = 2\neval-every = 1\nlr = 0.01",
        train = voc.source("train")
    );
    Settings::from_layers(&[text.parse().unwrap(), more.parse().unwrap()]).unwrap()
}

fn trainer(run: Run) -> Trainer {
    Trainer::new(run.parts, run.checkpoint, Ranks::alone(), Interrupt::default()).unwrap()
}

fn ready(resumed: Resumed) -> Run {
    match resumed {
        Resumed::Ready(run) => run,
        Resumed::Complete(what) => panic!("{what}"),
    }
}

fn start(voc: &VocBuilder, more: &str, out: &Path) -> Trainer {
    trainer(new_run(settings(voc, more), Some(out), &Line::make).unwrap())
}

fn resume(out: &Path, given: &str) -> Result<Trainer> {
    Ok(trainer(ready(resumed_run(out, given.parse().unwrap(), &Line::make, |_| Ok(()))?)))
}

fn checkpoint(out: &Path) -> Checkpoint {
    let path = RunFolder::existing(out).checkpoint();
    let mut checkpoint = Checkpoint::read(&path, |progress| Ok(ParameterLayout::new(&progress.graph()?).len)).unwrap();
    // The clock alone may differ.
    checkpoint.progress.seconds = 0.0;
    checkpoint
}

/// Losses and evaluations, without what the clock and the machine say.
fn records(out: &Path) -> Vec<Record> {
    let mut records = metrics::read(&out.join("metrics.jsonl")).unwrap();
    for record in &mut records {
        match record {
            Record::Step(step) => (step.images_per_second, step.memory_mib) = (0.0, 0.0),
            Record::Evaluation(evaluation) => evaluation.seconds = 0.0,
        }
    }
    records
}

fn native(graph: &Graph, _: &Settings) -> Result<Box<dyn Engine>> {
    Ok(Box::new(CpuEngine::new(graph)?))
}

/// A weight file in `folder`: the baseline with random weights.
fn random_baseline(folder: &Path, class_names: Vec<String>) -> PathBuf {
    let path = folder.join("baseline.safetensors");
    let mut weights = Weights::random(Variant::named("baseline").unwrap(), class_names.len(), 5);
    weights.metadata.class_names = class_names;
    std::fs::write(&path, weights.to_bytes(shared_model::WeightPrecision::Single).unwrap()).unwrap();
    path
}

/// Another variant than its teacher, stopped while its parts are fitted and again later.
#[test]
fn a_student_that_is_stopped_goes_on_as_if_it_never_had() {
    let (voc, set) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let teacher = random_baseline(folder.path(), set.class_names);
    let more = format!(
        "variant = 'dw3'\ninit = '{0}'\ndistill = '{0}'\nfit-steps = 3\noptimizer = 'muon'\nclip = 1.0\nlr-hold = 0.5\n\
         labels = 0.5\ndistill-output = 3.0\ndistill-features = 0.25",
        teacher.display()
    );
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let new = |out: &Path| trainer(new_run(settings(&voc, &more), Some(out), &native).unwrap());
    let resumed = || trainer(ready(resumed_run(&stopped, toml::Table::new(), &native, |_| Ok(())).unwrap()));
    assert_eq!(new(&whole).train().unwrap(), Ending::Finished);
    for iteration in [1, 2, 3, 4] {
        let mut part = if iteration == 1 { new(&stopped) } else { resumed() };
        part.interrupt.ask();
        assert_eq!(part.train().unwrap(), Ending::Interrupted);
        assert_eq!(part.progress().iteration, iteration);
    }
    assert_eq!(resumed().train().unwrap(), Ending::Finished);
    assert_eq!(records(&whole), records(&stopped));
    assert_eq!(checkpoint(&whole), checkpoint(&stopped));

    let steps: Vec<StepMetrics> = records(&whole)
        .into_iter()
        .filter_map(|record| match record {
            Record::Step(step) => Some(step),
            Record::Evaluation(_) => None,
        })
        .collect();
    assert_eq!(steps.len(), 3 + 2 * 3, "fitting comes in addition to the epochs");
    assert!(steps.iter().all(|step| step.parts.len() == 8 && step.output.is_some()), "dw3 has another head, too");
    assert!(steps[..3].iter().all(|step| step.iou == 0.0) && steps[3..].iter().all(|step| step.iou > 0.0));
    assert!(steps[2].features < steps[0].features, "{:?}", steps.iter().map(|step| step.features).collect::<Vec<_>>());
    for (i, step) in steps.iter().enumerate() {
        let [of_labels, of_output, of_features] = if i < 3 { [0.0, 1.0, 1.0] } else { [0.5, 3.0, 0.25] };
        let labels = step.iou + step.obj + step.cls + step.l1;
        let expected =
            of_labels * labels + of_output * step.output.unwrap() + of_features * step.parts.iter().sum::<f64>();
        assert!((step.loss / expected - 1.0).abs() < 1e-4, "step {i}: {} instead of {expected}", step.loss);
    }
}

/// Weights of the last mosaic are those before another stage; a training without one has none.
#[test]
fn a_training_that_ends_with_mosaics_keeps_no_weights_of_the_last_one() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    for (epochs, is_kept) in [("0.0", false), ("1.0", true)] {
        let out = folder.path().join(epochs);
        let more = format!("no-mosaic-epochs = {epochs}\n[augmentation]\nmosaic = 1.0");
        start(&voc, &more, &out).train().unwrap();
        assert_eq!(out.join("weights/last-mosaic.safetensors").exists(), is_kept, "{epochs}");
    }
}

/// Stopped by what nobody can catch, here an engine that fails, a training has its last checkpoint.
#[test]
fn checkpoints_come_as_often_as_is_asked() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    for (minutes, expected) in [("1e-9", 4), ("60.0", 0)] {
        let out = folder.path().join(minutes);
        let settings = settings(&voc, &format!("checkpoint-every = {minutes}\neval-every = 9"));
        let make = |graph: &Graph, settings: &Settings| -> Result<Box<dyn Engine>> {
            Ok(Box::new(Broken { line: Line::make(graph, settings)?, steps: 4 }))
        };
        let mut trainer = trainer(new_run(settings, Some(&out), &make).unwrap());
        assert!(trainer.train().is_err());
        assert_eq!(checkpoint(&out).progress.iteration, expected, "every {minutes} minutes");
    }
}

/// A budget of time is looked at every tenth iteration, by images of the plan.
#[test]
fn a_budget_of_time_is_planned_now_and_then() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = start(&voc, "time-budget = '1h'", &folder.path().join("run"));
    assert_eq!((trainer.images_per_iteration(), trainer.progress().schedule.per_epoch), (2.0, 3));
    let pixels = 2.0 * 64.0 * 64.0;
    assert_eq!(trainer.work().pixels, pixels);
    for _ in 0..20 {
        trainer.throughput.step(pixels, 1.0);
    }
    let before = trainer.progress.schedule;
    trainer.progress.iteration = 9;
    trainer.replan();
    assert_eq!(trainer.progress.schedule, before);
    trainer.progress.iteration = 10;
    trainer.replan();
    let iterations = trainer.progress.schedule.iterations;
    assert!((2700..=3700).contains(&iterations), "{iterations} iterations of a second in an hour");
}

/// It is told how many those are, and weights that are not there by the flag that asked for them.
#[test]
fn another_variant_begins_with_statistics_of_as_many_images_as_there_are() {
    let (voc, set) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let path = random_baseline(folder.path(), set.class_names);
    let more = format!("variant = 'dw3'\ninit = '{}'", path.display());
    let run = new_run(settings(&voc, &more), Some(&folder.path().join("run")), &native).unwrap();
    let text = run.introduction().join("\n");
    for part in ["statistics of batch normalisation from 6 training images", "2 epochs of 3 steps"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let missing = |flag: &str| {
        let settings = settings(&voc, &format!("{flag} = 'nowhere.safetensors'"));
        format!("{:#}", new_run(settings, Some(&folder.path().join(flag)), &native).err().unwrap())
    };
    for flag in ["init", "distill"] {
        assert!(missing(flag).starts_with(&format!("--{flag}")), "{}", missing(flag));
    }
}

#[test]
fn stopping_and_going_on_changes_nothing() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let more = "multi-scale = '32:96'\naccumulate = 2\nseed = 3";
    assert_eq!(start(&voc, more, &whole).train().unwrap(), Ending::Finished);

    let mut first = start(&voc, more, &stopped);
    first.interrupt.ask();
    assert_eq!(first.train().unwrap(), Ending::Interrupted);
    assert_eq!(first.progress().iteration, 1);
    drop(first);
    let mut second = resume(&stopped, "").unwrap();
    second.interrupt.ask();
    second.train().unwrap();
    drop(second);
    assert_eq!(resume(&stopped, "").unwrap().train().unwrap(), Ending::Finished);

    assert_eq!(checkpoint(&stopped), checkpoint(&whole));
    assert_eq!(records(&stopped), records(&whole));
    for name in ["last", "last-raw", "best", "best-raw", "last-mosaic"] {
        let read = |out: &Path| std::fs::read(out.join(format!("weights/{name}.safetensors"))).unwrap();
        assert!(read(&stopped) == read(&whole), "{name}");
    }
}

#[test]
fn a_process_that_was_killed_after_its_checkpoint_goes_on_from_there() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    start(&voc, "", &whole).train().unwrap();

    let mut first = start(&voc, "", &killed);
    first.interrupt.ask();
    first.train().unwrap();
    drop(first);
    let saved = std::fs::read(killed.join("checkpoint.safetensors")).unwrap();
    resume(&killed, "").unwrap().train().unwrap();
    std::fs::write(killed.join("checkpoint.safetensors"), saved).unwrap();
    resume(&killed, "").unwrap().train().unwrap();
    assert_eq!(records(&killed), records(&whole), "every step and evaluation once");
    assert_eq!(checkpoint(&killed), checkpoint(&whole));
}

#[test]
fn a_image_that_breaks_in_the_middle_costs_nothing_but_a_resume() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    let more = "cache = 0\n[augmentation]\nmosaic = 0.0";
    start(&voc, more, &whole).train().unwrap();

    let mut trainer = start(&voc, more, &broken);
    let image = trainer.parts.learner.set.items
        [trainer.parts.learner.plan.batch(4, &trainer.progress.schedule).images[0].1]
        .image
        .path()
        .to_path_buf();
    let bytes = std::fs::read(&image).unwrap();
    std::fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    let error = format!("{:#}", trainer.train().unwrap_err());
    for part in [image.to_str().unwrap(), "cut short", "train --resume"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
    std::fs::write(&image, &bytes).unwrap();
    drop(trainer);
    resume(&broken, "").unwrap().train().unwrap();
    assert_eq!(checkpoint(&broken), checkpoint(&whole));
    assert_eq!(records(&broken), records(&whole));
}

#[test]
fn the_mean_reaches_the_weight_file_and_differs_from_the_raw_weights() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut trainer = start(&voc, "ema-decay = 0.9", &out);
    let initial = trainer.ema.values.clone();
    trainer.train().unwrap();
    let read = |name: &str| {
        let bytes = std::fs::read(out.join("weights").join(name)).unwrap();
        Weights::from_bytes(&bytes).unwrap()
    };
    let (mean, raw) = (read("last.safetensors"), read("last-raw.safetensors"));
    let layout = &trainer.parts.learner.layout;
    assert_eq!(layout.flatten(&mean), trainer.ema.values);
    assert_eq!(layout.flatten(&raw), trainer.parameters);
    assert!(mean.tensors != raw.tensors && layout.flatten(&mean) != initial);
    assert_eq!((mean.metadata.class_names.len(), mean.metadata.input_size), (6, 64));
    let training = mean.metadata.training.unwrap();
    assert_eq!((&training["iterations"], &training["recipe"]["batch"]), (&6.into(), &2.into()));
    for name in ["config.toml", "config.json", "curves.svg", "report/per-class.txt", "report/confusion.svg"] {
        assert!(out.join(name).is_file(), "{name}");
    }
}

#[test]
fn a_finished_run_can_be_made_longer() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    start(&voc, "", &out).train().unwrap();
    match resumed_run(&out, toml::Table::new(), &Line::make, |_| Ok(())).unwrap() {
        Resumed::Complete(what) => assert!(what.contains("2.00 epochs") && what.contains("--epochs"), "{what}"),
        Resumed::Ready(_) => panic!("there is nothing left to be done"),
    }
    let mut longer = resume(&out, "epochs = 3").unwrap();
    assert_eq!(longer.train().unwrap(), Ending::Finished);
    assert_eq!(longer.progress().iteration, 9);
    let stored: Settings = toml::from_str(&std::fs::read_to_string(out.join("config.toml")).unwrap()).unwrap();
    assert_eq!(stored.epochs, 3);
}

#[test]
fn divergence_names_the_step_the_layer_and_the_checkpoint() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut trainer = start(&voc, "lr = 1e30\nwarmup-epochs = 0", &out);
    let error = format!("{:#}", trainer.train().unwrap_err());
    for part in ["in step 2", "backbone.backbone.stem.conv.conv.weight", "checkpoint.safetensors", "lower --lr"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
    assert_eq!(checkpoint(&out).progress.iteration, 0, "the good checkpoint is still there");
}

#[test]
fn changed_labels_stop_a_resume() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut trainer = start(&voc, "", &out);
    trainer.interrupt.ask();
    trainer.train().unwrap();
    drop(trainer);
    voc.split("train", &["colour1", "colour0", "colour2", "colour3", "colour4", "colour5"]);
    let error = resume(&out, "").err().unwrap().to_string();
    assert!(error.contains("not the one") && error.contains("--init"), "{error}");
}

/// Weights to start from are scored first, so that nobody has to wonder whether training made them better.
#[test]
fn what_training_has_to_beat_is_scored_first() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    start(&voc, "", &first).train().unwrap();
    let weights = first.join("weights/last-raw.safetensors");
    let mut trainer = start(&voc, &format!("init = '{}'", weights.display()), &second);
    assert_eq!(
        trainer.parameters,
        trainer.parts.learner.layout.flatten(&crate::models::load(weights.to_str()).unwrap().weights)
    );
    trainer.train().unwrap();
    let first = records(&second).into_iter().next();
    assert!(matches!(first, Some(Record::Evaluation(Evaluation { iteration: 0, best: true, .. }))), "{first:?}");
}

#[test]
fn frozen_parameters_stay() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = start(&voc, "freeze = ['backbone']", &folder.path().join("run"));
    let before = trainer.parameters.clone();
    trainer.train().unwrap();
    for (parameter, range) in &trainer.parts.learner.layout.entries {
        if parameter.name.starts_with("backbone") {
            assert_eq!(trainer.parameters[range.clone()], before[range.clone()], "{}", parameter.name);
        }
    }
}

/// All images in one batch: their statistics are those of the layers' inputs.
#[test]
fn statistics_are_taken_anew_at_the_end() {
    let (voc, set) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, more: &str| {
        let run =
            new_run(settings(&voc, &format!("epochs = 1\n{more}")), Some(&folder.path().join(name)), &native).unwrap();
        let mut trainer = trainer(run);
        assert_eq!(trainer.train().unwrap(), Ending::Finished);
        (
            trainer.parts.learner.graph.clone(),
            trainer.parts.learner.layout.clone(),
            trainer.ema.values.clone(),
            trainer.parameters.clone(),
        )
    };
    let (graph, layout, before, parameters) = train("before", "");
    let (_, _, after, unchanged) = train("after", "norm-images = 6");
    let (_, _, frozen, _) = train("frozen", "norm-images = 6\nfreeze = ['backbone']");
    assert_eq!(parameters, unchanged);
    let mut expected = before.clone();
    let mut engine = CpuEngine::new(&graph).unwrap();
    settle_norm(&mut engine, &graph, &mut expected, &calibration(&set, 64, 6).unwrap()).unwrap();
    assert_eq!(after, expected);
    assert_ne!(after, before);
    let entries = layout.entries.iter().filter(|(parameter, _)| parameter.name.starts_with("backbone"));
    let start = layout.flatten(&Weights::random(Variant::named("baseline").unwrap(), set.class_names.len(), 0));
    for (parameter, range) in entries {
        assert_eq!(frozen[range.clone()], start[range.clone()], "{}", parameter.name);
    }
    assert_eq!(checkpoint(&folder.path().join("after")).ema, after);
}

/// Evaluations that are no better end the mosaics, not the training: its last stage follows, as long as it was planned.
#[test]
fn patience_begins_the_last_stage_and_stopping_changes_nothing() {
    let (voc, _) = rectangles();
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    // Random networks find nothing: the first evaluation is the best.
    let more = "batch = 3\nepochs = 6\npatience = 1\n[augmentation]\nmosaic = 1.0";
    let mut trainer = start(&voc, more, &whole);
    assert_eq!((trainer.progress().schedule.no_aug_from, trainer.progress().schedule.iterations), (10, 12));
    assert_eq!(trainer.train().unwrap(), Ending::Finished);
    let TrainingProgress { iteration, schedule, best, .. } = trainer.progress();
    assert_eq!((*iteration, schedule.no_aug_from, schedule.iterations), (6, 4, 6));
    assert_eq!(best.map(|best| best.iteration), Some(2));
    for record in records(&whole) {
        if let Record::Step(step) = record {
            assert_eq!(step.l1 > 0.0, step.iteration > 4, "step {}", step.iteration);
        }
    }
    assert!(whole.join("weights/last-mosaic.safetensors").is_file());

    for iteration in 1..=6 {
        let mut one = if iteration == 1 { start(&voc, more, &stopped) } else { resume(&stopped, "").unwrap() };
        one.interrupt.ask();
        one.train().unwrap();
        assert_eq!(one.progress().iteration, iteration);
    }
    assert_eq!(records(&stopped), records(&whole));
    assert_eq!(checkpoint(&stopped), checkpoint(&whole));
}

//! The engine of a GPU.

use std::any::Any;
use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use shared_model::graph::{Node, NormState, SIZE_MULTIPLE};
use shared_model::lowering::{Lowered, lower};
use shared_model::training::{Features, NormMode, TrainingPlan};
use shared_model::{Graph, ParameterLayout};

use super::device::{Device, Offset};
use super::layers::{CudaConv, convolutions};
use super::memory::{Amounts, Memory};
use super::programs::Programs;
use crate::engine::{Batch, Engine, HeadOutput, Lesson, OutputGradients, Outputs, WithHead};

/// Sizes of batches whose programs are kept: multi-scale training has a dozen, and validation's last batch is smaller.
const KEPT: usize = 64;

/// Computes a network on a device.
pub struct CudaEngine<D> {
    device: D,
    graph: Graph,
    layout: ParameterLayout,
    lowered: Vec<Lowered>,
    convolutions: Vec<Option<CudaConv>>,
    /// Tapped layers, in order of execution.
    taps: Vec<Node>,
    /// Of what does not depend on the batch.
    amounts: Amounts,
    parameters: Vec<f32>,
    /// Whether the device has the parameters.
    is_loaded: bool,
    /// By images, height, width.
    sizes: BTreeMap<(usize, usize, usize), BatchSize>,
}

/// What belongs to one size of batch.
struct BatchSize {
    memory: Memory,
    programs: Programs,
    plan: TrainingPlan,
    images: usize,
}

impl BatchSize {
    /// Where a layer's output is.
    fn out(&self, _: usize, node: Node) -> Offset {
        self.memory.arena + self.images * self.plan.ranges[node.0].out.start
    }
}

/// Blocks of numbers in rows and columns, the other way round: a GPU has channels x images, features are images x channels.
fn exchanged(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let block = values.len() / (rows * columns);
    let mut all = Vec::with_capacity(values.len());
    for column in 0..columns {
        for row in 0..rows {
            all.extend_from_slice(&values[(row * columns + column) * block..][..block]);
        }
    }
    all
}

impl<D: Device> CudaEngine<D> {
    /// An engine for `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for a network with an operation that there is no kernel for.
    pub fn new(graph: &Graph, device: D) -> Result<Self> {
        let layout = ParameterLayout::new(graph);
        let lowered = lower(graph)?;
        let convolutions = convolutions(graph, &layout, &lowered)?;
        let channels = || convolutions.iter().flatten().map(|conv| conv.channels);
        let (channels, most_channels) = (channels().sum(), channels().max().unwrap_or(0));
        let amounts =
            Amounts { parameters: layout.len, channels, most_channels, images: 0, raw: 0, taps: 0, tap_channels: 0 };
        let (graph, taps, parameters, sizes) = (graph.clone(), Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { device, graph, layout, lowered, convolutions, taps, amounts, parameters, is_loaded: false, sizes })
    }

    pub fn device(&self) -> &D {
        &self.device
    }

    /// Launches and matrix products of one training step with batches of this size that the engine has seen; 0 for others.
    pub fn commands_of_a_step(&self, images: usize, height: usize, width: usize) -> usize {
        self.sizes.get(&(images, height, width)).map_or(0, |size| {
            size.programs.forward[NormMode::Batch as usize].commands.len() + size.programs.backward.commands.len()
        })
    }

    /// Has everything ready for this batch, and its pixels and the parameters on the device.
    fn prepare(&mut self, batch: &Batch) -> Result<()> {
        let &Batch { ref pixels, images, height, width } = batch;
        let multiple = |side: usize| side > 0 && side.is_multiple_of(SIZE_MULTIPLE);
        ensure!(
            images > 0 && multiple(height) && multiple(width) && pixels.len() == 3 * images * height * width,
            "a batch is images x 3 x height x width bytes with sides in multiples of {SIZE_MULTIPLE}, not {} bytes for \
             {images} images of {height} x {width}",
            pixels.len()
        );
        ensure!(!self.parameters.is_empty(), "parameters are loaded before the first batch");
        if !self.sizes.contains_key(&(images, height, width)) {
            if self.sizes.len() == KEPT {
                self.sizes.clear();
            }
            let plan = TrainingPlan::new(&self.graph, &self.lowered, &self.taps, height, width);
            let raw = images * self.graph.anchors(height, width) * (5 + self.graph.classes);
            let amounts = self.amounts_of(images, raw, height, width);
            let memory = Memory::new(amounts, &plan);
            let (graph, convolutions) = (&self.graph, &self.convolutions);
            let programs = Programs::new(graph, &self.lowered, convolutions, &plan, &memory, images, &self.taps)?;
            self.check_room(&plan, images, programs.memory)?;
            self.sizes.insert((images, height, width), BatchSize { memory, programs, plan, images });
        }
        let size = &self.sizes[&(images, height, width)];
        let memory = &size.memory;
        if self.device.capacity() < size.programs.memory {
            self.device.allocate(size.programs.memory)?;
            self.is_loaded = false;
            let offsets: Vec<i32> =
                self.convolutions.iter().flatten().flat_map(CudaConv::channel_offsets).flatten().collect();
            let bytes: Vec<u8> = offsets.into_iter().flat_map(i32::to_ne_bytes).collect();
            self.device.upload_bytes(memory.channel_offsets, &bytes)?;
            self.device.upload(memory.counters, &vec![0.0; self.amounts.most_channels])?;
        }
        if !self.is_loaded {
            self.device.upload(memory.parameters, &self.parameters)?;
            self.is_loaded = true;
        }
        self.device.upload_bytes(memory.pixels, pixels)
    }

    /// Fails where so many numbers for so many images are more than there is room for.
    fn check_room(&self, plan: &TrainingPlan, images: usize, needed: usize) -> Result<()> {
        let available = self.device.available()?;
        if needed <= available {
            return Ok(());
        }
        let room = |images: usize| {
            let raw = images * self.graph.anchors(plan.height, plan.width) * (5 + self.graph.classes);
            Memory::new(self.amounts_of(images, raw, plan.height, plan.width), plan).parts
        };
        // What is behind the last part does not grow with the images.
        let rest = needed - room(images);
        let fits = (1..images).rev().find(|&images| room(images) + rest <= available);
        let gib = |numbers: usize| 4.0 * numbers as f64 / f64::from(1 << 30);
        bail!(
            "{images} images of {} x {} need {:.2} GiB of the GPU's memory, and {:.2} GiB are free: {}",
            plan.width,
            plan.height,
            gib(needed),
            gib(available),
            fits.map_or("give a smaller --size".into(), |fits| format!("--batch {fits} would fit"))
        )
    }

    fn amounts_of(&self, images: usize, raw: usize, height: usize, width: usize) -> Amounts {
        let taps = self.taps.iter().map(|&tap| images * self.numbers(tap, height, width)).sum();
        let tap_channels = self.taps.iter().map(|&tap| self.graph.channels(tap)).sum();
        Amounts { images, raw, taps, tap_channels, ..self.amounts }
    }

    /// Numbers of a layer's output for an image.
    fn numbers(&self, node: Node, height: usize, width: usize) -> usize {
        let (h, w) = self.graph.layer(node).resolution.size(height, width);
        self.graph.channels(node) * h * w
    }

    /// Downloads the outputs of the tapped layers from where each of them lies.
    fn features(&mut self, batch: &Batch, located: impl Fn(&BatchSize, usize, Node) -> Offset) -> Result<Features> {
        let &Batch { images, height, width, .. } = batch;
        let mut features = Features::new();
        let mut offset = 0;
        for &tap in &self.taps {
            let mut values = vec![0.0; images * self.numbers(tap, height, width)];
            self.device.download(located(&self.sizes[&(images, height, width)], offset, tap), &mut values)?;
            offset += values.len();
            features.push(exchanged(&values, self.graph.channels(tap), images));
        }
        Ok(features)
    }

    /// Uploads the teacher's features or gradients.
    fn upload_features(&mut self, batch: &Batch, features: &Features) -> Result<()> {
        let &Batch { images, height, width, .. } = batch;
        let numbers = self.taps.iter().map(|&tap| images * self.numbers(tap, height, width));
        ensure!(features.iter().map(Vec::len).eq(numbers), "the features are not those of the tapped layers");
        let taught = self.sizes[&(images, height, width)].memory.taught;
        let all = features.iter().zip(&self.taps);
        let all: Vec<f32> =
            all.flat_map(|(values, &tap)| exchanged(values, images, self.graph.channels(tap))).collect();
        self.device.upload(taught, &all)
    }

    /// Begins to copy the teacher's features from where its last inference has left them.
    fn fetch_features(&mut self, teacher: &Self, batch: &Batch) -> Result<()> {
        let &Batch { images, height, width, .. } = batch;
        let key = (images, height, width);
        let mut offset = self.sizes[&key].memory.taught;
        ensure!(self.taps.len() == teacher.taps.len(), "the teacher's tapped layers are not those of this network");
        for (&ours, &theirs) in self.taps.iter().zip(&teacher.taps) {
            let numbers = images * self.numbers(ours, height, width);
            let same = numbers == images * teacher.numbers(theirs, height, width);
            ensure!(same, "the teacher's tapped layers have other channels than this network's");
            self.device.fetch(offset, &teacher.device, teacher.sizes[&key].out(0, theirs), numbers)?;
            offset += numbers;
        }
        Ok(())
    }

    /// Downloads each tapped layer's loss against the teacher's.
    fn feature_losses(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let memory = &self.sizes[&(batch.images, batch.height, batch.width)].memory;
        let channels: Vec<usize> = self.taps.iter().map(|&tap| self.graph.channels(tap)).collect();
        let all = channels.iter().sum::<usize>();
        let mut values = vec![0.0; all];
        self.device.download(memory.tap_channels + 2 * all, &mut values)?;
        let mut rest = &values[..];
        let sum = |channels: usize| {
            let (of_tap, behind) = rest.split_at(channels);
            rest = behind;
            of_tap.iter().map(|&loss| f64::from(loss)).sum::<f64>() as f32
        };
        Ok(channels.into_iter().map(sum).collect())
    }

    fn check_update(&self, update: &[f32]) -> Result<()> {
        let (expected, found) = (self.layout.len, update.len());
        ensure!(found == expected, "an update of {expected} numbers is needed, not {found}");
        Ok(())
    }

    /// Of layers that a lesson has left out.
    fn clear_behind_taps(&self, update: &mut [f32]) {
        let last = self.taps.last().map_or(0, |last| last.0);
        for layer in &self.graph.layers[last + 1..] {
            for parameter in self.graph.layer_parameters(layer, NormState::Separate) {
                let entry = self.layout.entries.iter().find(|(entry, _)| entry.name == parameter.name);
                entry.into_iter().for_each(|(_, offset)| update[offset.clone()].fill(0.0));
            }
        }
    }

    fn forward(&mut self, batch: &Batch, mode: NormMode) -> Result<HeadOutput> {
        self.prepare(batch)?;
        let &Batch { images, height, width, .. } = batch;
        let BatchSize { memory, programs, .. } = &self.sizes[&(images, height, width)];
        self.device.run(&programs.forward[mode as usize])?;
        let mut values = vec![0.0; images * self.graph.anchors(height, width) * (5 + self.graph.classes)];
        self.device.download(memory.raw, &mut values)?;
        Ok(HeadOutput { values, images, classes: self.graph.classes, height, width })
    }
}

impl<D: Device + 'static> Engine for CudaEngine<D> {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        if parameters.len() != self.layout.len {
            bail!("{} parameters for a network that has {}", parameters.len(), self.layout.len);
        }
        self.parameters.clear();
        self.parameters.extend_from_slice(parameters);
        self.is_loaded = false;
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        self.check_update(update)?;
        let output = self.forward(batch, NormMode::Batch)?;
        let gradient = loss(&output)?;
        ensure!(gradient.len() == output.values.len(), "the gradient has another size than the output");
        let BatchSize { memory, programs, .. } = &self.sizes[&(batch.images, batch.height, batch.width)];
        self.device.upload(memory.raw, &gradient)?;
        self.device.run(&programs.backward)?;
        self.device.download(memory.update, update)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.forward(batch, NormMode::Running)
    }

    fn tap(&mut self, layers: &[Node]) -> Result<()> {
        ensure!(
            layers.is_sorted_by(|a, b| a < b) && layers.iter().all(|layer| layer.0 < self.graph.layers.len()),
            "taps are layers of the network, in order of execution"
        );
        self.taps = layers.to_vec();
        // Their outputs need room of their own.
        self.sizes.clear();
        Ok(())
    }

    fn infer_features(&mut self, batch: &Batch) -> Result<Outputs> {
        let head = self.infer(batch)?;
        Ok(Outputs { head, features: self.features(batch, BatchSize::out)? })
    }

    fn step_features(
        &mut self,
        batch: &Batch,
        lesson: Option<Lesson>,
        loss: &mut dyn FnMut(&Outputs) -> Result<OutputGradients>,
        update: &mut [f32],
    ) -> Result<()> {
        self.check_update(update)?;
        let &Batch { images, height, width, .. } = batch;
        let key = (images, height, width);
        let with_head = lesson.is_none_or(|lesson| lesson.with_head);
        let outputs = match lesson {
            None => {
                let head = self.forward(batch, NormMode::Batch)?;
                Outputs { head, features: self.features(batch, BatchSize::out)? }
            }
            Some(lesson) => {
                self.prepare(batch)?;
                self.upload_features(batch, lesson.features)?;
                self.device.run(&self.sizes[&key].programs.lessons[usize::from(with_head)].0)?;
                let features = self.features(batch, |size, offset, _| size.memory.found + offset)?;
                let mut values = Vec::new();
                if with_head {
                    values.resize(images * self.graph.anchors(height, width) * (5 + self.graph.classes), 0.0);
                    self.device.download(self.sizes[&key].memory.raw, &mut values)?;
                }
                Outputs { head: HeadOutput { values, images, classes: self.graph.classes, height, width }, features }
            }
        };
        let gradients = loss(&outputs)?;
        ensure!(gradients.head.len() == outputs.head.values.len(), "the gradient has another size than the output");
        self.upload_features(batch, &gradients.features)?;
        let BatchSize { memory, programs, .. } = &self.sizes[&key];
        if with_head {
            self.device.upload(memory.raw, &gradients.head)?;
        }
        let backward = match lesson {
            None => &programs.backward_tapped,
            Some(_) => &programs.lessons[usize::from(with_head)].1,
        };
        self.device.run(backward)?;
        self.device.download(memory.update, update)?;
        if !with_head {
            self.clear_behind_taps(update);
        }
        Ok(())
    }

    fn step_beside(
        &mut self,
        teacher: &mut dyn Engine,
        batch: &Batch,
        lesson: Option<WithHead>,
        weight: f32,
        loss: &mut dyn FnMut(&HeadOutput, HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<Option<Vec<f32>>> {
        let Some(teacher) = (teacher as &mut dyn Any).downcast_mut::<Self>() else { return Ok(None) };
        self.check_update(update)?;
        let &Batch { images, height, width, .. } = batch;
        let key = (images, height, width);
        let said = teacher.infer(batch)?;
        self.prepare(batch)?;
        self.fetch_features(teacher, batch)?;
        let BatchSize { memory, programs, .. } = &self.sizes[&key];
        let with_head = lesson.unwrap_or(true);
        let (forward, backward) = match lesson {
            None => (&programs.forward[NormMode::Batch as usize], &programs.backward_tapped),
            Some(with_head) => {
                let (forward, backward) = &programs.lessons[usize::from(with_head)];
                (forward, backward)
            }
        };
        self.device.upload(memory.feature_weight, &[weight])?;
        self.device.run(forward)?;
        self.device.run(&programs.feature_loss[usize::from(lesson.is_some())])?;
        if with_head {
            let classes = self.graph.classes;
            let mut values = vec![0.0; images * self.graph.anchors(height, width) * (5 + classes)];
            self.device.download(memory.raw, &mut values)?;
            let output = HeadOutput { values, images, classes, height, width };
            let gradient = loss(&output, said)?;
            ensure!(gradient.len() == output.values.len(), "the gradient has another size than the output");
            self.device.upload(memory.raw, &gradient)?;
        }
        self.device.run(backward)?;
        self.device.download(memory.update, update)?;
        if !with_head {
            self.clear_behind_taps(update);
        }
        Ok(Some(self.feature_losses(batch)?))
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        self.forward(batch, NormMode::Observe)?;
        let memory = &self.sizes[&(batch.images, batch.height, batch.width)].memory;
        let mut update = vec![0.0; self.layout.len];
        self.device.download(memory.update, &mut update)?;
        for (_, offset) in self.layout.entries.iter().filter(|(parameter, _)| !parameter.trainable) {
            statistics[offset.clone()].copy_from_slice(&update[offset.clone()]);
        }
        Ok(())
    }
}

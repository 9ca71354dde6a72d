//! The engine of a GPU.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use shared_model::graph::SIZE_MULTIPLE;
use shared_model::training::{TrainingPlan, shortcuts};
use shared_model::{Graph, ParameterLayout};

use super::device::Device;
use super::layers::{ConvLayer, convolutions};
use super::memory::{Amounts, Memory};
use super::programs::{Mode, Programs};
use crate::train::{Batch, Engine, HeadOutput};

/// Sizes of batches whose programs are kept: multi-scale training has a dozen, and validation's last batch is smaller.
const KEPT: usize = 64;

/// Computes a network on a device.
pub struct GpuEngine<D> {
    device: D,
    graph: Graph,
    layout: ParameterLayout,
    convolutions: Vec<Option<ConvLayer>>,
    /// Of what does not depend on the batch.
    amounts: Amounts,
    parameters: Vec<f32>,
    /// Whether the device has the parameters.
    is_loaded: bool,
    /// By pictures, height, width.
    sizes: BTreeMap<(usize, usize, usize), Size>,
}

/// What belongs to one size of batch.
struct Size {
    memory: Memory,
    programs: Programs,
}

impl<D: Device> GpuEngine<D> {
    /// An engine for `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for a network with an operation that there is no kernel for.
    pub fn new(graph: &Graph, device: D) -> Result<Self> {
        let layout = ParameterLayout::new(graph);
        let convolutions = convolutions(graph, &layout)?;
        let channels = || convolutions.iter().flatten().map(|conv| conv.channels);
        let (channels, most_channels) = (channels().sum(), channels().max().unwrap_or(0));
        let amounts = Amounts { parameters: layout.len, channels, most_channels, pictures: 0, raw: 0 };
        let (graph, parameters, sizes) = (graph.clone(), Vec::new(), BTreeMap::new());
        Ok(Self { device, graph, layout, convolutions, amounts, parameters, is_loaded: false, sizes })
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Launches and matrix products of one training step with batches of this size that the engine has seen; 0 for others.
    pub fn commands_of_a_step(&self, pictures: usize, height: usize, width: usize) -> usize {
        self.sizes.get(&(pictures, height, width)).map_or(0, |size| {
            size.programs.forward[Mode::Batch as usize].commands.len() + size.programs.backward.commands.len()
        })
    }

    /// Has everything ready for this batch, and its pixels and the parameters on the device.
    fn prepare(&mut self, batch: &Batch) -> Result<()> {
        let &Batch { ref pixels, pictures, height, width } = batch;
        let multiple = |side: usize| side > 0 && side.is_multiple_of(SIZE_MULTIPLE);
        ensure!(
            pictures > 0 && multiple(height) && multiple(width) && pixels.len() == 3 * pictures * height * width,
            "a batch is pictures x 3 x height x width bytes with sides in multiples of {SIZE_MULTIPLE}, not {} bytes for \
             {pictures} pictures of {height} x {width}",
            pixels.len()
        );
        ensure!(!self.parameters.is_empty(), "parameters are loaded before the first batch");
        if !self.sizes.contains_key(&(pictures, height, width)) {
            if self.sizes.len() == KEPT {
                self.sizes.clear();
            }
            let plan = TrainingPlan::new(&self.graph, &shortcuts(&self.graph), &[], height, width);
            let raw = pictures * self.graph.anchors(height, width) * (5 + self.graph.classes);
            let memory = Memory::new(Amounts { pictures, raw, ..self.amounts }, &plan);
            let programs = Programs::new(&self.graph, &self.convolutions, &plan, &memory, pictures)?;
            self.check_room(&plan, pictures, programs.memory)?;
            self.sizes.insert((pictures, height, width), Size { memory, programs });
        }
        let size = &self.sizes[&(pictures, height, width)];
        let memory = &size.memory;
        if self.device.capacity() < size.programs.memory {
            self.device.allocate(size.programs.memory)?;
            self.is_loaded = false;
            let places: Vec<i32> =
                self.convolutions.iter().flatten().flat_map(ConvLayer::channel_places).flatten().collect();
            let bytes: Vec<u8> = places.into_iter().flat_map(i32::to_ne_bytes).collect();
            self.device.upload_bytes(memory.channel_places, &bytes)?;
            self.device.upload(memory.counters, &vec![0.0; self.amounts.most_channels])?;
        }
        if !self.is_loaded {
            self.device.upload(memory.parameters, &self.parameters)?;
            self.is_loaded = true;
        }
        self.device.upload_bytes(memory.pixels, pixels)
    }

    /// Fails where so many numbers for so many pictures are more than there is room for.
    fn check_room(&self, plan: &TrainingPlan, pictures: usize, needed: usize) -> Result<()> {
        let available = self.device.available()?;
        if needed <= available {
            return Ok(());
        }
        let room = |pictures: usize| {
            let raw = pictures * self.graph.anchors(plan.height, plan.width) * (5 + self.graph.classes);
            Memory::new(Amounts { pictures, raw, ..self.amounts }, plan).parts
        };
        // What is behind the last place does not grow with the pictures.
        let rest = needed - room(pictures);
        let fits = (1..pictures).rev().find(|&pictures| room(pictures) + rest <= available);
        let gib = |numbers: usize| 4.0 * numbers as f64 / f64::from(1 << 30);
        bail!(
            "{pictures} pictures of {} x {} need {:.2} GiB of the GPU's memory, and {:.2} GiB are free: {}",
            plan.width,
            plan.height,
            gib(needed),
            gib(available),
            fits.map_or("give a smaller --size".into(), |fits| format!("--batch {fits} would fit"))
        )
    }

    fn forward(&mut self, batch: &Batch, mode: Mode) -> Result<HeadOutput> {
        self.prepare(batch)?;
        let &Batch { pictures, height, width, .. } = batch;
        let Size { memory, programs } = &self.sizes[&(pictures, height, width)];
        self.device.run(&programs.forward[mode as usize])?;
        let mut values = vec![0.0; pictures * self.graph.anchors(height, width) * (5 + self.graph.classes)];
        self.device.download(memory.raw, &mut values)?;
        Ok(HeadOutput { values, pictures, classes: self.graph.classes, height, width })
    }
}

impl<D: Device> Engine for GpuEngine<D> {
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
        ensure!(
            update.len() == self.layout.len,
            "an update of {} numbers is needed, not {}",
            self.layout.len,
            update.len()
        );
        let output = self.forward(batch, Mode::Batch)?;
        let gradient = loss(&output)?;
        ensure!(gradient.len() == output.values.len(), "the gradient has another size than the output");
        let Size { memory, programs } = &self.sizes[&(batch.pictures, batch.height, batch.width)];
        self.device.upload(memory.raw, &gradient)?;
        self.device.run(&programs.backward)?;
        self.device.download(memory.update, update)
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.forward(batch, Mode::Running)
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        self.forward(batch, Mode::Observe)?;
        let memory = &self.sizes[&(batch.pictures, batch.height, batch.width)].memory;
        let mut update = vec![0.0; self.layout.len];
        self.device.download(memory.update, &mut update)?;
        for (_, place) in self.layout.entries.iter().filter(|(parameter, _)| !parameter.trainable) {
            statistics[place.clone()].copy_from_slice(&update[place.clone()]);
        }
        Ok(())
    }
}

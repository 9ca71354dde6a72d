//! The engine of libtorch, on the CPU or an NVIDIA GPU. docs/cuda.md tells how to build it.

mod device;
mod network;
mod parameters;

use anyhow::{Context, Result, bail, ensure};
use shared_model::graph::SIZE_MULTIPLE;
use shared_model::{Graph, ParameterLayout};
use tch::{Device, Kind, TchError, Tensor};

use super::{Batch, DeviceName, Engine, HeadOutput, Precision};
use device::{download, explained, open, upload};
use network::{Normalisation, Parameters, TorchNetwork};
use parameters::ParameterPlan;

/// Computes with libtorch, differentiating automatically.
#[derive(Debug)]
pub struct TorchEngine {
    network: TorchNetwork,
    ranges: ParameterPlan,
    layout_len: usize,
    device: Device,
    loaded: Option<Sections>,
}

/// Parameters on the device: the sections of [`ParameterPlan`].
#[derive(Debug)]
struct Sections {
    kernels: Tensor,
    affine: Tensor,
    statistics: Tensor,
}

/// Whether a pixel's channels lie side by side in memory, rather than a channel's pixels.
///
/// On a GPU that is what cuDNN's kernels for bfloat16 want, while libtorch's own depthwise kernels, which compute single
/// precision, want planes: this is how libtorch chooses kernels, and a measurement on a GPU is to confirm or to change it.
///
/// On a CPU either precision would take 0.65 (final) to 0.85 (baseline) of the time so. But there libtorch sums up the
/// statistics of batch normalisation less precisely than single precision allows: the golden step's IoU loss is then off by
/// 2.6e-4, and the CPU is where results are compared.
fn channels_last(precision: Precision) -> bool {
    precision == Precision::Bf16
}

impl TorchEngine {
    /// An engine for `graph` on `device`; parameters are loaded later. Processors have no TF32, and compute in single precision
    /// then.
    ///
    /// # Errors
    /// Fails where there is no such GPU, this libtorch cannot use one, or it cannot compute so exactly.
    pub fn new(graph: &Graph, device: DeviceName, precision: Precision) -> Result<Self> {
        let kind = match (precision, device) {
            (Precision::F32, DeviceName::Cuda(_)) => {
                bail!("libtorch's convolutions multiply in TF32 on a GPU: choose --precision tf32, or --engine native")
            }
            (Precision::F32 | Precision::Tf32, _) => Kind::Float,
            (Precision::Bf16, _) => Kind::BFloat16,
        };
        let device = open(device)?;
        let layout = ParameterLayout::new(graph);
        Ok(Self {
            network: TorchNetwork::new(graph, kind, channels_last(precision)),
            ranges: ParameterPlan::new(&layout),
            layout_len: layout.len,
            device,
            loaded: None,
        })
    }

    /// The batch's pixels on the device.
    fn pixels(&self, batch: &Batch) -> Result<Tensor> {
        let &Batch { ref pixels, images, height, width } = batch;
        ensure!(
            images > 0
                && [height, width].iter().all(|side| *side > 0 && side.is_multiple_of(SIZE_MULTIPLE))
                && pixels.len() == images * 3 * height * width,
            "training takes images x 3 x height x width numbers with sides in multiples of {SIZE_MULTIPLE}, not {} \
             numbers for {images} x 3 x {height} x {width}",
            pixels.len()
        );
        let size = [images, 3, height, width].map(|size| size as i64);
        upload(pixels, self.device).and_then(|pixels| pixels.f_view(size)).map_err(explained)
    }

    fn loaded(&self) -> Result<&Sections> {
        self.loaded.as_ref().context("parameters are loaded before anything is computed with them")
    }

    /// Forward by the running statistics, with `mode`, without a record for gradients.
    fn forward_only(&self, batch: &Batch, mode: Normalisation) -> Result<Tensor> {
        let _no_gradients = tch::no_grad_guard();
        let pixels = self.pixels(batch)?;
        let parameters = self.loaded()?.parameters(&self.network, &self.ranges).map_err(explained)?;
        self.network.forward(&pixels, &parameters, mode).map_err(explained)
    }

    /// Room for statistics, all 0, and the tensors that it consists of.
    fn statistics(&self) -> Result<(Tensor, Vec<Tensor>), TchError> {
        let all = Tensor::f_zeros([self.ranges.statistics.len as i64], (Kind::Float, self.device))?;
        let tensors = self.ranges.statistics.tensors(&all)?;
        Ok((all, tensors))
    }

    fn head_output(&self, output: &Tensor, batch: &Batch) -> Result<HeadOutput> {
        let &Batch { images, height, width, .. } = batch;
        let values = download(output).map_err(explained)?;
        Ok(HeadOutput { values, images, classes: self.network.classes(), height, width })
    }
}

impl Sections {
    fn parameters(&self, network: &TorchNetwork, ranges: &ParameterPlan) -> Result<Parameters, TchError> {
        network.parameters(ranges, [&self.kernels, &self.affine, &self.statistics])
    }
}

impl Engine for TorchEngine {
    fn load(&mut self, parameters: &[f32]) -> Result<()> {
        ensure!(
            parameters.len() == self.layout_len,
            "{} parameters for a network that has {}",
            parameters.len(),
            self.layout_len
        );
        let sections = || {
            let _no_gradients = tch::no_grad_guard();
            let all = upload(&self.ranges.arrange(parameters), self.device)?;
            let [kernels, affine, statistics] =
                [&self.ranges.kernels, &self.ranges.affine, &self.ranges.statistics].map(|section| section.len as i64);
            Ok(Sections {
                kernels: all.f_narrow(0, 0, kernels)?.f_set_requires_grad(true)?,
                affine: all.f_narrow(0, kernels, affine)?.f_set_requires_grad(true)?,
                statistics: all.f_narrow(0, kernels + affine, statistics)?,
            })
        };
        self.loaded = Some(sections().map_err(explained)?);
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        loss: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>,
        update: &mut [f32],
    ) -> Result<()> {
        let loaded = self.loaded()?;
        ensure!(
            update.len() == self.layout_len,
            "an update of {} numbers is needed, not {}",
            self.layout_len,
            update.len()
        );
        let pixels = self.pixels(batch)?;
        let forward = || {
            let (all, statistics) = self.statistics()?;
            let parameters = loaded.parameters(&self.network, &self.ranges)?;
            Ok((self.network.forward(&pixels, &parameters, Normalisation::Batch(&statistics))?, all))
        };
        let (output, statistics) = forward().map_err(explained)?;
        let head = self.head_output(&output, batch)?;
        let gradient = loss(&head)?;
        let expected = head.values.len();
        ensure!(gradient.len() == expected, "a gradient of {expected} numbers is needed, not {}", gradient.len());
        let backward = || {
            // A number whose gradient with respect to the output is the given one.
            let objective = output.f_flatten(0, -1)?.f_dot(&upload(&gradient, self.device)?)?;
            let leaves = [&loaded.kernels, &loaded.affine];
            let mut all = Tensor::f_run_backward(&[objective], &leaves, false, false)?;
            all.push(statistics);
            download(&Tensor::f_cat(&all, 0)?)
        };
        self.ranges.put_back(&backward().map_err(explained)?, update);
        Ok(())
    }

    fn infer(&mut self, batch: &Batch) -> Result<HeadOutput> {
        self.head_output(&self.forward_only(batch, Normalisation::Running)?, batch)
    }

    fn observe(&mut self, batch: &Batch, statistics: &mut [f32]) -> Result<()> {
        let (all, tensors) = self.statistics().map_err(explained)?;
        let _output = self.forward_only(batch, Normalisation::Observe(&tensors))?;
        self.ranges.put_back_statistics(&download(&all).map_err(explained)?, statistics);
        Ok(())
    }
}

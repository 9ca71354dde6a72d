//! Inference: one executor over the graph.
//!
//! To candle a whole network is one custom operation on an image. Inside, layers are kernels on slices of one planned
//! array (see `plan`), so that a run allocates nothing but its result.

mod features;
mod plan;
mod step;

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::kernels::parallel::Team;
use crate::model::graph::{Graph, Node, SIZE_MULTIPLE};
use crate::model::weights::Weights;
use plan::InferencePlan;
use step::{RunContext, Step};

/// A network ready to run: batch normalisation folded into the convolutions, weights packed for the kernels.
pub struct Network {
    graph: Graph,
    steps: Vec<Step>,
    /// Memory of runs that have ended, for the next ones; runs may overlap in time.
    arenas: Mutex<Vec<Arena>>,
}

/// Memory for one run on images of one size.
struct Arena {
    plan: Arc<InferencePlan>,
    values: Vec<f32>,
}

impl Network {
    /// Prepares `graph` with `weights`.
    ///
    /// # Errors
    /// Fails where the weights do not fit the graph.
    pub fn new(graph: &Graph, weights: &Weights) -> Result<Self> {
        weights.check(graph).map_err(candle_core::Error::wrap)?;
        let steps = Step::all(graph, weights)?;
        Ok(Self { graph: graph.clone(), steps, arenas: Mutex::new(Vec::new()) })
    }

    /// The network's definition.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs the network on `images`: (batch, 3, height, width), 0-255, sides multiples of 32. Returns the raw head
    /// output: (batch, anchors, 5 + classes), `[reg 4, obj 1, cls n]`, before any sigmoid.
    ///
    /// # Errors
    /// Fails where the shape is not as above, or the images are not on the CPU in single precision.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.forward_observed(images, &mut |_, _| {})
    }

    /// As [`Network::forward`]; calls `observe` for every image after every layer that is a computation of its own,
    /// with the layer's output (channels x height x width; empty for predictions, which go into the result at once).
    /// The time between calls is that of the layer and of those before it that it does the work of.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_observed(&self, images: &Tensor, observe: &mut dyn FnMut(Node, &[f32])) -> Result<Tensor> {
        let (_, channels, height, width) = images.dims4()?;
        if channels != 3 {
            bail!(
                "the network takes (batch, 3, height, width) with sides in multiples of {SIZE_MULTIPLE} pixels, not {:?}",
                images.shape()
            );
        }
        check_sides(height, width)?;
        images.contiguous()?.apply_op1_no_bwd(&Forward { network: self, observe: RefCell::new(observe) })
    }

    /// Memory for images of `height` x `width` pixels: used before if possible.
    fn arena(&self, height: usize, width: usize) -> Arena {
        let mut arenas = self.arenas.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match arenas.pop() {
            Some(arena) if (arena.plan.height, arena.plan.width) == (height, width) => arena,
            _ => {
                let plan = Arc::new(InferencePlan::new(&self.graph, height, width, &self.steps));
                Arena { values: vec![0.0; plan.len], plan }
            }
        }
    }

    /// Keeps the memory of a run that has ended for others.
    fn put_back(&self, arena: Arena) {
        self.arenas.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(arena);
    }

    /// One image (3 x height x width) to `raw` (anchors x (5 + classes)).
    fn run(&self, team: &Team, image: &[f32], arena: &mut Arena, raw: &mut [f32], observe: Observer<'_>) {
        let Arena { plan, values } = arena;
        let on = RunContext { team, graph: &self.graph, plan, image };
        for (i, step) in self.steps.iter().enumerate().filter(|(_, step)| step.works()) {
            step.run(&on, i, values, raw);
            observe(Node(i), &values[plan.ranges[i].clone()]);
        }
    }
}

/// # Errors
/// Fails where the network cannot take images of these sides.
fn check_sides(height: usize, width: usize) -> Result<()> {
    let multiple = |side: usize| side > 0 && side.is_multiple_of(SIZE_MULTIPLE);
    if !multiple(height) || !multiple(width) {
        bail!("the network takes pictures with sides in multiples of {SIZE_MULTIPLE} pixels, not {height} x {width}");
    }
    Ok(())
}

/// Told of every layer's output.
type Observer<'a> = &'a mut dyn FnMut(Node, &[f32]);

/// A run of the network as candle's operation.
struct Forward<'a> {
    network: &'a Network,
    observe: RefCell<Observer<'a>>,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "yolox-nano"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let network = self.network;
        let (batch, _, height, width) = layout.shape().dims4()?;
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("the images must be contiguous") };
        let images = &storage.as_slice::<f32>()?[start..end];
        let (anchors, values) = (network.graph.anchors(height, width), 5 + network.graph.classes);
        let mut raw = vec![0.0; batch * anchors * values];
        let mut arena = network.arena(height, width);
        let mut observe = self.observe.borrow_mut();
        let pairs = images.chunks_exact(3 * height * width).zip(raw.chunks_exact_mut(anchors * values));
        Team::fork_join(|team| {
            for (image, raw) in pairs {
                network.run(team, image, &mut arena, raw, &mut **observe);
            }
        });
        network.put_back(arena);
        Ok((CpuStorage::F32(raw), Shape::from((batch, anchors, values))))
    }
}

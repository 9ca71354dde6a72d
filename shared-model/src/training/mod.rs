//! Training: the network forward and backward over a batch of pictures.
//!
//! There is no record of operations as in automatic differentiation: the graph is the record. Forward walks through its
//! layers, backward through the same layers in reverse; each kind of layer has both passes, as kernels on slices of one
//! planned array (see `plan`). What is kept between the passes is a convolution's sums and every output that a gradient
//! needs; gradients share the room of what is no longer needed.
//!
//! Pictures are computed in parallel, each by one thread; what is summed up over pictures is summed up in their order. So
//! results do not depend on the number of threads.

mod conv;
mod plan;
mod simple;
mod statistics;

use candle_core::{Result, bail};
use rayon::prelude::*;

use crate::graph::{Graph, Node, SIZE_MULTIPLE};
use crate::kernels::parallel::Team;
use crate::layout::ParameterLayout;
use conv::{ConvLayer, Mode, On};
pub use plan::{Places, TrainingPlan, has_gradient, shortcuts};

/// A network in training, on the CPU, with the threads of rayon's pool.
///
/// Parameters and their gradients are flat arrays: see [`ParameterLayout`].
pub struct Training {
    graph: Graph,
    layout: ParameterLayout,
    shortcuts: Vec<Option<Node>>,
    convs: Vec<Option<ConvLayer>>,
    plan: Option<TrainingPlan>,
    /// Each picture's numbers, one picture after another.
    arena: Vec<f32>,
    /// The pictures of the last forward pass in training mode, which backward takes up.
    pixels: Vec<f32>,
}

impl Training {
    /// Prepares `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for an operation that cannot be trained.
    pub fn new(graph: &Graph) -> Result<Self> {
        let (layout, shortcuts) = (ParameterLayout::new(graph), shortcuts(graph));
        let nodes = (0..graph.layers.len()).map(Node);
        let convs = nodes.map(|node| ConvLayer::new(graph, &layout, node, shortcuts[node.0])).collect::<Result<_>>()?;
        let (arena, pixels) = (Vec::new(), Vec::new());
        Ok(Self { graph: graph.clone(), layout, shortcuts, convs, plan: None, arena, pixels })
    }

    /// Where each parameter lies in the flat arrays.
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// Takes over parameters and running statistics.
    ///
    /// # Errors
    /// Fails where the array has another length than the layout.
    pub fn load(&mut self, parameters: &[f32]) -> Result<()> {
        if parameters.len() != self.layout.len {
            bail!("{} parameters for a network that has {}", parameters.len(), self.layout.len);
        }
        self.convs.par_iter_mut().flatten().for_each(|conv| conv.load(parameters));
        Ok(())
    }

    /// Forward in training mode, by the batch's statistics; `pixels` (pictures x 3 x height x width; blue, green, red; 0-255).
    /// Returns the raw head output: pictures x anchors x (5 + classes).
    ///
    /// # Errors
    /// Fails where the sides are no multiples of 32 pixels, or there are not whole pictures.
    pub fn forward(&mut self, pixels: &[f32], height: usize, width: usize) -> Result<Vec<f32>> {
        let raw = self.run(pixels, height, width, Mode::Batch)?;
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
        Ok(raw)
    }

    /// As [`Training::forward`], by the running statistics; not for a following [`Training::backward`].
    ///
    /// # Errors
    /// As for [`Training::forward`].
    pub fn infer(&mut self, pixels: &[f32], height: usize, width: usize) -> Result<Vec<f32>> {
        self.pixels.clear();
        self.run(pixels, height, width, Mode::Running)
    }

    /// As [`Training::infer`]; writes the mean and the biased variance of the sums that each batch normalisation gets to
    /// the places of the running statistics in `statistics`.
    ///
    /// # Errors
    /// As for [`Training::forward`].
    pub fn observe(&mut self, pixels: &[f32], height: usize, width: usize, statistics: &mut [f32]) -> Result<()> {
        self.pixels.clear();
        self.run(pixels, height, width, Mode::Observe)?;
        for conv in self.convs.iter().flatten() {
            conv.norm.write_statistics(false, statistics);
        }
        Ok(())
    }

    fn run(&mut self, pixels: &[f32], height: usize, width: usize, mode: Mode) -> Result<Vec<f32>> {
        let multiple = |side: usize| side > 0 && side.is_multiple_of(SIZE_MULTIPLE);
        if !multiple(height)
            || !multiple(width)
            || pixels.is_empty()
            || !pixels.len().is_multiple_of(3 * height * width)
        {
            bail!(
                "training takes pictures x 3 x height x width numbers with sides in multiples of {SIZE_MULTIPLE}, not {} \
                 numbers for {height} x {width}",
                pixels.len()
            );
        }
        let pictures = pixels.len() / (3 * height * width);
        let plan = match self.plan.take() {
            Some(plan) if (plan.height, plan.width) == (height, width) => plan,
            _ => TrainingPlan::new(&self.graph, &self.shortcuts, height, width),
        };
        // Kept for smaller batches and pictures, so that memory does not come and go with every size.
        let needed = pictures * plan.len;
        if self.arena.len() < needed + LINE {
            self.arena = Vec::new();
            self.arena = vec![0.0; needed + LINE];
        }
        let arena = aligned(&mut self.arena, needed);
        let mut raw = vec![0.0; pictures * self.graph.anchors(height, width) * (5 + self.graph.classes)];
        let (graph, convs) = (&self.graph, &mut self.convs);
        Team::gather(|team| {
            let on = On { team, graph, plan: &plan, pixels };
            for (i, conv) in convs.iter_mut().enumerate() {
                match conv {
                    Some(conv) => conv.forward(&on, arena, mode),
                    None => simple::forward(&on, Node(i), arena),
                }
            }
            simple::gather_predictions(&on, arena, &mut raw);
        });
        self.plan = Some(plan);
        Ok(raw)
    }

    /// Backward from `gradient`, that of the loss with respect to the raw head output of the last [`Training::forward`].
    /// Fills `update`: with the gradient of every trainable parameter, and with the batch's mean and unbiased variance in
    /// the places of the running statistics.
    ///
    /// # Errors
    /// Fails where no forward pass in training mode went before, or an array has the wrong length.
    pub fn backward(&mut self, gradient: &[f32], update: &mut [f32]) -> Result<()> {
        let Some(plan) = self.plan.as_ref().filter(|_| !self.pixels.is_empty()) else {
            bail!("a backward pass follows a forward pass in training mode")
        };
        let pictures = self.pixels.len() / (3 * plan.height * plan.width);
        let expected = pictures * self.graph.anchors(plan.height, plan.width) * (5 + self.graph.classes);
        if gradient.len() != expected || update.len() != self.layout.len {
            bail!(
                "a gradient of {expected} numbers and an update of {} are needed, not {} and {}",
                self.layout.len,
                gradient.len(),
                update.len()
            );
        }
        let arena = aligned(&mut self.arena, pictures * plan.len);
        let (graph, pixels) = (&self.graph, &self.pixels[..]);
        // Whose gradient has been begun, so that the next share is added.
        let mut begun = vec![false; graph.layers.len()];
        Team::gather(|team| {
            let on = On { team, graph, plan, pixels };
            for (i, conv) in self.convs.iter().enumerate().rev() {
                let layer = graph.layer(Node(i));
                if !has_gradient(&layer.op) {
                    continue;
                }
                match conv {
                    Some(conv) => {
                        simple::scatter_prediction(&on, Node(i), gradient, arena);
                        let Node(input) = layer.inputs[0];
                        conv.backward(&on, arena, begun[input], update);
                        begun[input] = true;
                    }
                    None => simple::backward(&on, Node(i), arena, &mut begun),
                }
            }
        });
        for conv in self.convs.iter().flatten() {
            conv.norm.write_statistics(true, update);
        }
        self.pixels.clear();
        Ok(())
    }
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// The first `len` numbers from the first cache line on: vectors that lie across two lines take twice as long to load.
fn aligned(arena: &mut [f32], len: usize) -> &mut [f32] {
    let skip = arena.as_ptr().align_offset(4 * LINE).min(LINE);
    &mut arena[skip..skip + len]
}

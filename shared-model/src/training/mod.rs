//! Training: the network forward and backward over a batch of images.
//!
//! There is no record of operations as in automatic differentiation: the graph is the record. Forward walks through its
//! layers, backward through the same layers in reverse; each kind of layer has both passes, as kernels on slices of one
//! planned array (see `plan`). What is kept between the passes is a convolution's sums and every output that a gradient
//! needs; gradients share the room of what is no longer needed.
//!
//! Images are computed in parallel, each by one thread; what is summed up over images is summed up in their order. So
//! results do not depend on the number of threads.

mod conv;
mod plan;
mod simple;
mod statistics;
mod taps;

use candle_core::{Result, bail};
use rayon::prelude::*;

use crate::kernels::parallel::Team;
use crate::lowering::{Lowered, lower};
use crate::model::graph::{Graph, Node, SIZE_MULTIPLE};
use crate::model::layout::ParameterLayout;
use conv::{BatchContext, ConvLayer};
pub use plan::{GradientMove, LayerRanges, TrainingPlan};
pub use statistics::NormMode;
pub(crate) use statistics::{Moments, NormOrBias};
pub use taps::Features;
use taps::TaughtPass;

/// A network in training, on the CPU, with the threads of rayon's pool.
///
/// Parameters and their gradients are flat arrays: see [`ParameterLayout`].
pub struct Training {
    graph: Graph,
    layout: ParameterLayout,
    lowered: Vec<Lowered>,
    /// Layers whose outputs can be read after a forward pass, and that can be taught; in order of execution.
    taps: Vec<Node>,
    convs: Vec<Option<ConvLayer>>,
    plan: Option<TrainingPlan>,
    /// Each image's numbers, one image after another.
    arena: Vec<f32>,
    /// The images of the last forward pass in training mode, which backward takes up.
    pixels: Vec<f32>,
    /// Whether that pass was a lesson.
    taught: bool,
    /// Images of the last pass.
    images: usize,
}

impl Training {
    /// Prepares `graph`; parameters are loaded later.
    ///
    /// # Errors
    /// Fails for an operation that cannot be trained.
    pub fn new(graph: &Graph) -> Result<Self> {
        let (layout, lowered) = (ParameterLayout::new(graph), lower(graph)?);
        let nodes = (0..graph.layers.len()).map(Node);
        let convs = nodes.zip(&lowered).map(|(node, lowered)| ConvLayer::new(graph, &layout, node, lowered)).collect();
        let (arena, pixels) = (Vec::new(), Vec::new());
        Ok(Self {
            graph: graph.clone(),
            layout,
            lowered,
            taps: Vec::new(),
            convs,
            plan: None,
            arena,
            pixels,
            taught: false,
            images: 0,
        })
    }

    /// Bytes that a step takes for each image of `height` x `width` pixels: what layers yield, gradients, the image itself.
    ///
    /// # Errors
    /// As for [`Training::new`].
    pub fn bytes_per_image(graph: &Graph, height: usize, width: usize) -> Result<usize> {
        let plan = TrainingPlan::new(graph, &lower(graph)?, &[], height, width);
        Ok((plan.len + 3 * height * width) * size_of::<f32>())
    }

    /// From the next pass on, the outputs of these layers can be read ([`Training::features`]) and taught.
    ///
    /// # Errors
    /// Fails where one is no layer of the network, or they are not in order of execution.
    pub fn tap(&mut self, layers: &[Node]) -> Result<()> {
        let in_order = layers.windows(2).all(|pair| pair[0] < pair[1]);
        if !in_order || layers.iter().any(|layer| layer.0 >= self.graph.layers.len()) {
            bail!("taps are layers of the network, in order of execution");
        }
        self.taps = layers.to_vec();
        self.plan = None;
        Ok(())
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

    /// Forward in training mode, by the batch's statistics; `pixels` (images x 3 x height x width; blue, green, red; 0-255).
    /// Returns the raw head output: images x anchors x (5 + classes).
    ///
    /// # Errors
    /// Fails where the sides are no multiples of 32 pixels, or there are not whole images.
    pub fn forward(&mut self, pixels: &[f32], height: usize, width: usize) -> Result<Vec<f32>> {
        let raw = self.run(pixels, height, width, NormMode::Batch, None)?;
        self.taught = false;
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
        self.run(pixels, height, width, NormMode::Running, None)
    }

    /// As [`Training::infer`]; writes the mean and the biased variance of the sums that each batch normalisation gets to
    /// the places of the running statistics in `statistics`.
    ///
    /// # Errors
    /// As for [`Training::forward`].
    pub fn observe(&mut self, pixels: &[f32], height: usize, width: usize, statistics: &mut [f32]) -> Result<()> {
        self.pixels.clear();
        self.run(pixels, height, width, NormMode::Observe, None)?;
        for conv in self.convs.iter().flatten() {
            conv.norm.write_statistics(false, statistics);
        }
        Ok(())
    }

    fn run(
        &mut self,
        pixels: &[f32],
        height: usize,
        width: usize,
        mode: NormMode,
        mut lesson: Option<&mut TaughtPass>,
    ) -> Result<Vec<f32>> {
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
        let images = pixels.len() / (3 * height * width);
        let plan = match self.plan.take() {
            Some(plan) if (plan.height, plan.width) == (height, width) => plan,
            _ => TrainingPlan::new(&self.graph, &self.lowered, &self.taps, height, width),
        };
        // Kept for smaller batches and images, so that memory does not come and go with every size.
        let needed = images * plan.len;
        if self.arena.len() < needed + LINE {
            self.arena = Vec::new();
            self.arena = vec![0.0; needed + LINE];
        }
        let arena = aligned(&mut self.arena, needed);
        let mut raw = vec![0.0; images * self.graph.anchors(height, width) * (5 + self.graph.classes)];
        let (graph, convs) = (&self.graph, &mut self.convs);
        if let Some(lesson) = &lesson {
            taps::check(lesson.teacher, graph, &self.taps, images, height, width)?;
        }
        let last = lesson.as_ref().map_or(graph.layers.len(), |lesson| lesson.layers(graph, &self.taps));
        Team::fork_join(|team| {
            let on = BatchContext { team, graph, plan: &plan, pixels };
            for (i, conv) in convs.iter_mut().enumerate().take(last) {
                match conv {
                    Some(conv) => conv.forward(&on, arena, mode),
                    None => simple::forward(&on, Node(i), &self.lowered[i], arena),
                }
                if let (Some(lesson), Some(tap)) = (&mut lesson, self.taps.iter().position(|&tap| tap == Node(i))) {
                    lesson.give(&on, tap, Node(i), arena);
                }
            }
            if last == graph.layers.len() {
                simple::gather_predictions(&on, arena, &mut raw);
            }
        });
        self.plan = Some(plan);
        self.images = images;
        Ok(raw)
    }

    /// Backward from `gradient`, that of the loss with respect to the raw head output of the last [`Training::forward`].
    /// Fills `update`: with the gradient of every trainable parameter, and with the batch's mean and unbiased variance in
    /// the places of the running statistics.
    ///
    /// # Errors
    /// Fails where no forward pass in training mode went before, or an array has the wrong length.
    pub fn backward(&mut self, gradient: &[f32], update: &mut [f32]) -> Result<()> {
        self.backward_taught(Some(gradient), None, update)
    }

    /// As [`Training::backward`] where there is no gradient `of_taps`. With the loss' gradient with respect to the features
    /// of all taps, it is added to what comes from behind. After a lesson ([`Training::forward_taught`]) nothing comes from
    /// behind a tap, and without `of_head` only layers in front of the last tap have a gradient: others get 0.
    ///
    /// # Errors
    /// As for [`Training::backward`].
    pub fn backward_taught(
        &mut self,
        of_head: Option<&[f32]>,
        of_taps: Option<&Features>,
        update: &mut [f32],
    ) -> Result<()> {
        let Some(plan) = self.plan.as_ref().filter(|_| !self.pixels.is_empty()) else {
            bail!("a backward pass follows a forward pass in training mode")
        };
        let images = self.pixels.len() / (3 * plan.height * plan.width);
        let expected = images * self.graph.anchors(plan.height, plan.width) * (5 + self.graph.classes);
        if of_head.is_some_and(|gradient| gradient.len() != expected) || update.len() != self.layout.len {
            bail!(
                "a gradient of {expected} numbers and an update of {} are needed, not {} and {}",
                self.layout.len,
                of_head.map_or(0, <[f32]>::len),
                update.len()
            );
        }
        if let Some(of_taps) = of_taps {
            taps::check(of_taps, &self.graph, &self.taps, images, plan.height, plan.width)?;
        }
        let taught = std::mem::take(&mut self.taught);
        let last = match (of_head, of_taps, self.taps.last()) {
            (Some(_), ..) => self.graph.layers.len(),
            (None, Some(_), Some(last)) => last.0 + 1,
            _ => bail!("there is no gradient to go back with"),
        };
        if last < self.graph.layers.len() {
            update.fill(0.0);
        }
        let arena = aligned(&mut self.arena, images * plan.len);
        let (graph, pixels) = (&self.graph, &self.pixels[..]);
        // Whose gradient has been begun, so that the next share is added.
        let mut begun = vec![false; graph.layers.len()];
        Team::fork_join(|team| {
            let on = BatchContext { team, graph, plan, pixels };
            for (i, conv) in self.convs.iter().enumerate().take(last).rev() {
                let layer = graph.layer(Node(i));
                if !self.lowered[i].has_gradient() {
                    continue;
                }
                if let (Some(of_taps), Some(tap)) = (of_taps, self.taps.iter().position(|&tap| tap == Node(i))) {
                    taps::add_gradient(&on, Node(i), &of_taps[tap], begun[i] && !taught, arena);
                    begun[i] = true;
                }
                match conv {
                    Some(conv) => {
                        if let Some(gradient) = of_head {
                            simple::scatter_prediction(&on, Node(i), gradient, arena);
                        }
                        let Node(input) = layer.inputs[0];
                        conv.backward(&on, arena, begun[input], update);
                        begun[input] = true;
                    }
                    None => simple::backward(&on, Node(i), &self.lowered[i], arena, &mut begun),
                }
            }
        });
        for conv in self.convs.iter().take(last).flatten() {
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
    let skip = line_offset(arena);
    &mut arena[skip..skip + len]
}

/// Numbers before the first cache line.
fn line_offset(arena: &[f32]) -> usize {
    arena.as_ptr().align_offset(4 * LINE).min(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::Variant;
    use crate::model::weights::Weights;

    #[test]
    fn an_image_takes_as_many_bytes_as_it_is_said_to() {
        let variant = Variant::named("baseline").unwrap();
        let graph = variant.graph(3);
        let mut training = Training::new(&graph).unwrap();
        training.load(&training.layout.flatten(&Weights::random(variant, 3, 0))).unwrap();
        training.forward(&[0.0; 2 * 3 * 64 * 96], 64, 96).unwrap();
        let numbers = training.arena.len() - LINE + training.pixels.len();
        assert_eq!(2 * Training::bytes_per_image(&graph, 64, 96).unwrap(), 4 * numbers);
    }

    #[test]
    fn statistics_are_observed_without_learning() {
        let variant = Variant::named("baseline").unwrap();
        let mut training = Training::new(&variant.graph(3)).unwrap();
        training.load(&training.layout.flatten(&Weights::random(variant, 3, 0))).unwrap();
        let pixels: Vec<f32> = (0..3 * 64 * 96).map(|i| (i % 251) as f32).collect();
        let mut observed = vec![f32::NAN; training.layout.len];
        training.observe(&pixels, 64, 96, &mut observed).unwrap();
        let statistics = training.layout.entries.iter().filter(|(parameter, _)| !parameter.trainable);
        assert!(statistics.flat_map(|(_, range)| &observed[range.clone()]).all(|value| value.is_finite()));
        let raw = training.forward(&pixels, 64, 96).unwrap();
        let mut update = vec![0.0; training.layout.len];
        training.backward(&raw, &mut update).unwrap();
        let first = training.layout.range("backbone.backbone.stem.conv.bn.running_mean");
        assert_eq!(observed[first.clone()], update[first], "nothing is normalised before the first layer");
    }
}

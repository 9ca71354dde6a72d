//! Learning at inner layers, from another network's features: reading the outputs of tapped layers, putting others in their
//! place, and gradients that begin there.

use candle_core::{Result, bail};

use super::NormMode;
use super::Training;
use super::conv::BatchContext;
use crate::model::graph::{Graph, Node};

/// Outputs of the tapped layers over a batch, or gradients with respect to them: for each tap an array of
/// images x channels x height x width.
pub type Features = Vec<Vec<f32>>;

/// A forward pass in which every tap's output is read and then replaced, so that each part of the network computes on
/// what the teacher's parts before it yield, and can be taught by itself.
pub(super) struct TaughtPass<'a> {
    /// What takes the outputs' place.
    pub(super) teacher: &'a Features,
    /// The outputs before that.
    pub(super) found: Features,
    /// Whether the pass goes on behind the last tap.
    pub(super) with_head: bool,
}

impl TaughtPass<'_> {
    /// Number of layers of the pass.
    pub(super) fn layers(&self, graph: &Graph, taps: &[Node]) -> usize {
        taps.last().filter(|_| !self.with_head).map_or(graph.layers.len(), |last| last.0 + 1)
    }

    /// Reads the output of `node`, which is tap number `tap`, and replaces it.
    pub(super) fn give(&mut self, on: &BatchContext, tap: usize, node: Node, arena: &mut [f32]) {
        let range = on.plan.ranges[node.0].out.clone();
        let mut found = vec![0.0; self.teacher[tap].len()];
        let teacher = &self.teacher[tap];
        on.team.parallel_for_chunk_pairs(arena, on.plan.len, &mut found, |image, values, found| {
            found.copy_from_slice(&values[range.clone()]);
            values[range.clone()].copy_from_slice(&teacher[image * range.len()..][..range.len()]);
        });
        self.found.push(found);
    }
}

/// # Errors
/// Fails where `features` are not those of these taps.
pub(super) fn check(
    features: &Features,
    graph: &Graph,
    taps: &[Node],
    images: usize,
    height: usize,
    width: usize,
) -> Result<()> {
    let len = |tap: &Node| {
        let (h, w) = graph.layer(*tap).resolution.size(height, width);
        images * graph.channels(*tap) * h * w
    };
    if !features.iter().map(Vec::len).eq(taps.iter().map(len)) {
        bail!("the features are not those of {} tapped layers for {images} pictures of {width} x {height}", taps.len());
    }
    Ok(())
}

/// Adds a tap's gradient to what has come from behind it, or puts it there.
pub(super) fn add_gradient(on: &BatchContext, node: Node, gradient: &[f32], adds: bool, arena: &mut [f32]) {
    let range = on.plan.ranges[node.0].gradient.clone();
    on.team.parallel_for_chunk_pairs(arena, on.plan.len, &mut [0_u8; 0], |image, values, _| {
        let from = &gradient[image * range.len()..][..range.len()];
        let to = &mut values[range.clone()];
        if adds {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        } else {
            to.copy_from_slice(from);
        }
    });
}

impl Training {
    /// The outputs of the tapped layers in the last pass (not a lesson).
    ///
    /// # Errors
    /// Fails where there was none.
    pub fn features(&self) -> Result<Features> {
        let Some(plan) = &self.plan else { bail!("features are those of a forward pass") };
        let skip = super::line_offset(&self.arena);
        let read = |tap: &Node| {
            let range = plan.ranges[tap.0].out.clone();
            let images = self.arena[skip..].chunks_exact(plan.len.max(1)).take(self.images);
            images.flat_map(|values| &values[range.clone()]).copied().collect()
        };
        Ok(self.taps.iter().map(read).collect())
    }

    /// As [`Training::forward`], but behind every tap the network goes on with the `teacher`'s features in place of its own,
    /// which are returned, with the raw head output where the pass goes on to it (`with_head`).
    ///
    /// # Errors
    /// As for [`Training::forward`], and where the features are not those of the taps.
    pub fn forward_taught(
        &mut self,
        pixels: &[f32],
        height: usize,
        width: usize,
        teacher: &Features,
        with_head: bool,
    ) -> Result<(Vec<f32>, Features)> {
        let mut lesson = TaughtPass { teacher, found: Features::new(), with_head };
        let raw = self.run(pixels, height, width, NormMode::Batch, Some(&mut lesson))?;
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
        self.taught = true;
        Ok((if with_head { raw } else { Vec::new() }, lesson.found))
    }
}

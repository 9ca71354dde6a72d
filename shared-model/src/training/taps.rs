//! Learning at inner layers, from another network's features: reading the outputs of tapped layers, putting others in their
//! place, and gradients that begin there.

use candle_core::{Result, bail};

use super::Training;
use super::conv::{Mode, On};
use crate::graph::{Graph, Node};

/// Outputs of the tapped layers over a batch, or gradients with respect to them: for each tap an array of
/// pictures x channels x height x width.
pub type Features = Vec<Vec<f32>>;

/// A forward pass in which every tap's output is read and then replaced, so that each part of the network computes on
/// what the teacher's parts before it yield, and can be taught by itself.
pub(super) struct Lesson<'a> {
    /// What takes the outputs' place.
    pub(super) teacher: &'a Features,
    /// The outputs before that.
    pub(super) found: Features,
    /// Whether the pass goes on behind the last tap.
    pub(super) with_head: bool,
}

impl Lesson<'_> {
    /// Number of layers of the pass.
    pub(super) fn layers(&self, graph: &Graph, taps: &[Node]) -> usize {
        taps.last().filter(|_| !self.with_head).map_or(graph.layers.len(), |last| last.0 + 1)
    }

    /// Reads the output of `node`, which is tap number `tap`, and replaces it.
    pub(super) fn give(&mut self, on: &On, tap: usize, node: Node, arena: &mut [f32]) {
        let place = on.plan.places[node.0].out.clone();
        let mut found = vec![0.0; self.teacher[tap].len()];
        let teacher = &self.teacher[tap];
        on.team.for_each_chunk(arena, on.plan.len, &mut found, |picture, values, found| {
            found.copy_from_slice(&values[place.clone()]);
            values[place.clone()].copy_from_slice(&teacher[picture * place.len()..][..place.len()]);
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
    pictures: usize,
    height: usize,
    width: usize,
) -> Result<()> {
    let len = |tap: &Node| {
        let (h, w) = graph.layer(*tap).extent.size(height, width);
        pictures * graph.channels(*tap) * h * w
    };
    if !features.iter().map(Vec::len).eq(taps.iter().map(len)) {
        bail!(
            "the features are not those of {} tapped layers for {pictures} pictures of {width} x {height}",
            taps.len()
        );
    }
    Ok(())
}

/// Adds a tap's gradient to what has come from behind it, or puts it there.
pub(super) fn add_gradient(on: &On, node: Node, gradient: &[f32], adds: bool, arena: &mut [f32]) {
    let place = on.plan.places[node.0].gradient.clone();
    on.team.for_each_chunk(arena, on.plan.len, &mut [0_u8; 0], |picture, values, _| {
        let from = &gradient[picture * place.len()..][..place.len()];
        let to = &mut values[place.clone()];
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
            let place = plan.places[tap.0].out.clone();
            let pictures = self.arena[skip..].chunks_exact(plan.len.max(1)).take(self.pictures);
            pictures.flat_map(|values| &values[place.clone()]).copied().collect()
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
        let mut lesson = Lesson { teacher, found: Features::new(), with_head };
        let raw = self.run(pixels, height, width, Mode::Batch, Some(&mut lesson))?;
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
        self.taught = true;
        Ok((if with_head { raw } else { Vec::new() }, lesson.found))
    }
}

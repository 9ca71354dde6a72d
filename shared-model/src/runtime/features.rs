//! Outputs of inner layers, of many images at once: what a teacher shows.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::Network;
use crate::kernels::parallel::Team;
use crate::model::graph::Node;
use crate::training::Features;

/// One image, and where what is computed of it goes.
struct Task<'a> {
    image: &'a [f32],
    raw: &'a mut [f32],
    features: Vec<&'a mut [f32]>,
}

impl Network {
    /// Runs the network on `pixels` (images x 3 x height x width; 0-255), each image on one thread of rayon's pool.
    /// Returns the raw head output (images x anchors x (5 + classes)) and the outputs of `layers` (each images x channels
    /// x height x width of that layer).
    ///
    /// # Errors
    /// Fails where the sides are no multiples of 32 pixels, there are not whole images, or a layer is no computation of
    /// its own.
    pub fn features(
        &self,
        pixels: &[f32],
        height: usize,
        width: usize,
        layers: &[Node],
    ) -> Result<(Vec<f32>, Features)> {
        super::check_sides(height, width)?;
        let (row, len) = (5 + self.graph.classes, 3 * height * width);
        if pixels.is_empty() || !pixels.len().is_multiple_of(len) {
            bail!("{} numbers are not whole pictures of 3 x {height} x {width}", pixels.len());
        }
        if let Some(layer) = layers.iter().find(|layer| !self.steps[layer.0].is_stored()) {
            bail!("{}: its output is not to be had, as another layer does its work", self.graph.layer(*layer).name);
        }
        let images = pixels.len() / len;
        let sizes: Vec<usize> = layers
            .iter()
            .map(|&layer| {
                let (height, width) = self.graph.layer(layer).resolution.size(height, width);
                self.graph.channels(layer) * height * width
            })
            .collect();
        let mut raw = vec![0.0; images * self.graph.anchors(height, width) * row];
        let mut features: Features = sizes.iter().map(|size| vec![0.0; images * size]).collect();

        let mut rests: Vec<_> =
            features.iter_mut().zip(&sizes).map(|(all, &size)| all.chunks_exact_mut(size)).collect();
        let raws = raw.chunks_exact_mut(self.graph.anchors(height, width) * row);
        let tasks: Vec<Task> = pixels
            .chunks_exact(len)
            .zip(raws)
            .map(|(image, raw)| Task { image, raw, features: rests.iter_mut().filter_map(Iterator::next).collect() })
            .collect();
        tasks.into_par_iter().for_each(|Task { image, raw, mut features }| {
            let mut arena = self.arena(height, width);
            self.run(&Team::alone(), image, &mut arena, raw, &mut |node, values| {
                if let Some(tap) = layers.iter().position(|&layer| layer == node) {
                    features[tap].copy_from_slice(values);
                }
            });
            self.put_back(arena);
        });
        Ok((raw, features))
    }
}

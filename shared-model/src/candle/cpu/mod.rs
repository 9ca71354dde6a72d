//! This project's kernels as operations of candle on the CPU, with their gradients: for what candle's own operations are
//! many times slower at (depthwise and pointwise convolutions, normalisation) or cannot differentiate rightly (see `plain`).

mod chain;
mod conv;
mod pool;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, bail};
use rayon::prelude::*;

pub(super) use chain::{LinkSpec, chain};
pub(super) use conv::infer;
pub(super) use pool::{max_pool_halving, max_pool_same, upsample};

use crate::kernels::parallel::Team;

/// A tensor's numbers, one after another.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// So many zeros, written by all threads: the memory is rarely new, and one thread's writing is a tenth of a training step.
fn zeros(len: usize) -> Vec<f32> {
    rayon::iter::repeat_n(0.0, len).collect()
}

/// Calls `work` for every image's part of `out`: each on one thread, or, where there are fewer images than threads, one
/// after another on all of them.
fn for_each_image(images: usize, out: &mut [f32], work: impl Fn(&Team, usize, &mut [f32]) + Sync) {
    let len = out.len() / images;
    if images >= rayon::current_num_threads() {
        let parts = out.par_chunks_mut(len).enumerate();
        parts.for_each(|(image, out)| work(&Team::alone(), image, out));
    } else {
        Team::fork_join(|team| {
            out.chunks_mut(len).enumerate().for_each(|(image, out)| work(team, image, out));
        });
    }
}

/// An operation of one, two or three tensors without a gradient of its own: the gradients of others are made of them.
struct Plain<F>(&'static str, F);

impl<F: Fn(&[f32]) -> (Vec<f32>, Shape)> CustomOp1 for Plain<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = self.1(numbers(s, l)?);
        Ok((CpuStorage::F32(values), shape))
    }
}

impl<F: Fn(&[f32], &[f32]) -> (Vec<f32>, Shape)> CustomOp2 for Plain<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = self.1(numbers(s1, l1)?, numbers(s2, l2)?);
        Ok((CpuStorage::F32(values), shape))
    }
}

impl<F: Fn(&[f32], &[f32], &[f32]) -> (Vec<f32>, Shape)> CustomOp3 for Plain<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = self.1(numbers(s1, l1)?, numbers(s2, l2)?, numbers(s3, l3)?);
        Ok((CpuStorage::F32(values), shape))
    }
}

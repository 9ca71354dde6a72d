//! Where parameters lie in libtorch's memory: arranged by what happens to them, and every tensor aligned.

use std::ops::Range;

use shared_model::ParameterLayout;
use tch::{TchError, Tensor};

/// Tensors begin at multiples of this number of numbers, 16 bytes in half precision: cuDNN's fast kernels load so much at
/// once.
const ALIGNMENT: usize = 8;

/// The arrangement of a network's parameters: kernels, which lower precision concerns; then what is added to and multiplied
/// with channels; then running statistics, which have no gradient. One array holds all three, for one transfer.
#[derive(Debug)]
pub(super) struct ParameterPlan {
    pub(super) kernels: Section,
    pub(super) affine: Section,
    pub(super) statistics: Section,
}

/// Tensors of one kind, in the order of the layout.
#[derive(Debug, Default)]
pub(super) struct Section {
    tensors: Vec<PlannedTensor>,
    /// Numbers, with the gaps.
    pub(super) len: usize,
}

#[derive(Debug)]
struct PlannedTensor {
    shape: Vec<i64>,
    /// In the layout's array.
    of_layout: Range<usize>,
    /// Numbers up to the next tensor.
    padded: usize,
}

impl ParameterPlan {
    pub(super) fn new(layout: &ParameterLayout) -> Self {
        let [mut kernels, mut affine, mut statistics] = [(); 3].map(|()| Section::default());
        for (parameter, of_layout) in &layout.entries {
            let section = match (parameter.trainable, parameter.shape.len()) {
                (false, _) => &mut statistics,
                (true, 1) => &mut affine,
                (true, _) => &mut kernels,
            };
            let shape = parameter.shape.iter().map(|&size| size as i64).collect();
            let padded = of_layout.len().next_multiple_of(ALIGNMENT);
            section.tensors.push(PlannedTensor { shape, of_layout: of_layout.clone(), padded });
            section.len += padded;
        }
        Self { kernels, affine, statistics }
    }

    /// `parameters`, in the layout's order, as they are arranged here.
    pub(super) fn arrange(&self, parameters: &[f32]) -> Vec<f32> {
        let sections = [&self.kernels, &self.affine, &self.statistics];
        let mut arranged = vec![0.0; sections.iter().map(|section| section.len).sum()];
        for (of_layout, here) in pairs(&sections) {
            arranged[here].copy_from_slice(&parameters[of_layout]);
        }
        arranged
    }

    /// Writes what is arranged as here to `values`, in the layout's order.
    pub(super) fn put_back(&self, arranged: &[f32], values: &mut [f32]) {
        for (of_layout, here) in pairs(&[&self.kernels, &self.affine, &self.statistics]) {
            values[of_layout].copy_from_slice(&arranged[here]);
        }
    }

    /// Writes `arranged`, which is the section of statistics alone, to its places in `values`, in the layout's order.
    pub(super) fn put_back_statistics(&self, arranged: &[f32], values: &mut [f32]) {
        for (of_layout, here) in pairs(&[&self.statistics]) {
            values[of_layout].copy_from_slice(&arranged[here]);
        }
    }
}

/// Of every tensor the place in the layout, and that among `sections`, which lie one after another.
fn pairs(sections: &[&Section]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut start = 0;
    sections.iter().flat_map(|section| &section.tensors).map(move |range| {
        let here = start..start + range.of_layout.len();
        start += range.padded;
        (range.of_layout.clone(), here)
    })
}

impl Section {
    /// The tensors that `flat`, arranged as this section, consists of.
    pub(super) fn tensors(&self, flat: &Tensor) -> Result<Vec<Tensor>, TchError> {
        // One operation, whose gradient is put together in one go: slices would each make a whole array of it.
        let sizes: Vec<i64> = self
            .tensors
            .iter()
            .flat_map(|range| [range.of_layout.len() as i64, (range.padded - range.of_layout.len()) as i64])
            .collect();
        let pieces = flat.f_split_with_sizes(&sizes, 0)?;
        self.tensors.iter().zip(pieces.iter().step_by(2)).map(|(range, piece)| piece.f_view(&range.shape[..])).collect()
    }
}

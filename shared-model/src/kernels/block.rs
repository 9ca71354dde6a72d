//! A block of outputs on its way from registers to memory: activation, residual, store.

use super::activation::{Activate, Other, Silu};
use super::parallel::Shared;
use super::simd::{Simd, load_up_to, store_up_to};
use crate::model::graph::Activation;

/// What is added to a kernel's outputs.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a> {
    None,
    /// Numbers that lie as the outputs do.
    Add(&'a [f32]),
    /// What lies there already: outputs are added to it.
    Accumulate,
}

impl Residual<'_> {
    /// Where the numbers lie that are added to `out`.
    pub(crate) fn pointer(self, out: Shared) -> Option<*const f32> {
        match self {
            Self::None => None,
            Self::Add(numbers) => Some(numbers.as_ptr()),
            // SAFETY: no number is touched here; each is read by the thread that then writes it.
            Self::Accumulate => Some(unsafe { out.at(0, 0) }),
        }
    }
}

impl<'a> From<Option<&'a [f32]>> for Residual<'a> {
    fn from(numbers: Option<&'a [f32]>) -> Self {
        numbers.map_or(Self::None, Self::Add)
    }
}

/// Where a block's outputs go. Those beyond `rows` and `columns` are dropped.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) out: Shared,
    /// Place of the first output.
    pub(crate) at: usize,
    /// Numbers from one row's outputs to the next row's.
    pub(crate) stride: usize,
    /// Rows that are there.
    pub(crate) rows: usize,
    /// Outputs that are there in a row.
    pub(crate) columns: usize,
    pub(crate) activation: Activation,
    /// Added to the outputs; lies as they do.
    pub(crate) residual: Option<*const f32>,
}

impl Block {
    /// Applies the activation to `sums`, adds the residual, and stores.
    ///
    /// # Safety
    /// See [`Simd`] and [`Shared::at`].
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd, const ROWS: usize, const N: usize>(self, sums: &[[S::V; N]; ROWS]) {
        // SAFETY: the caller's.
        unsafe {
            // All choices are made once, not for every vector.
            match self.activation {
                Activation::Silu => self.finish_by::<S, ROWS, N>(sums, Silu::<S>::new()),
                activation => self.finish_by::<S, ROWS, N>(sums, Other(activation)),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish_by<S: Simd, const ROWS: usize, const N: usize>(
        self,
        sums: &[[S::V; N]; ROWS],
        activation: impl Activate<S>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            if self.rows >= ROWS && self.columns >= N * S::LANES {
                self.store::<S, ROWS, N, true>(sums, activation);
            } else {
                self.store::<S, ROWS, N, false>(sums, activation);
            }
        }
    }

    /// `WHOLE`: without looking where rows or columns end.
    #[inline(always)]
    unsafe fn store<S: Simd, const ROWS: usize, const N: usize, const WHOLE: bool>(
        self,
        sums: &[[S::V; N]; ROWS],
        activation: impl Activate<S>,
    ) {
        for (row, sums) in sums.iter().enumerate() {
            if !WHOLE && row == self.rows {
                break;
            }
            let at = self.at + row * self.stride;
            // SAFETY: the caller's.
            unsafe {
                let to = self.out.at(at, self.columns.min(N * S::LANES));
                for (n, &sum) in sums.iter().enumerate() {
                    let done = n * S::LANES;
                    if !WHOLE && done >= self.columns {
                        break;
                    }
                    let left = if WHOLE { S::LANES } else { self.columns - done };
                    let mut y = activation.apply(sum);
                    if let Some(residual) = self.residual {
                        y = S::add(y, load_up_to::<S>(residual.add(at + done), left));
                    }
                    store_up_to::<S>(to.add(done), y, left);
                }
            }
        }
    }
}

//! Where everything lies in a GPU's memory.

use shared_model::training::TrainingPlan;

use super::device::Offset;

/// Numbers of a channel's state (`Channel` in `kernels/common.cu`).
pub(super) const CHANNEL: usize = 8;
/// Places begin at multiples of this many numbers, as vectors of all widths want it.
const ALIGNMENT: usize = 64;

/// The layout for batches of one size.
pub(super) struct Memory {
    pub(super) parameters: Offset,
    /// Gradients and the batch's statistics, laid out as the parameters.
    pub(super) update: Offset,
    /// Four numbers a channel: see `prepare_channels`.
    pub(super) channel_offsets: Offset,
    /// The states of all channels of all convolutions.
    pub(super) channels: Offset,
    /// As many as a layer has channels; 0 between kernels.
    pub(super) counters: Offset,
    /// The raw head output, later its gradient.
    pub(super) raw: Offset,
    /// The outputs of tapped layers, one after another, in a lesson, where the arena has the teacher's.
    pub(super) found: Offset,
    /// The teacher's features, later the gradients that begin at the tapped layers.
    pub(super) taught: Offset,
    /// Of each channel of the tapped layers: first all means of the teacher's, then the variances, then the losses against it.
    pub(super) tap_channels: Offset,
    /// What the loss of features is multiplied by.
    pub(super) feature_weight: Offset,
    /// Bytes.
    pub(super) pixels: Offset,
    /// The values of the plan.
    pub(super) arena: Offset,
    /// What a kernel's blocks leave for its last one; the last part, as its size depends on the kernels.
    pub(super) parts: Offset,
}

/// How much of what there is.
#[derive(Clone, Copy)]
pub(super) struct Amounts {
    pub(super) parameters: usize,
    /// Of all convolutions.
    pub(super) channels: usize,
    /// Of the widest layer.
    pub(super) most_channels: usize,
    pub(super) images: usize,
    /// Numbers of the raw head output.
    pub(super) raw: usize,
    /// Numbers of the outputs of all tapped layers.
    pub(super) taps: usize,
    /// Channels of all tapped layers.
    pub(super) tap_channels: usize,
}

impl Memory {
    pub(super) fn new(amounts: Amounts, plan: &TrainingPlan) -> Self {
        let mut end = 0;
        let mut offset = |numbers: usize| {
            let start = end;
            end += numbers.next_multiple_of(ALIGNMENT);
            start
        };
        Self {
            parameters: offset(amounts.parameters),
            update: offset(amounts.parameters),
            channel_offsets: offset(4 * amounts.channels),
            channels: offset(CHANNEL * amounts.channels),
            counters: offset(amounts.most_channels),
            raw: offset(amounts.raw),
            found: offset(amounts.taps),
            taught: offset(amounts.taps),
            tap_channels: offset(3 * amounts.tap_channels),
            feature_weight: offset(1),
            pixels: offset((amounts.images * 3 * plan.height * plan.width).div_ceil(4)),
            arena: offset(amounts.images * plan.len),
            parts: offset(0),
        }
    }
}

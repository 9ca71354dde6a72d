//! Where everything lies in a GPU's memory.

use shared_model::training::TrainingPlan;

use super::device::Place;

/// Numbers of a channel's state (`Channel` in `kernels/common.cu`).
pub(super) const CHANNEL: usize = 8;
/// Places begin at multiples of this many numbers, as vectors of all widths want it.
const ALIGNMENT: usize = 64;

/// The layout for batches of one size.
pub(super) struct Memory {
    pub(super) parameters: Place,
    /// Gradients and the batch's statistics, laid out as the parameters.
    pub(super) update: Place,
    /// Four numbers a channel: see `prepare_channels`.
    pub(super) channel_places: Place,
    /// The states of all channels of all convolutions.
    pub(super) channels: Place,
    /// As many as a layer has channels; 0 between kernels.
    pub(super) counters: Place,
    /// The raw head output, later its gradient.
    pub(super) raw: Place,
    /// The outputs of tapped layers, one after another, in a lesson, where the arena has the teacher's.
    pub(super) found: Place,
    /// The teacher's features, later the gradients that begin at the tapped layers.
    pub(super) taught: Place,
    /// Bytes.
    pub(super) pixels: Place,
    /// The values of the plan.
    pub(super) arena: Place,
    /// What a kernel's blocks leave for its last one; the last place, as its size depends on the kernels.
    pub(super) parts: Place,
}

/// How much of what there is.
#[derive(Clone, Copy)]
pub(super) struct Amounts {
    pub(super) parameters: usize,
    /// Of all convolutions.
    pub(super) channels: usize,
    /// Of the widest layer.
    pub(super) most_channels: usize,
    pub(super) pictures: usize,
    /// Numbers of the raw head output.
    pub(super) raw: usize,
    /// Numbers of the outputs of all tapped layers.
    pub(super) taps: usize,
}

impl Memory {
    pub(super) fn new(amounts: Amounts, plan: &TrainingPlan) -> Self {
        let mut end = 0;
        let mut place = |numbers: usize| {
            let start = end;
            end += numbers.next_multiple_of(ALIGNMENT);
            start
        };
        Self {
            parameters: place(amounts.parameters),
            update: place(amounts.parameters),
            channel_places: place(4 * amounts.channels),
            channels: place(CHANNEL * amounts.channels),
            counters: place(amounts.most_channels),
            raw: place(amounts.raw),
            found: place(amounts.taps),
            taught: place(amounts.taps),
            pixels: place((amounts.pictures * 3 * plan.height * plan.width).div_ceil(4)),
            arena: place(amounts.pictures * plan.len),
            parts: place(0),
        }
    }
}

//! Photographs on their way into a network: fitted into its input, and, for training, warped and shifted in colour. On bytes.
#![expect(unsafe_code, reason = "vector instructions")]

pub(crate) mod colour_shift;
pub(crate) mod letterbox;
mod resize;
pub(crate) mod warp;

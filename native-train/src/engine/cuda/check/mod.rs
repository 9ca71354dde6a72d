//! Whether a device computes what it should: every operation against a plain reference, whole networks against the CPU's engine. The
//! tests run this on the emulator, `yolox-nano gpu-check` on a GPU.

mod bench;
mod beside;
mod case;
mod networks;
mod operations;
mod taps;

use serde::Serialize;

pub use beside::check_beside;
pub use networks::check_variant;
pub use operations::check_operations;
pub use taps::check_taps;

/// What was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// What was computed.
    pub what: String,
    /// The greatest error; infinite where something is not a number.
    pub error: f64,
    /// The error that rounding explains.
    pub tolerance: f64,
}

impl Checked {
    /// Whether the error is within the tolerance.
    pub fn is_passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

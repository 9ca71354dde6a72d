//! Where a network is computed, by what and how exactly.

/// How exactly products are computed. Everything is kept in single precision in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In single precision.
    F32,
    /// By tensor cores, from numbers with 11 bits.
    #[default]
    Tf32,
    /// By tensor cores, from numbers with 8 bits.
    Bf16,
}

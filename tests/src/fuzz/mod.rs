//! Damaged and invented input for everything that reads what this project did not write: see docs/reliability.md.
//!
//! [`READERS`] is the table of readers. A [`Corpus`] makes inputs of small whole ones, the same for the same seed and number.
//! [`child`] reads them in a process that [`parent`] looks after. The program `fuzz` (`src/bin/fuzz.rs`) is both;
//! `cargo xtask fuzz` and the test `fuzz` start it.

pub mod child;
mod corpus;
mod formats;
mod mutate;
pub mod parent;
mod readers;
mod seeds;

pub use corpus::Corpus;
pub use readers::{FAULTS, FAULTY, READERS, Reader};

/// The folder of inputs that once failed, relative to the repository: a folder a reader.
pub const ONCE_FAILED: &str = "tests/data/fuzz";

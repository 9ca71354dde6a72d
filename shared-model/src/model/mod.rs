//! The networks: what they are made of, what they cost, what they weigh.

pub(crate) mod backbone;
pub(crate) mod blocks;
pub(crate) mod cost;
pub(crate) mod fuse;
pub(crate) mod ghost;
pub mod graph;
pub(crate) mod head;
pub(crate) mod init;
pub(crate) mod layout;
pub(crate) mod neck;
pub(crate) mod prune;
pub(crate) mod quantize;
pub(crate) mod variant;
pub(crate) mod weights;
pub(crate) mod widths;

//! The part of xtask that the browser tests share with `cargo xtask demo`: the web server.
//!
//! Everything else about building the site lives in the binary.

pub mod names;
pub mod server;

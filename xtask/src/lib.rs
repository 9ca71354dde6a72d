//! The part of xtask that the browser tests share with its commands: the web server, and how Chromium is started.
//!
//! Everything else about building the site lives in the binary.

pub mod chromium;
pub mod names;
pub mod programs;
pub mod server;

//! The page in a real browser.
//!
//! `cargo xtask test` builds the site and runs these tests. By hand, after `cargo xtask web` and `cargo build`:
//! `cargo test -p integration-tests --test browser -- --include-ignored`.
//!
//! A test opens a browser of its own ([`browser`]), speaks of the page in the page's words ([`page`]), and fails when
//! the browser's console shows an error that the test did not announce.

mod accessibility;
mod bad_files;
mod benchmark;
mod browser;
mod builds;
mod compare;
mod evaluation;
mod faults;
mod hosting;
mod images;
mod kept;
mod korean;
mod memory;
mod models;
mod npm;
mod npm_tools;
mod objects;
mod offline;
mod own_files;
mod page;
mod phone;
mod photo;
mod screenshots;
mod sizes;
mod smooth;
mod thresholds;
mod variants;
mod weight;
mod weights;
mod worker;

//! The comparison page and its worker: two programs that talk in the messages of `protocol`.
//!
//! [`page`] shows pictures, boxes and figures and never runs a network; [`worker`] runs the networks and shows nothing.

#[cfg(feature = "page")]
pub mod page;
mod protocol;
#[cfg(all(feature = "page", not(target_arch = "wasm32")))]
pub mod readers;
pub mod worker;

#[cfg(feature = "page")]
rust_i18n::i18n!("locales", fallback = "en");

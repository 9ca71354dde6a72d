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
// Of a folder that is not there, nothing is compiled in: what is not English comes as a file of the site.
rust_i18n::i18n!("no-texts", fallback = "en", backend = page::FetchedTexts);

//! Weights from the network or from the browser's cache, checked before they are used or kept.

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Cache, ReadableStreamDefaultReader, Response};

use super::scope::{post, scope};
use crate::protocol::{LoadError, ModelFile, OWN_WEIGHTS_CACHE, Reply};

/// Name of the browser's cache for weights.
const CACHE: &str = "yolox-nano-weights";

/// A file that has more is not of these networks (4 MB in single precision), and might not fit into the tab.
const MAX_OWN_BYTES: f64 = 64e6;

/// A download that brings nothing for this long has broken off.
const SILENCE_MS: u32 = 20_000;

/// The bytes of `file`, cached if the browser has room for them.
///
/// # Errors
/// Says why they cannot be had.
pub async fn fetch(file: &ModelFile) -> Result<Vec<u8>, LoadError> {
    // There is no cache on plain http, nor in some private windows; then the weights live in memory only.
    let cache = open_cache(CACHE).await.ok();
    if let Some(cache) = &cache
        && let Some(bytes) = cached(cache, file).await
    {
        return Ok(bytes);
    }
    let bytes = download(file).await?;
    check(file, &bytes)?;
    if let Some(cache) = &cache {
        // A full disk is no reason to stop: the bytes are here.
        let _ = keep(cache, file, &bytes).await;
    }
    Ok(bytes)
}

/// The bytes of a file that the visitor has given.
///
/// # Errors
/// Says why they cannot be had.
pub async fn read(blob: &Blob) -> Result<Vec<u8>, LoadError> {
    if blob.size() > MAX_OWN_BYTES {
        return Err(LoadError::TooLarge(blob.size() as u64));
    }
    let buffer = JsFuture::from(blob.array_buffer()).await;
    Ok(Uint8Array::new(&buffer.map_err(|_| LoadError::Unreadable)?).to_vec())
}

/// The bytes of a weight file that this browser keeps for the visitor.
///
/// # Errors
/// Fails where it does not, or no longer.
pub async fn kept(url: &str) -> Result<Vec<u8>, LoadError> {
    let bytes = async {
        let cache = open_cache(OWN_WEIGHTS_CACHE).await?;
        let response: Response = JsFuture::from(cache.match_with_str(url)).await?.dyn_into()?;
        Ok(Uint8Array::new(&JsFuture::from(response.array_buffer()?).await?).to_vec())
    };
    bytes.await.map_err(|_: JsValue| LoadError::Gone)
}

async fn open_cache(name: &str) -> Result<Cache, JsValue> {
    Ok(JsFuture::from(scope().caches()?.open(name)).await?.unchecked_into())
}

/// What the cache holds, unless it went bad.
async fn cached(cache: &Cache, file: &ModelFile) -> Option<Vec<u8>> {
    let response: Response = JsFuture::from(cache.match_with_str(&file.url)).await.ok()?.dyn_into().ok()?;
    let bytes = Uint8Array::new(&JsFuture::from(response.array_buffer().ok()?).await.ok()?).to_vec();
    if check(file, &bytes).is_err() {
        let _ = JsFuture::from(cache.delete_with_str(&file.url)).await;
        return None;
    }
    Some(bytes)
}

async fn keep(cache: &Cache, file: &ModelFile, bytes: &[u8]) -> Result<(), JsValue> {
    let response = Response::new_with_opt_js_u8_array(Some(&Uint8Array::from(bytes)))?;
    // Awaited: a put that nobody waits for may never be written.
    JsFuture::from(cache.put_with_str(&file.url, &response)).await?;
    Ok(())
}

async fn download(file: &ModelFile) -> Result<Vec<u8>, LoadError> {
    let unreachable = |_| LoadError::Unreachable;
    let response: Response =
        JsFuture::from(scope().fetch_with_str(&file.url)).await.map_err(unreachable)?.unchecked_into();
    if !response.ok() {
        return Err(LoadError::Status(response.status()));
    }
    let interrupted = |received: usize| LoadError::BrokenOff { received: received as u64, expected: file.bytes };
    let body = response.body().ok_or_else(|| interrupted(0))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::with_capacity(file.bytes as usize);
    loop {
        let next = JsFuture::from(reader.read());
        let chunk = match select(next, TimeoutFuture::new(SILENCE_MS)).await {
            Either::Left((Ok(chunk), _)) => chunk,
            Either::Left((Err(_), _)) => return Err(interrupted(bytes.len())),
            Either::Right(_) => {
                let _ = reader.cancel();
                return Err(interrupted(bytes.len()));
            }
        };
        let Ok(value) = Reflect::get(&chunk, &"value".into()) else { return Err(interrupted(bytes.len())) };
        // The last answer has no value.
        let Ok(value) = value.dyn_into::<Uint8Array>() else { return Ok(bytes) };
        let start = bytes.len();
        bytes.resize(start + value.length() as usize, 0);
        value.copy_to(&mut bytes[start..]);
        post(&Reply::Progress { model: file.model.clone(), received: bytes.len() as u64 });
    }
}

/// A web page under the file's name, a half file or another version must neither run nor be kept.
fn check(file: &ModelFile, bytes: &[u8]) -> Result<(), LoadError> {
    let (received, expected) = (bytes.len() as u64, file.bytes);
    let has_length = received == expected;
    let digest = base16ct::lower::encode_string(&Sha256::digest(bytes));
    if has_length && digest == file.sha256 {
        Ok(())
    } else if bytes.starts_with(b"<") {
        Err(LoadError::WebPage)
    } else if has_length {
        Err(LoadError::OtherFile)
    } else {
        Err(LoadError::OtherLength { received, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abc() -> ModelFile {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into();
        ModelFile { model: "a".into(), url: String::new(), bytes: 3, sha256 }
    }

    #[test]
    fn only_the_published_bytes_pass() {
        assert_eq!(check(&abc(), b"abc"), Ok(()));
        assert_eq!(check(&abc(), b"abd"), Err(LoadError::OtherFile));
        assert_eq!(check(&abc(), b"ab"), Err(LoadError::OtherLength { received: 2, expected: 3 }));
        assert_eq!(check(&abc(), b"<!doctype html>"), Err(LoadError::WebPage));
    }
}

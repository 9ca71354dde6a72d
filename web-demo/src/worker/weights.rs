//! Weights from the network or from the browser's cache, checked before they are used or kept.

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Cache, ReadableStreamDefaultReader, Response};

use super::scope::{post, scope};
use crate::protocol::{ModelFile, Reply};

/// Name of the browser's cache for weights.
const CACHE: &str = "yolox-nano-weights";

/// A file that has more is not of these networks (4 MB in single precision), and might not fit into the tab.
const MAX_OWN_BYTES: f64 = 64e6;

/// A download that brings nothing for this long has broken off.
const SILENCE_MS: u32 = 20_000;

/// The bytes of `file`, cached if the browser has room for them.
///
/// # Errors
/// Says in a sentence why they cannot be had.
pub async fn fetch(file: &ModelFile) -> Result<Vec<u8>, String> {
    // There is no cache on plain http, nor in some private windows; then the weights live in memory only.
    let cache = open_cache().await.ok();
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
/// Says in a sentence why they cannot be had.
pub async fn read(blob: &Blob) -> Result<Vec<u8>, String> {
    if blob.size() > MAX_OWN_BYTES {
        return Err(format!("It has {:.0} MB, far more than weights of these networks.", blob.size() / 1e6));
    }
    let buffer = JsFuture::from(blob.array_buffer()).await;
    Ok(Uint8Array::new(&buffer.map_err(|_| "The file cannot be read. Was it moved or deleted?")?).to_vec())
}

async fn open_cache() -> Result<Cache, JsValue> {
    Ok(JsFuture::from(scope().caches()?.open(CACHE)).await?.unchecked_into())
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

async fn download(file: &ModelFile) -> Result<Vec<u8>, String> {
    let unreachable = |_| format!("{} cannot be reached. Is the connection up?", name(file));
    let response: Response =
        JsFuture::from(scope().fetch_with_str(&file.url)).await.map_err(unreachable)?.unchecked_into();
    if !response.ok() {
        return Err(format!("The server answered {} to {}.", response.status(), name(file)));
    }
    let interrupted =
        |received: usize| format!("The download of {} broke off after {received} of {} bytes.", name(file), file.bytes);
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
fn check(file: &ModelFile, bytes: &[u8]) -> Result<(), String> {
    let expected = file.bytes;
    let has_length = bytes.len() as u64 == expected;
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if has_length && digest == file.sha256 {
        Ok(())
    } else if bytes.starts_with(b"<") {
        Err(format!("The server sent a web page instead of {}.", name(file)))
    } else if has_length {
        Err(format!("What arrived as {} is another file: its SHA-256 differs.", name(file)))
    } else {
        Err(format!("What arrived as {} has {} bytes instead of {expected}.", name(file), bytes.len()))
    }
}

fn name(file: &ModelFile) -> String {
    format!("the weight file of \"{}\"", file.model)
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
        assert!(check(&abc(), b"abd").unwrap_err().contains("SHA-256"));
        assert!(check(&abc(), b"ab").unwrap_err().contains("2 bytes instead of 3"));
        assert!(check(&abc(), b"<!doctype html>").unwrap_err().contains("web page"));
    }
}

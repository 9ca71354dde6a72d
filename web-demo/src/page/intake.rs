//! How pictures come in: samples, files, drops and pastes all end in [`open`].

use std::sync::atomic::{AtomicU32, Ordering};

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, FileList, Response};

use super::picture_file::{Verdict, judge};
use super::samples::Sample;
use super::state::{Picture, State};

/// Enough of a file for its size in nearly all cases.
const BEGINNING: f64 = 256.0 * 1024.0;

/// Opens the first of some files: the page shows one picture at a time.
pub fn open_files(state: State, files: Option<FileList>) {
    let Some(files) = files else { return };
    let Some(file) = files.get(0) else { return };
    // Now: the list empties itself when its input or its event is done.
    let count = files.length();
    spawn_local(async move {
        open_file(state, file).await;
        if count > 1 && state.notice.read_untracked().is_none() {
            state.tell(format!("{count} files were given; this is the first."));
        }
    });
}

/// Opens a sample.
pub fn open_sample(state: State, sample: &'static Sample) {
    spawn_local(async move {
        let number = next_number();
        match fetch_blob(&state.url(&sample.file())).await {
            Ok(blob) => open(state, number, blob, format!("{}.jpg", sample.id), Some(sample)).await,
            Err(message) => state.tell(message),
        }
    });
}

async fn open_file(state: State, file: File) {
    let name = file.name();
    open(state, next_number(), file.unchecked_into(), name, None).await;
}

/// Judges a file and, if it passes, hands it to the worker by way of [`State::pending`].
async fn open(state: State, id: u32, blob: Blob, name: String, sample: Option<&'static Sample>) {
    match verdict(&blob).await {
        Verdict::Picture | Verdict::NeedsMore => {
            state.notice.set(None);
            // Of two that race, the one asked for last is shown.
            let is_newest = id + 1 == NEXT.load(Ordering::Relaxed);
            if is_newest {
                state.suspect.set(None);
                state.pending.set(Some(Picture { id, name, blob, sample }));
            }
        }
        Verdict::Refused(why) => state.tell(format!("{name}: {why}")),
    }
}

static NEXT: AtomicU32 = AtomicU32::new(1);

fn next_number() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn verdict(blob: &Blob) -> Verdict {
    let Some(beginning) = read(blob, BEGINNING).await else {
        return Verdict::Refused("The file cannot be read. Was it moved or deleted?".into());
    };
    match judge(&beginning) {
        Verdict::NeedsMore if blob.size() > BEGINNING => match read(blob, blob.size()).await {
            Some(whole) => judge(&whole),
            None => Verdict::NeedsMore,
        },
        verdict => verdict,
    }
}

async fn read(blob: &Blob, bytes: f64) -> Option<Vec<u8>> {
    let part = blob.slice_with_f64_and_f64(0.0, bytes).ok()?;
    let buffer = JsFuture::from(part.array_buffer()).await.ok()?;
    Some(js_sys::Uint8Array::new(&buffer).to_vec())
}

async fn fetch(url: &str) -> Result<Response, String> {
    let unreachable = |_| "The server cannot be reached. Is the connection up?".to_string();
    let response: Response = JsFuture::from(window().fetch_with_str(url)).await.map_err(unreachable)?.unchecked_into();
    if response.ok() { Ok(response) } else { Err(format!("The server answered {} to {url}.", response.status())) }
}

async fn fetch_blob(url: &str) -> Result<Blob, String> {
    let blob = fetch(url).await?.blob().map_err(broken_off)?;
    Ok(JsFuture::from(blob).await.map_err(broken_off)?.unchecked_into())
}

/// A text file of the site.
pub async fn fetch_text(url: &str) -> Result<String, String> {
    let text = fetch(url).await?.text().map_err(broken_off)?;
    Ok(JsFuture::from(text).await.map_err(broken_off)?.as_string().unwrap_or_default())
}

fn broken_off(_: JsValue) -> String {
    "The download broke off.".into()
}

//! How files come in: samples, choices, folders, drops, pastes and the camera all end in [`open`].

use std::sync::atomic::{AtomicU32, Ordering};

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DataTransfer, File, FileList, Response};

use super::dropped;
use super::language::text;
use super::own_weights;
use super::picture::Picture;
use super::picture_file::{Verdict, judge};
use super::samples::Sample;
use super::state::State;
use super::truth::TruthFile;
use super::truths;

/// Enough of a file for its size in nearly all cases.
const BEGINNING: f64 = 256.0 * 1024.0;

/// The most pictures of one gallery.
const MAX_PICTURES: usize = 500;

/// The most files of a folder: pictures, and an annotation each.
pub const MAX_FILES: usize = 2 * MAX_PICTURES;

/// The most bytes of an annotation file: COCO's whole validation set has 20 MB.
const MAX_TRUTH_BYTES: f64 = 64e6;

/// Endings of annotation files.
const TRUTH: [&str; 4] = [".xml", ".json", ".txt", ".names"];

/// Takes files of any kind the page knows: one picture is shown, several become the gallery; annotations are put beside
/// their pictures, weights among the models.
pub fn open_files(state: State, files: Option<FileList>) {
    let Some(files) = files else { return };
    // Now: the list empties itself when its input or its event is done.
    let files: Vec<File> = (0..files.length()).filter_map(|i| files.get(i)).collect();
    if !files.is_empty() {
        spawn_local(take(state, files));
    }
}

/// Takes what was dropped; of folders, the files in them.
pub fn open_drop(state: State, data: &DataTransfer) {
    let entries = dropped::entries(data);
    if entries.is_empty() {
        return open_files(state, data.files());
    }
    spawn_local(async move { take(state, dropped::files(entries).await).await });
}

async fn take(state: State, files: Vec<File>) {
    state.notice.set(None);
    let ends = |file: &File, ending: &str| file.name().to_ascii_lowercase().ends_with(ending);
    let (mut pictures, mut truths) = (Vec::new(), Vec::new());
    for file in files {
        // Of a folder, what the system put there.
        if file.name().starts_with('.') {
            continue;
        }
        if ends(&file, ".safetensors") {
            own_weights::take(state, file);
        } else if TRUTH.iter().any(|ending| ends(&file, ending)) {
            truths.push(file);
        } else {
            pictures.push(file);
        }
    }
    let taken = open_pictures(state, pictures).await;
    if !truths.is_empty() {
        read_truths(state, truths, &taken).await;
    }
}

/// Opens the first picture, and makes several the gallery. Returns those that are worth decoding.
async fn open_pictures(state: State, files: Vec<File>) -> Vec<Picture> {
    let (mut pictures, mut refused, given) = (Vec::new(), None, files.len());
    for file in files.into_iter().take(MAX_PICTURES) {
        let (name, id) = (file.name(), next_number());
        match verdict(&file).await {
            Verdict::Picture | Verdict::NeedsMore => pictures.push(Picture::new(id, name, file.unchecked_into(), None)),
            Verdict::Refused(why) => drop(refused.get_or_insert(format!("{name}: {why}"))),
        }
    }
    state.live.set(false);
    if pictures.len() > 1 {
        set_gallery(state, pictures.clone());
    }
    if let Some(first) = pictures.first() {
        show(state, first.clone());
    }
    match refused {
        Some(why) if given == 1 => state.tell(why),
        Some(why) => state.tell(text!(
            "%{refused} of %{given} files are no pictures that can be opened. The first: %{why}",
            refused = given.min(MAX_PICTURES) - pictures.len(),
            given = given,
            why = why
        )),
        None if given > MAX_PICTURES => {
            state.tell(text!("The page takes %{most} pictures at a time; these are the first.", most = MAX_PICTURES));
        }
        None => {}
    }
    pictures
}

/// Replaces the gallery. The picture on show stays, whichever it is from.
fn set_gallery(state: State, pictures: Vec<Picture>) {
    let shown = untrack(|| state.shown());
    for old in state.gallery.get_untracked() {
        if Some(old.id) != shown {
            old.release();
        }
    }
    state.gallery.set(pictures);
}

/// Clears the gallery away.
pub fn close_gallery(state: State) {
    set_gallery(state, Vec::new());
}

/// Puts a picture on show once the worker has found it good.
pub fn show(state: State, picture: Picture) {
    state.notice.set(None);
    state.suspect.set(None);
    state.pending.set(Some(picture));
}

/// Opens a sample.
pub fn open_sample(state: State, sample: &'static Sample) {
    spawn_local(async move {
        let number = next_number();
        match fetch_blob(&state.url(&sample.file())).await {
            // Of two that race, the one asked for last is shown.
            Ok(blob) if number + 1 == NEXT.load(Ordering::Relaxed) => {
                state.live.set(false);
                show(state, Picture::new(number, format!("{}.jpg", sample.id), blob, Some(sample)));
            }
            Ok(_) => {}
            Err(message) => state.tell(message),
        }
    });
}

/// Opens a frame of the camera.
pub fn open_frame(state: State, blob: Blob) {
    show(state, Picture::new(next_number(), text!("Camera"), blob, None));
}

/// Reads annotation files and puts them beside the pictures they are about: those given with them, those of the gallery,
/// and the one on show. A single annotation for a single picture fits whatever their names are.
async fn read_truths(state: State, given: Vec<File>, taken: &[Picture]) {
    let mut files = Vec::new();
    for file in given {
        let name = file.name();
        if file.size() > MAX_TRUTH_BYTES {
            return state.tell(text!("%{file} is too large for an annotation file.", file = name));
        }
        let Some(bytes) = read(&file, file.size()).await else {
            return state.tell(format!("{name}: {}", text!("The file cannot be read. Was it moved or deleted?")));
        };
        match TruthFile::read(&name, &String::from_utf8_lossy(&bytes)) {
            Ok(truth) => files.push(truth),
            Err(error) => return state.tell(error.to_string()),
        }
    }
    truths::keep(state, files, taken);
}

static NEXT: AtomicU32 = AtomicU32::new(1);

fn next_number() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn verdict(blob: &Blob) -> Verdict {
    let Some(beginning) = read(blob, BEGINNING).await else {
        return Verdict::Refused(text!("The file cannot be read. Was it moved or deleted?"));
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
    let unreachable = |_| text!("The server cannot be reached. Is the connection up?");
    let response: Response = JsFuture::from(window().fetch_with_str(url)).await.map_err(unreachable)?.unchecked_into();
    if response.ok() {
        Ok(response)
    } else {
        Err(text!("The server answered %{status} to %{url}.", status = response.status(), url = url))
    }
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
    text!("The download broke off.")
}

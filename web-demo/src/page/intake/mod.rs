//! How files come in: choices, folders, drops and pastes end in [`take`], which sorts them; every picture ends in [`show`].

pub mod annotations;
mod folders;

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::LocalBoxFuture;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DataTransfer, File, FileList, ImageBitmap};

use super::language::text;
use super::model_list;
use super::parts::fetched;
use super::picture::{Picture, Verdict};
use super::samples::Sample;
use super::site::fetch_blob;
use super::state::{Film, State};

/// Enough of a file for its size in nearly all cases.
const BEGINNING: f64 = 256.0 * 1024.0;

/// The most pictures of one gallery.
const MAX_PICTURES: usize = 1000;

/// The most files of a folder: pictures, and an annotation each.
const MAX_FILES: usize = 2 * MAX_PICTURES;

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
    let entries = folders::entries(data);
    if entries.is_empty() {
        return open_files(state, data.files());
    }
    spawn_local(async move { take(state, folders::files(entries).await).await });
}

async fn take(state: State, files: Vec<File>) {
    if let Some(sorting) = fetched(state, sorting(state, files)).await {
        sorting.await;
    }
}

#[wasm_split(intake, wasm_split_path = leptos::wasm_split, fallible)]
fn sorting(state: State, files: Vec<File>) -> Result<LocalBoxFuture<'static, ()>, SplitLoaderError> {
    Ok(Box::pin(sort(state, files)))
}

async fn sort(state: State, files: Vec<File>) {
    state.notices.dismiss();
    let (mut pictures, mut truths, mut film) = (Vec::new(), Vec::new(), None);
    for file in files {
        let name = file.name().to_ascii_lowercase();
        // Of a folder, what the system put there.
        if name.starts_with('.') {
            continue;
        }
        if name.ends_with(".safetensors") {
            model_list::take(state, file);
        } else if annotations::is_annotation(&name) {
            truths.push(file);
        } else if file.type_().starts_with("video/") {
            film = Some(Film { name: file.name(), blob: file.unchecked_into() });
        } else {
            pictures.push(file);
        }
    }
    let taken = open_pictures(state, pictures).await;
    if !truths.is_empty() {
        annotations::take(state, truths, &taken).await;
    }
    if let Some(film) = film {
        state.input.set_film(film);
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
    state.input.set_live(false);
    if pictures.len() > 1 {
        state.input.set_gallery(pictures.clone());
    }
    if let Some(first) = pictures.first() {
        show(state, first.clone());
    }
    match refused {
        Some(why) if given == 1 => state.notices.tell(why),
        Some(why) => state.notices.tell(text!(
            "%{refused} of %{given} files are no pictures that can be opened. The first: %{why}",
            refused = given.min(MAX_PICTURES) - pictures.len(),
            given = given,
            why = why
        )),
        None if given > MAX_PICTURES => {
            state
                .notices
                .tell(text!("The page takes %{most} pictures at a time; these are the first.", most = MAX_PICTURES));
        }
        None => {}
    }
    pictures
}

/// Puts a picture on show once the worker has found it good.
pub fn show(state: State, picture: Picture) {
    state.notices.dismiss();
    state.input.request(picture);
}

/// Opens one of the samples, unless another picture is asked for until it is here.
pub fn open_sample(state: State, sample: &'static Sample) {
    // Not when it is here: what is said meanwhile is about something else, such as a link's weights.
    state.notices.dismiss();
    spawn_local(async move {
        let number = next_number();
        match fetch_blob(&state.assets.url(&sample.file())).await {
            // Of two that race, the one asked for last is shown.
            Ok(blob) if number + 1 == NEXT.load(Ordering::Relaxed) => {
                state.input.set_live(false);
                state.input.request(Picture::new(number, format!("{}.jpg", sample.id), blob, Some(sample)));
            }
            Ok(_) => {}
            Err(message) => state.notices.tell(message),
        }
    });
}

/// Opens a frame of the camera or of a video file. Returns its number as a picture.
pub fn open_frame(state: State, name: String, bitmap: ImageBitmap) -> u32 {
    let number = next_number();
    show(state, Picture::frame(number, name, bitmap));
    number
}

static NEXT: AtomicU32 = AtomicU32::new(1);

fn next_number() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn verdict(blob: &Blob) -> Verdict {
    let Some(beginning) = read(blob, BEGINNING).await else {
        return Verdict::Refused(text!("The file cannot be read. Was it moved or deleted?"));
    };
    match Verdict::of(&beginning) {
        Verdict::NeedsMore if blob.size() > BEGINNING => match read(blob, blob.size()).await {
            Some(whole) => Verdict::of(&whole),
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

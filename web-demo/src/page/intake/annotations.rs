//! Annotation files: read, kept, and put beside the pictures they are about.

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};
use shared_model::annotations::text::encoding;
use web_sys::{File, TextDecoder, TextDecoderOptions};

use super::read;
use crate::page::language::text;
use crate::page::parts::fetched;
use crate::page::picture::{OpenedPicture, Picture};
use crate::page::state::State;
use crate::page::truth::{TruthFile, TruthNote};

/// Endings of annotation files.
const ENDINGS: [&str; 4] = [".xml", ".json", ".txt", ".names"];

/// The most bytes of an annotation file: COCO's whole validation set has 20 MB.
const MAX_BYTES: f64 = 64e6;

/// Whether a file is an annotation file by its name, which is in lower case.
pub fn is_annotation(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Reads annotation files and puts them beside the pictures they are about: those given with them, those of the gallery,
/// and the one on show. A single annotation for a single picture fits whatever their names are.
pub async fn take(state: State, given: Vec<File>, pictures: &[Picture]) {
    match read_all(given).await {
        Ok(files) => keep(state, files, pictures),
        Err(message) => state.notices.tell(message),
    }
}

async fn read_all(given: Vec<File>) -> Result<Vec<TruthFile>, String> {
    let mut files = Vec::new();
    for file in given {
        let name = file.name();
        if file.size() > MAX_BYTES {
            return Err(text!("%{file} is too large for an annotation file.", file = name));
        }
        let Some(bytes) = read(&file, file.size()).await else {
            return Err(format!("{name}: {}", text!("The file cannot be read. Was it moved or deleted?")));
        };
        let text = decode(&bytes).map_err(|why| format!("{name}: {why}"))?;
        files.push(TruthFile::read(&name, &text).map_err(|error| error.to_string())?);
    }
    Ok(files)
}

/// The text of an annotation file, by the browser's decoders of the encoding that it says or shows.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let is_xml = bytes.trim_ascii_start().starts_with(b"<");
    let label = encoding(bytes, is_xml);
    let options = TextDecoderOptions::new();
    options.set_fatal(true);
    let Ok(decoder) = TextDecoder::new_with_label_and_options(&label, &options) else {
        return Err(text!("Its encoding %{label} is unknown. Save it as UTF-8.", label = label));
    };
    let decoded = decoder.decode_with_js_u8_array(&Uint8Array::from(bytes));
    decoded.map_err(|_| text!("The text is not in %{label}. Save it as UTF-8.", label = label.to_uppercase()))
}

fn keep(state: State, files: Vec<TruthFile>, taken: &[Picture]) {
    let State { input, annotations, panels, notices, .. } = state;
    let count = files.iter().filter(|file| file.class_list().is_none()).count();
    let (shown, gallery) = untrack(|| (input.shown(), input.gallery()));
    // Given alone or with one picture, a single file is about that picture, or the one on show.
    let only = match taken {
        [] if gallery.is_empty() => shown.as_ref().map(|opened| opened.picture.id),
        [picture] => Some(picture.id),
        _ => None,
    };
    annotations.keep(files, only.filter(|_| count == 1));
    if let Some(OpenedPicture { picture, width, height }) = &shown {
        resolve(state, picture, (*width, *height));
    }
    for picture in &gallery {
        let runs = untrack(|| panels.known().into_iter().find_map(|panel| panel.run(picture.id)));
        if let Some(run) = runs {
            resolve(state, picture, run.size);
        }
    }
    let is_about_others = untrack(|| {
        let is_expected = input.is_pending() || input.gallery_len() > 1;
        !is_expected && annotations.is_empty() && count > 0 && notices.current().is_none()
    });
    if is_about_others {
        notices.tell(text!(
            "The annotations are about other pictures. Their names, up to the ending, have to be the same."
        ));
    }
}

/// Puts what the annotation files, if there are any, say beside a picture whose size is known by now, in pixels.
pub fn resolve_opened(state: State, picture: Picture, size: (u32, u32)) {
    if state.annotations.has_files() {
        spawn_local(async move {
            fetched(state, resolving(state, picture, size)).await;
        });
    }
}

#[wasm_split(intake, wasm_split_path = leptos::wasm_split, fallible)]
fn resolving(state: State, picture: Picture, size: (u32, u32)) -> Result<(), SplitLoaderError> {
    resolve(state, &picture, size);
    Ok(())
}

/// Puts what the annotation files say beside a picture of this size, in pixels.
fn resolve(state: State, picture: &Picture, size: (u32, u32)) {
    match state.annotations.resolve(picture.id, &picture.name, size) {
        Ok(Some(note)) => state.notices.tell(describe(&note)),
        Ok(None) => {}
        Err(error) => state.notices.tell(error.to_string()),
    }
}

fn describe(note: &TruthNote) -> String {
    match note {
        TruthNote::CocoNames => {
            text!("The annotation's classes are numbers, and no classes.txt came with it: they are taken for COCO's.")
        }
        TruthNote::Scaled([width, height]) => text!(
            "The annotation is of a picture with %{width} \u{d7} %{height} pixels; its boxes were scaled.",
            width = width,
            height = height
        ),
    }
}

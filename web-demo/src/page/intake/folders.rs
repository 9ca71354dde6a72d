//! Dropped folders: the files in them, and in the folders in those.

use js_sys::{Array, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, File, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

use super::MAX_FILES;

/// What was dropped, as entries of a file system. Empty if nothing of it is a folder: then the drop's own files do.
///
/// To be called while the drop's event lasts; afterwards the browser has forgotten it.
pub fn entries(data: &DataTransfer) -> Vec<FileSystemEntry> {
    let items = data.items();
    let entries = (0..items.length()).filter_map(|i| items.get(i)?.webkit_get_as_entry().ok().flatten());
    let entries: Vec<_> = entries.collect();
    if entries.iter().any(FileSystemEntry::is_directory) { entries } else { Vec::new() }
}

/// All files behind the entries, in order of their paths, as far as the page takes that many.
pub async fn files(mut entries: Vec<FileSystemEntry>) -> Vec<File> {
    let mut found: Vec<(String, File)> = Vec::new();
    while let Some(entry) = entries.pop() {
        if found.len() > MAX_FILES {
            break;
        }
        // What cannot be read (a broken link, for one) is left out.
        if entry.is_directory() {
            entries.extend(content(entry.unchecked_ref()).await.unwrap_or_default());
        } else if let Ok(file) = file(entry.unchecked_ref()).await {
            found.push((entry.full_path(), file));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, file)| file).collect()
}

async fn content(folder: &FileSystemDirectoryEntry) -> Result<Vec<FileSystemEntry>, JsValue> {
    let reader = folder.create_reader();
    let mut all = Vec::new();
    loop {
        // A browser gives a hundred or so at a time, and none when there are no more.
        let part = Promise::new(&mut |resolve, reject| {
            if let Err(error) = reader.read_entries_with_callback_and_callback(&resolve, &reject) {
                let _ = reject.call1(&JsValue::NULL, &error);
            }
        });
        let part: Array = JsFuture::from(part).await?.unchecked_into();
        if part.length() == 0 {
            return Ok(all);
        }
        all.extend(part.iter().map(|entry| entry.unchecked_into::<FileSystemEntry>()));
    }
}

async fn file(entry: &FileSystemFileEntry) -> Result<File, JsValue> {
    let file = Promise::new(&mut |resolve, reject| entry.file_with_callback_and_callback(&resolve, &reject));
    Ok(JsFuture::from(file).await?.unchecked_into())
}

//! What reads input that this project did not write, as functions of bytes alone: for programs that try damaged input on
//! them. In the browser nothing calls these. Each returns whether the input is of any use.

use shared_model::{Detection, Manifest};

use crate::page::{Link, TruthFile, Verdict, evaluate};
use crate::protocol::Reply;

/// Width and height in pixels of the picture that annotations are about.
const SIZE: [u32; 2] = [96, 64];

/// Reads an annotation file called `name`, and compares `detections`, whose classes are `classes`, with what it says of a picture.
pub fn annotations(name: &str, text: &str, detections: &[Detection], classes: &[String]) -> bool {
    let Ok(file) = TruthFile::read(name, text) else { return false };
    let [width, height] = SIZE;
    let list = file.class_list().map(<[String]>::to_vec);
    let mut is_of_use = list.is_some();
    for list in [None, list.as_deref(), Some(classes)] {
        let named = file.objects_for("image0.jpg", width, height, list);
        for truth in named.into_iter().chain(file.only_objects(width, height, list)).flatten() {
            is_of_use |= !evaluate(detections, classes, &truth).objects.is_empty();
        }
    }
    is_of_use
}

/// Reads an address's hash, finds the models that it means, and writes it anew.
///
/// # Panics
/// Panics where a link that was written is read as another one.
pub fn link(hash: &str, manifest: &Manifest) -> bool {
    let link = Link::parse(hash);
    let _ = link.models_in(manifest);
    let written = link.to_hash();
    assert_eq!(Link::parse(&written).to_hash(), written, "{hash:?}");
    !written.is_empty()
}

/// Reads a message of the worker's: JSON in place of JavaScript's objects, which there are none of outside of browsers.
pub fn message(text: &str) -> bool {
    serde_json::from_str::<Reply>(text).is_ok()
}

/// Looks at the first bytes of a picture file.
pub fn picture(bytes: &[u8]) -> bool {
    Verdict::of(bytes) == Verdict::Picture
}

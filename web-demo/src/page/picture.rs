//! Pictures: a handle for one, what a file's first bytes say, and a canvas turned into a file.

use imagesize::{ImageError, blob_size};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, HtmlCanvasElement, ImageBitmap, ImageEncodeOptions, OffscreenCanvas, OffscreenCanvasRenderingContext2d, Url,
};

use super::language::text;
use super::samples::Sample;
use crate::protocol::PictureSource;

/// The most pixels a picture may have, in millions: decoded, that many take 256 MB, and twice as much for a moment.
const MAX_MEGAPIXELS: usize = 64;

/// A picture to look at.
#[derive(Clone)]
pub struct Picture {
    /// Number, larger than all before.
    pub id: u32,
    pub name: String,
    pub content: PictureContent,
    /// Where it comes from, if the page brought it along.
    pub sample: Option<&'static Sample>,
}

/// What a picture is made of, until [`Picture::release`].
#[derive(Clone)]
pub enum PictureContent {
    /// A file, and an URL of it within this tab.
    File { blob: Blob, url: String },
    /// A camera's frame.
    Frame(ImageBitmap),
}

impl Picture {
    /// A picture file with an URL of its own; empty if the browser gives none.
    pub fn new(id: u32, name: String, blob: Blob, sample: Option<&'static Sample>) -> Self {
        let url = Url::create_object_url_with_blob(&blob).unwrap_or_default();
        Self { id, name, content: PictureContent::File { blob, url }, sample }
    }

    /// A camera's frame.
    pub fn frame(id: u32, name: String, bitmap: ImageBitmap) -> Self {
        Self { id, name, content: PictureContent::Frame(bitmap), sample: None }
    }

    /// The URL of a picture file; empty for a frame.
    pub fn url(&self) -> String {
        match &self.content {
            PictureContent::File { url, .. } => url.clone(),
            PictureContent::Frame(_) => String::new(),
        }
    }

    /// The picture, for the worker.
    pub fn source(&self) -> PictureSource {
        match &self.content {
            PictureContent::File { blob, .. } => PictureSource::File(blob.clone()),
            PictureContent::Frame(bitmap) => PictureSource::Frame(bitmap.clone()),
        }
    }

    /// Gives back what keeps the picture in memory.
    pub fn release(&self) {
        match &self.content {
            PictureContent::File { url, .. } => drop(Url::revoke_object_url(url)),
            PictureContent::Frame(bitmap) => bitmap.close(),
        }
    }
}

/// A picture that was decoded.
#[derive(Clone)]
pub struct OpenedPicture {
    pub picture: Picture,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A picture worth decoding.
    Picture,
    /// The size stands further back in the file (behind a large EXIF block, for one).
    NeedsMore,
    /// Not to be decoded, and why.
    Refused(String),
}

impl Verdict {
    /// The verdict on a file that begins like this: refuses in a sentence what would take the tab down.
    pub fn of(beginning: &[u8]) -> Self {
        if beginning.is_empty() {
            return Verdict::Refused(text!("The file is empty."));
        }
        match blob_size(beginning) {
            Ok(size) => match size.width.checked_mul(size.height) {
                Some(0) => Verdict::Refused(text!("The picture has no pixels.")),
                Some(pixels) if pixels <= MAX_MEGAPIXELS * 1_000_000 => Verdict::Picture,
                _ => Verdict::Refused(text!(
                    "The picture has %{width} x %{height} pixels, and a browser tab can take %{most} megapixels at most. \
                 Please make it smaller first.",
                    width = size.width,
                    height = size.height,
                    most = MAX_MEGAPIXELS
                )),
            },
            Err(ImageError::NotSupported) => Verdict::Refused(text!(
                "This is not a picture that the page knows (JPEG, PNG, WebP, GIF, BMP or AVIF)."
            )),
            Err(ImageError::CorruptedImage) => Verdict::Refused(text!("The picture file is damaged.")),
            Err(ImageError::IoError(_)) => Verdict::NeedsMore,
        }
    }
}

/// A canvas as a picture file.
///
/// # Errors
/// Passes on the browser's.
pub async fn encode(canvas: &HtmlCanvasElement, kind: &str, quality: f64) -> Result<Blob, JsValue> {
    // `toBlob` has a callback where this has a promise.
    let copy = OffscreenCanvas::new(canvas.width(), canvas.height())?;
    let context = copy.get_context("2d")?.ok_or("no canvas")?;
    let context: OffscreenCanvasRenderingContext2d = context.unchecked_into();
    context.draw_image_with_html_canvas_element(canvas, 0.0, 0.0)?;
    let options = ImageEncodeOptions::new();
    options.set_type(kind);
    options.set_quality(quality);
    Ok(JsFuture::from(copy.convert_to_blob_with_options(&options)?).await?.unchecked_into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a PNG file.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    #[test]
    fn size_decides() {
        assert_eq!(Verdict::of(&png(8000, 8000)), Verdict::Picture);
        assert!(matches!(Verdict::of(&png(10_000, 10_000)), Verdict::Refused(why) if why.contains("10000 x 10000")));
        assert!(matches!(Verdict::of(&png(u32::MAX, u32::MAX)), Verdict::Refused(_)));
        assert!(matches!(Verdict::of(&png(0, 5)), Verdict::Refused(why) if why.contains("no pixels")));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(Verdict::of(b""), Verdict::Refused(why) if why.contains("empty")));
        assert!(
            matches!(Verdict::of(b"hello, this is a text file"), Verdict::Refused(why) if why.contains("not a picture"))
        );
    }

    #[test]
    fn a_size_further_back_needs_more() {
        // A JPEG whose first segment, EXIF, is longer than what is here.
        assert_eq!(Verdict::of(b"\xff\xd8\xff\xe1\xff\xf0Exif\0\0"), Verdict::NeedsMore);
    }
}

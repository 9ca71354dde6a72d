//! What a file's first bytes say about it: enough to refuse in a sentence what would take the tab down.

use imagesize::{ImageError, blob_size};

use super::language::text;

/// The most pixels a picture may have: decoded, that many take 256 MB, and twice as much for a moment.
pub const MAX_MEGAPIXELS: usize = 64;

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

/// Judges a file by its beginning.
pub fn judge(beginning: &[u8]) -> Verdict {
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
        Err(ImageError::NotSupported) => {
            Verdict::Refused(text!("This is not a picture that the page knows (JPEG, PNG, WebP, GIF, BMP or AVIF)."))
        }
        Err(ImageError::CorruptedImage) => Verdict::Refused(text!("The picture file is damaged.")),
        Err(ImageError::IoError(_)) => Verdict::NeedsMore,
    }
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
        assert_eq!(judge(&png(8000, 8000)), Verdict::Picture);
        assert!(matches!(judge(&png(10_000, 10_000)), Verdict::Refused(why) if why.contains("10000 x 10000")));
        assert!(matches!(judge(&png(u32::MAX, u32::MAX)), Verdict::Refused(_)));
        assert!(matches!(judge(&png(0, 5)), Verdict::Refused(why) if why.contains("no pixels")));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(judge(b""), Verdict::Refused(why) if why.contains("empty")));
        assert!(matches!(judge(b"hello, this is a text file"), Verdict::Refused(why) if why.contains("not a picture")));
    }

    #[test]
    fn a_size_further_back_needs_more() {
        // A JPEG whose first segment, EXIF, is longer than what is here.
        assert_eq!(judge(b"\xff\xd8\xff\xe1\xff\xf0Exif\0\0"), Verdict::NeedsMore);
    }
}

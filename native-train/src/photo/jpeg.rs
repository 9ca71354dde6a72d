//! JPEG as OpenCV and browsers decode it, bit for bit: through libjpeg.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;
use mozjpeg::{ColorSpace, Decompress};

use super::PhotoError;

/// The pixels as they are stored, not yet upright; `None` for inks (CMYK), which libjpeg leaves to others.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<RgbImage>, PhotoError> {
    let source = Source { rest: bytes, ran_out: &Cell::new(false) };
    let ran_out = source.ran_out;
    // libjpeg reports broken data by unwinding.
    match catch_unwind(AssertUnwindSafe(|| pixels(source))) {
        Ok(Ok(_)) if ran_out.get() => Err(PhotoError::Damaged("the data end too early".into())),
        Ok(Ok(pixels)) => Ok(pixels),
        Ok(Err(error)) => Err(PhotoError::Damaged(error.to_string())),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map_or("broken JPEG data", String::as_str);
            Err(PhotoError::Damaged(message.into()))
        }
    }
}

fn pixels(source: Source<'_>) -> io::Result<Option<RgbImage>> {
    let header = Decompress::new_reader(source)?;
    if matches!(header.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
        return Ok(None);
    }
    let (width, height) = (header.width() as u32, header.height() as u32);
    let mut decoder = header.rgb()?;
    let pixels = decoder.read_scanlines::<u8>()?;
    decoder.finish()?;
    Ok(RgbImage::from_raw(width, height, pixels))
}

/// The bytes of a file. At their end the decoder goes on with an invented end marker; that it had to is noted here, as
/// the sign of a file cut short.
struct Source<'a> {
    rest: &'a [u8],
    ran_out: &'a Cell<bool>,
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.ran_out.set(self.rest.is_empty());
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(out)?;
        self.ran_out.set(count < out.len());
        Ok(count)
    }
}

//! Decoding picture files: upright RGB pixels, or a sentence that says what is wrong with the file and what to do.

mod jpeg;

use std::io::{self, Cursor};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use shared_model::Picture;

/// Pictures with more pixels are refused before they are decoded: they would take gigabytes of memory.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Extensions of the picture formats that can be read, in lower case.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// A decoded picture: upright, 8 bits a channel, transparency dropped as OpenCV does.
#[derive(Debug)]
pub struct Photo {
    pixels: RgbImage,
}

/// Why a file is no usable picture.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file system's error.
    #[error("cannot be read ({0})")]
    Read(#[from] io::Error),
    /// Zero bytes.
    #[error("the file is empty (0 bytes): copy or download it again")]
    Empty,
    /// None of the formats that can be read.
    #[error("not a picture in a format that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF): convert it to one of these")]
    Format,
    /// More than [`MAX_PIXELS`].
    #[error(
        "{width} x {height} pixels are more than the {} megapixels that are allowed: scale the picture down first",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A picture with a feature that the decoder lacks.
    #[error("a kind of picture that cannot be read ({0}): convert it to an ordinary JPEG or PNG")]
    Unsupported(ImageError),
    /// Broken data.
    #[error("the picture is damaged or cut short ({0}): copy or download it again")]
    Damaged(String),
}

impl Photo {
    /// Reads a picture file.
    ///
    /// # Errors
    /// [`PhotoError`] says what is wrong with the file; it does not name it.
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        Self::decode(&std::fs::read(path)?)
    }

    /// Decodes the bytes of a picture file.
    ///
    /// # Errors
    /// As for [`Photo::open`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let Some(format) = reader.format() else { return Err(PhotoError::Format) };
        let mut decoder = reader.into_decoder().map_err(explain)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(PhotoError::TooLarge { width, height });
        }
        // A broken EXIF block is no reason to refuse the picture.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let jpeg = if format == ImageFormat::Jpeg { jpeg::decode(bytes)? } else { None };
        let mut picture = match jpeg {
            Some(pixels) => pixels.into(),
            None => DynamicImage::from_decoder(decoder).map_err(explain)?,
        };
        picture.apply_orientation(orientation);
        Ok(Self { pixels: picture.into_rgb8() })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.pixels.width() as usize
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.pixels.height() as usize
    }

    /// The pixels, as the network takes them.
    ///
    /// # Errors
    /// Fails where the picture has no pixels.
    pub fn picture(&self) -> Result<Picture<'_>, shared_model::PictureError> {
        Picture::rgb(self.pixels.as_raw(), self.width(), self.height())
    }

    /// The pixels, to draw on.
    pub fn into_pixels(self) -> RgbImage {
        self.pixels
    }
}

fn explain(error: ImageError) -> PhotoError {
    match error {
        ImageError::Unsupported(_) => PhotoError::Unsupported(error),
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            PhotoError::Damaged("the data end too early".into())
        }
        other => PhotoError::Damaged(other.to_string()),
    }
}

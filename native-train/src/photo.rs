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
    /// [`PhotoError`] says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, PhotoError> {
        let Header { format, decoder, orientation } = header(bytes)?;
        let jpeg = if format == ImageFormat::Jpeg { jpeg::decode(bytes)? } else { None };
        let mut picture = match jpeg {
            Some(pixels) => pixels.into(),
            None => DynamicImage::from_decoder(decoder).map_err(explain)?,
        };
        picture.apply_orientation(orientation);
        Ok(Self { pixels: picture.into_rgb8() })
    }

    /// Width and height in pixels of the upright picture in a file of these bytes, by its header alone: what follows may
    /// be damaged.
    ///
    /// # Errors
    /// As for [`Photo::decode`].
    pub fn size(bytes: &[u8]) -> Result<[usize; 2], PhotoError> {
        let Header { decoder, orientation, .. } = header(bytes)?;
        let (width, height) = decoder.dimensions();
        // The orientations from 5 on lay the picture on its side.
        let size = if orientation.to_exif() >= 5 { [height, width] } else { [width, height] };
        Ok(size.map(|side| side as usize))
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

    /// The pixels, rows from top to bottom.
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// The pixels, to draw on.
    pub fn into_pixels(self) -> RgbImage {
        self.pixels
    }
}

/// What a picture file says before its pixels.
struct Header<D> {
    format: ImageFormat,
    decoder: D,
    orientation: Orientation,
}

fn header(bytes: &[u8]) -> Result<Header<impl ImageDecoder>, PhotoError> {
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
    Ok(Header { format, decoder, orientation })
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

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, GrayImage, ImageEncoder, Luma, Rgb, Rgba, RgbaImage};

    use super::*;

    /// Red on the left, blue on the right, green at the bottom: no turn or mirroring leaves it as it is.
    fn picture() -> RgbImage {
        RgbImage::from_fn(48, 32, |x, y| match (x, y) {
            (_, 24..) => Rgb([0, 200, 0]),
            (..24, _) => Rgb([200, 0, 0]),
            _ => Rgb([0, 0, 200]),
        })
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    /// A JPEG whose EXIF block says how to turn it.
    fn oriented(picture: &RgbImage, orientation: u8) -> Vec<u8> {
        let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    fn assert_looks_like(photo: &Photo, expected: &RgbImage, what: &str) {
        assert_eq!(photo.pixels.dimensions(), expected.dimensions(), "{what}");
        let distance =
            |a: &Rgb<u8>, b: &Rgb<u8>| a.0.iter().zip(b.0).map(|(&a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
        let total: u64 = photo.pixels.pixels().zip(expected.pixels()).map(|(a, b)| distance(a, b)).sum();
        let mean = total / u64::from(expected.width() * expected.height());
        assert!(mean < 20, "{what}: pixels differ by {mean}");
    }

    #[test]
    fn every_exif_orientation_is_applied_once() {
        let upright = picture();
        for orientation in 1..=8 {
            // What a camera held that way stores: the upright picture, turned back.
            let turn = Orientation::from_exif(orientation).unwrap();
            let back = match turn {
                Orientation::Rotate90 => Orientation::Rotate270,
                Orientation::Rotate270 => Orientation::Rotate90,
                same => same,
            };
            let mut stored = DynamicImage::from(upright.clone());
            stored.apply_orientation(back);
            let photo = Photo::decode(&oriented(&stored.to_rgb8(), orientation)).unwrap();
            assert_looks_like(&photo, &upright, &format!("orientation {orientation}"));
            assert_eq!(
                Photo::size(&oriented(&stored.into_rgb8(), orientation)).unwrap(),
                [48, 32],
                "orientation {orientation}"
            );
        }
    }

    #[test]
    fn all_formats_and_depths_give_eight_bit_rgb() {
        let rgb = DynamicImage::from(picture());
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
        ] {
            let source = if format == ImageFormat::Gif { rgb.to_rgba8().into() } else { rgb.clone() };
            let photo = Photo::decode(&encoded(&source, format)).unwrap();
            assert_looks_like(&photo, &picture(), &format!("{format:?}"));
        }
        let sixteen = Photo::decode(&encoded(&rgb.to_rgb16().into(), ImageFormat::Png)).unwrap();
        assert_looks_like(&sixteen, &picture(), "16 bits");
        let transparent = RgbaImage::from_pixel(4, 4, Rgba([9, 8, 7, 0]));
        let photo = Photo::decode(&encoded(&transparent.into(), ImageFormat::Png)).unwrap();
        assert_eq!(photo.pixels.get_pixel(0, 0), &Rgb([9, 8, 7]), "transparency is dropped");
        let grey = DynamicImage::from(GrayImage::from_pixel(16, 16, Luma([77])));
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let photo = Photo::decode(&encoded(&grey, format)).unwrap();
            assert_eq!(photo.pixels.get_pixel(3, 3), &Rgb([77; 3]), "grey {format:?}");
        }
    }

    #[test]
    fn jpeg_in_inks_is_read() {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_CMYK);
        encoder.set_size(16, 16);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        // Adobe's inverted inks, 255 is none: no cyan, no black.
        encoder.write_scanlines(&[255, 30, 30, 255].repeat(256)).unwrap();
        let photo = Photo::decode(&encoder.finish().unwrap()).unwrap();
        let [red, green, blue] = photo.pixels.get_pixel(8, 8).0;
        assert!(red > 200 && green < 80 && blue < 80, "{red} {green} {blue}");
    }

    #[test]
    fn files_that_are_no_pictures_are_explained() {
        let jpeg = oriented(&picture(), 1);
        let mut large = jpeg.clone();
        let frame = large.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        large[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
        for (what, bytes, expected) in [
            ("empty", &[][..], "empty (0 bytes)"),
            ("text", b"just some text, no picture", "not a picture"),
            ("too large", &large, "10000 x 10000 pixels are more than the 64 megapixels"),
            ("cut in the header", &jpeg[..100], "damaged or cut short"),
            ("cut in the data", &jpeg[..jpeg.len() - 40], "damaged or cut short"),
            ("cut at the end", &jpeg[..jpeg.len() - 2], "damaged or cut short"),
            ("half a PNG", &encoded(&picture().into(), ImageFormat::Png)[..90], "damaged or cut short"),
        ] {
            let error = Photo::decode(bytes).expect_err(what).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }
}

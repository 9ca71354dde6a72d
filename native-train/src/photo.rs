//! Decoding image files: upright RGB pixels, or a sentence that says what is wrong with the file and what to do.

mod jpeg;

use std::io::{self, Cursor};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use shared_model::Image;

/// No image is decoded to more pixels than these, which take 192 MB. Larger JPEG files, as telephones write them, are
/// decoded to a half, a quarter or an eighth of their sides, which their format allows; others are refused.
pub const MAX_PIXELS: u64 = 64_000_000;

/// JPEG files with more pixels are refused too: those that are stored in passes need room for all of them.
pub const MAX_JPEG_PIXELS: u64 = 256_000_000;

/// Bytes that JPEG files may take that are stored in passes, until the last one is read: those of [`MAX_JPEG_PIXELS`] with
/// colours at half of the resolution, as telephones write them.
const MAX_PASSES_BYTES: f64 = 3.0 * MAX_JPEG_PIXELS as f64;

/// Pixels that all passes of a JPEG file may go over together: twelve passes, of which programs write ten, over the largest
/// image.
const MAX_PASSES_PIXELS: u64 = 12 * MAX_JPEG_PIXELS;

/// Extensions of the image formats that can be read, in lower case.
pub const EXTENSIONS: [&str; 10] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// A decoded image: upright, 8 bits a channel, transparency dropped as OpenCV does.
#[derive(Debug)]
pub struct Photo {
    pixels: RgbImage,
    header: PhotoHeader,
    damage: Option<String>,
}

/// What an image file says before its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhotoHeader {
    /// Width and height in pixels, as they are stored.
    pub stored: [usize; 2],
    /// How to turn what is stored, by EXIF.
    pub orientation: Orientation,
    /// The decoded image's sides are this part of the stored one's: 1, 2, 4 or 8.
    pub shrink: usize,
}

impl PhotoHeader {
    /// Width and height in pixels of the upright image, before it is shrunk.
    pub fn upright(&self) -> [usize; 2] {
        let [width, height] = self.stored;
        if self.lies() { [height, width] } else { [width, height] }
    }

    /// Whether the orientation exchanges width and height: those from 5 on do.
    pub fn lies(&self) -> bool {
        self.orientation.to_exif() >= 5
    }
}

/// Why a file is no usable image.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file system's error.
    #[error("cannot be read ({0})")]
    Read(#[from] io::Error),
    /// Zero bytes.
    #[error("the file is empty (0 bytes): copy or download it again")]
    Empty,
    /// None of the formats that can be read.
    #[error("not an image in a format that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF): convert it to one of these")]
    Format,
    /// More than [`MAX_PIXELS`], of a JPEG file more than [`MAX_JPEG_PIXELS`].
    #[error(
        "{width} x {height} pixels are more than the {} megapixels that are allowed: scale the image down first",
        most / 1_000_000
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The most pixels that are allowed.
        most: u64,
    },
    /// An image with a feature that the decoder lacks.
    #[error("a kind of image that cannot be read ({0}): convert it to an ordinary JPEG or PNG")]
    Unsupported(ImageError),
    /// Broken data.
    #[error("the image is damaged or cut short ({0}): copy or download it again")]
    Damaged(String),
}

impl Photo {
    /// Reads an image file.
    ///
    /// # Errors
    /// [`PhotoError`] says what is wrong with the file; it does not name it.
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        Self::decode(&std::fs::read(path)?)
    }

    /// Decodes the bytes of an image file.
    ///
    /// # Errors
    /// [`PhotoError`] says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, PhotoError> {
        let Opened { format, decoder, header } = open(bytes)?;
        let area = header.stored.map(|side| side as u64).iter().product();
        let jpeg = if format == ImageFormat::Jpeg { jpeg::decode(bytes, area, header.shrink)? } else { None };
        let (mut image, damage): (DynamicImage, _) = match jpeg {
            Some(jpeg) => (jpeg.pixels.into(), jpeg.damage),
            // A file in inks.
            None if header.shrink > 1 => return Err(too_large(&header, MAX_PIXELS)),
            None => (DynamicImage::from_decoder(decoder).map_err(explain)?, None),
        };
        image.apply_orientation(header.orientation);
        Ok(Self { pixels: image.into_rgb8(), header, damage })
    }

    /// What a file of these bytes says before its pixels: what follows may be damaged.
    ///
    /// # Errors
    /// As for [`Photo::decode`].
    pub fn header(bytes: &[u8]) -> Result<PhotoHeader, PhotoError> {
        Ok(open(bytes)?.header)
    }

    /// What the file said before its pixels.
    pub fn said(&self) -> &PhotoHeader {
        &self.header
    }

    /// What is damaged where the decoder could go on all the same, in words.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Width in pixels, as decoded.
    pub fn width(&self) -> usize {
        self.pixels.width() as usize
    }

    /// Height in pixels, as decoded.
    pub fn height(&self) -> usize {
        self.pixels.height() as usize
    }

    /// The pixels, as the network takes them.
    ///
    /// # Errors
    /// Fails where the image has no pixels.
    pub fn image(&self) -> Result<Image<'_>, shared_model::ImageError> {
        Image::rgb(self.pixels.as_raw(), self.width(), self.height())
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

/// An image file whose pixels have not been read.
struct Opened<D> {
    format: ImageFormat,
    decoder: D,
    header: PhotoHeader,
}

fn open(bytes: &[u8]) -> Result<Opened<impl ImageDecoder>, PhotoError> {
    if bytes.is_empty() {
        return Err(PhotoError::Empty);
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let Some(format) = reader.format() else { return Err(PhotoError::Format) };
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    // A broken EXIF block is no reason to refuse the image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut header = PhotoHeader { stored: [width as usize, height as usize], orientation, shrink: 1 };
    let most = match (format, jpeg::Storage::of(bytes)) {
        (ImageFormat::Jpeg, Some(storage)) => {
            let of_memory = (MAX_PASSES_BYTES / storage.bytes_a_pixel.max(1.0)) as u64;
            MAX_JPEG_PIXELS.min(of_memory).min(MAX_PASSES_PIXELS / storage.passes.max(1) as u64)
        }
        (ImageFormat::Jpeg, None) => MAX_JPEG_PIXELS,
        _ => MAX_PIXELS,
    };
    let area = u64::from(width) * u64::from(height);
    if area > most {
        return Err(too_large(&header, most));
    }
    while area.div_ceil((header.shrink * header.shrink) as u64) > MAX_PIXELS {
        header.shrink *= 2;
    }
    Ok(Opened { format, decoder, header })
}

fn too_large(header: &PhotoHeader, most: u64) -> PhotoError {
    let [width, height] = header.stored.map(|side| side as u32);
    PhotoError::TooLarge { width, height, most }
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
    fn image() -> RgbImage {
        RgbImage::from_fn(48, 32, |x, y| match (x, y) {
            (_, 24..) => Rgb([0, 200, 0]),
            (..24, _) => Rgb([200, 0, 0]),
            _ => Rgb([0, 0, 200]),
        })
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    /// A JPEG whose EXIF block says how to turn it.
    fn oriented(image: &RgbImage, orientation: u8) -> Vec<u8> {
        let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
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
        let upright = image();
        for orientation in 1..=8 {
            // What a camera held that way stores: the upright image, turned back.
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
            let header = Photo::header(&oriented(&stored.into_rgb8(), orientation)).unwrap();
            assert_eq!(header.upright(), [48, 32], "orientation {orientation}");
        }
    }

    #[test]
    fn all_formats_and_depths_give_eight_bit_rgb() {
        let rgb = DynamicImage::from(image());
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
            assert_looks_like(&photo, &image(), &format!("{format:?}"));
        }
        let sixteen = Photo::decode(&encoded(&rgb.to_rgb16().into(), ImageFormat::Png)).unwrap();
        assert_looks_like(&sixteen, &image(), "16 bits");
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
    fn files_that_are_no_images_are_explained() {
        let jpeg = oriented(&image(), 1);
        let mut large = jpeg.clone();
        let frame = large.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        large[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        for (what, bytes, expected) in [
            ("empty", &[][..], "empty (0 bytes)"),
            ("text", b"just some text, no image", "not an image"),
            ("too large", &large, "20000 x 20000 pixels are more than the 256 megapixels"),
            ("cut in the header", &jpeg[..100], "damaged or cut short"),
            ("cut in the data", &jpeg[..jpeg.len() - 40], "damaged or cut short"),
            ("half a PNG", &encoded(&image().into(), ImageFormat::Png)[..90], "damaged or cut short"),
        ] {
            let error = Photo::decode(bytes).expect_err(what).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn a_few_bytes_take_neither_memory_nor_time() {
        let start = std::time::Instant::now();
        for progressive in [false, true] {
            let mut jpeg = noise(progressive);
            let frame = jpeg.windows(2).position(|two| two == [0xff, if progressive { 0xc2 } else { 0xc0 }]).unwrap();
            let large = |jpeg: &mut Vec<u8>, sides: [u16; 2]| {
                jpeg[frame + 5..frame + 9].copy_from_slice(&sides.map(u16::to_be_bytes).concat());
                match Photo::decode(jpeg) {
                    Ok(photo) => panic!("{progressive}, {sides:?}: it is read: {:?}", photo.damage()),
                    Err(error) => error.to_string(),
                }
            };
            let error = large(&mut jpeg, [16_000, 16_000]);
            assert!(error.contains("the data end too early"), "{progressive}: {error}");
            jpeg.resize(1 << 20, 0);
            if progressive {
                // All colours at full resolution, in passes: six bytes a pixel.
                for component in 0..3 {
                    jpeg[frame + 11 + 3 * component] = 0x11;
                }
                let error = large(&mut jpeg, [16_000, 16_000]);
                assert!(error.contains("more than the 128 megapixels"), "{error}");
                jpeg.extend([0xff, 0xda].repeat(3000));
                let error = large(&mut jpeg, [4000, 4000]);
                assert!(error.contains("more than the 1 megapixels"), "{error}");
            } else {
                let error = large(&mut jpeg, [16_000, 16_000]);
                assert!(error.contains("the data end too early"), "{error}");
            }
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    }

    /// A picture of noise of 160 x 320 pixels as libjpeg writes it, in one pass or in several.
    fn noise(progressive: bool) -> Vec<u8> {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        encoder.set_size(160, 320);
        if progressive {
            encoder.set_progressive_mode();
        } else {
            encoder.set_fastest_defaults();
        }
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        let levels: Vec<u8> = (0..3 * 160 * 320_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        encoder.write_scanlines(&levels).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_the_decoder_copes_with_is_a_warning() {
        for progressive in [false, true] {
            let jpeg = noise(progressive);
            let whole = Photo::decode(&jpeg).unwrap();
            assert_eq!(whole.damage(), None);
            let behind = Photo::decode(&[&jpeg, &b"more"[..]].concat()).unwrap();
            assert!(behind.damage().is_none() && behind.pixels() == whole.pixels(), "bytes behind the end do no harm");
            let photo = Photo::decode(&jpeg[..jpeg.len() - 2]).unwrap();
            assert_eq!(photo.damage(), Some("the file's last bytes are missing"), "{progressive}");
            assert!(photo.pixels() == whole.pixels(), "only the mark of the end is missing");
            let error = Photo::decode(&jpeg[..jpeg.len() / 8]).unwrap_err().to_string();
            assert!(error.contains("damaged or cut short (the data end too early)"), "{progressive}: {error}");
        }
        // A copy that broke off may have all of its length.
        for progressive in [false, true] {
            let jpeg = noise(progressive);
            for kept in [jpeg.len() / 5, jpeg.len() / 2, jpeg.len() * 4 / 5, jpeg.len() - 300] {
                let zeroed = [&jpeg[..kept], &vec![0; jpeg.len() - kept]].concat();
                let told = |bytes: &[u8]| Photo::decode(bytes).map(|photo| photo.damage().map(String::from));
                let [zeroed, cut] =
                    [&zeroed, &jpeg[..kept]].map(|bytes| told(bytes).map_err(|error| error.to_string()));
                assert_eq!(zeroed, cut, "{progressive}, {kept} of {}", jpeg.len());
                assert!(!matches!(zeroed, Ok(None)), "{progressive}, {kept}");
            }
            let behind = Photo::decode(&[&jpeg, &[0; 1000][..]].concat()).unwrap();
            assert_eq!(behind.damage(), None, "zeros behind the end do no harm");
        }
        let jpeg = noise(false);
        let short = Photo::decode(&jpeg[..jpeg.len() - 200]).unwrap();
        assert!(short.damage().is_some_and(|damage| damage.contains("of 320 rows")), "{:?}", short.damage());
        let mut rotten = jpeg.clone();
        let middle = jpeg.len() / 2;
        // No byte becomes the beginning of a marker.
        rotten[middle..middle + 40].iter_mut().for_each(|byte| *byte = (*byte ^ 0x55).min(0xfe));
        let photo = Photo::decode(&rotten).unwrap();
        assert!(photo.damage().is_some_and(|damage| damage.contains("inside are damaged")), "{:?}", photo.damage());
        assert_eq!(Photo::decode(&jpeg).unwrap().damage(), None, "a warning is of one file only");
    }

    #[test]
    fn large_jpeg_files_are_decoded_to_half_their_sides() {
        // 108 megapixels, as telephones write them, in one colour.
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_GRAYSCALE);
        encoder.set_size(12_000, 9_001);
        encoder.set_fastest_defaults();
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        let row = vec![200; 12_000];
        (0..9_001).for_each(|_| encoder.write_scanlines(&row).unwrap());
        let photo = Photo::decode(&encoder.finish().unwrap()).unwrap();
        assert_eq!((photo.said().upright(), photo.said().shrink), ([12_000, 9_001], 2));
        assert_eq!((photo.width(), photo.height(), photo.damage()), (6_000, 4_501, None));
        assert_eq!(photo.pixels().get_pixel(5_999, 4_500), &Rgb([200; 3]));
    }
}

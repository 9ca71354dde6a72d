//! Image files made for the tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{RgbImage, open};
use integration_tests::repository;

/// A sample image's file.
pub fn sample(id: &str) -> PathBuf {
    repository().join(format!("web-demo/assets/samples/{id}.jpg"))
}

/// The cat, cut to whole JPEG blocks, so that turning it and compressing it can change places.
pub fn cat() -> Result<RgbImage> {
    let image = open(sample("chelsea"))?.to_rgb8();
    Ok(image::imageops::crop_imm(&image, 0, 0, 448, 288).to_image())
}

/// Writes a JPEG whose pixels are stored as EXIF orientation `orientation` (1-8) says: upright again it is `image`.
pub fn write_oriented(image: &RgbImage, orientation: u8, path: &Path) -> Result<()> {
    let stored = match orientation {
        1 => image.clone(),
        2 => flip_horizontal(image),
        3 => rotate180(image),
        4 => flip_vertical(image),
        5 => rotate270(&flip_horizontal(image)),
        6 => rotate270(image),
        7 => rotate90(&flip_horizontal(image)),
        _ => rotate90(image),
    };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 98).encode_image(&stored)?;
    // An EXIF block of one entry (0x0112, orientation, a short) goes behind the start-of-image marker.
    let mut exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    jpeg.splice(2..2, exif);
    Ok(fs::write(path, jpeg)?)
}

/// Writes the beginning of a PNG file that claims to have this many pixels.
pub fn write_claim(width: u32, height: u32, path: &Path) -> Result<()> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(*b"\x08\x02\0\0\0\0\0\0\0");
    Ok(fs::write(path, bytes)?)
}

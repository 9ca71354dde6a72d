//! Images, and how they are fitted into the network's input: one function for training-time evaluation, the command
//! line and the page.

use crate::model::weights::ColourOrder;
use crate::pixels::resize::{BITS, Columns, blend_rows, filter_row};

/// Pixels of a decoded image, upright (EXIF orientation applied), borrowed from whoever decoded it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    pixels: &'a [u8],
    width: usize,
    height: usize,
    channels: usize,
}

/// Pixels that are no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImageError {
    /// Zero pixels.
    #[error("the picture has no pixels ({width} x {height})")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// Not as many bytes as width, height and channels ask for.
    #[error("{bytes} bytes are no picture of {width} x {height} pixels with {channels} channels")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes a pixel.
        channels: usize,
    },
}

impl<'a> Image<'a> {
    /// An image of 3 bytes (R, G, B) a pixel, rows from top to bottom.
    ///
    /// # Errors
    /// Fails where there are no pixels or `pixels` has another length than `width * height * 3`.
    pub fn rgb(pixels: &'a [u8], width: usize, height: usize) -> Result<Self, ImageError> {
        Self::new(pixels, width, height, 3)
    }

    /// An image of 4 bytes (R, G, B, alpha) a pixel, as a browser's canvas gives it; alpha is ignored.
    ///
    /// # Errors
    /// As for [`Image::rgb`].
    pub fn rgba(pixels: &'a [u8], width: usize, height: usize) -> Result<Self, ImageError> {
        Self::new(pixels, width, height, 4)
    }

    fn new(pixels: &'a [u8], width: usize, height: usize, channels: usize) -> Result<Self, ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::Empty { width, height });
        }
        if width.checked_mul(height).and_then(|n| n.checked_mul(channels)) != Some(pixels.len()) {
            return Err(ImageError::Length { bytes: pixels.len(), width, height, channels });
        }
        Ok(Self { pixels, width, height, channels })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }
}

/// How an image lies in the network's input: in the top-left corner, scaled by `ratio`, the rest grey.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Input pixels an image pixel: `min(side / width, side / height)`.
    pub ratio: f32,
    /// Width that the image covers in the input.
    pub width: usize,
    /// Height that the image covers in the input.
    pub height: usize,
}

/// Grey level around the image (YOLOX, `yolox/data/data_augment.py`, `preproc`).
pub const PAD: u8 = 114;

impl Letterbox {
    /// Fits an image of `width` x `height` pixels into a square of `side` pixels, truncating as YOLOX does.
    pub fn fit(width: usize, height: usize, side: usize) -> Self {
        // In double precision: Python's floats, whose truncation must be met to the pixel.
        let ratio = (side as f64 / width as f64).min(side as f64 / height as f64);
        let scaled = |length: usize| ((length as f64 * ratio) as usize).clamp(1, side);
        Self { ratio: ratio as f32, width: scaled(width), height: scaled(height) }
    }
}

/// Fits `image` into a square input of `side` x `side` pixels: planes of `side * side` values 0-255, in `order`.
///
/// The bilinear filter is OpenCV's `INTER_LINEAR` on bytes, bit for bit: 11-bit fixed-point weights, no averaging when
/// shrinking (`modules/imgproc/src/resize.cpp`).
pub fn letterbox(image: Image<'_>, side: usize, order: ColourOrder) -> (Vec<f32>, Letterbox) {
    let fit = Letterbox::fit(image.width, image.height, side);
    let area = side * side;
    let mut planes = vec![f32::from(PAD); 3 * area];
    let channels = image.channels;
    let mut columns = Columns::default();
    for taps in taps(image.width, fit.width) {
        for i in 0..2 {
            columns.offsets[i].push(taps.at[i] * channels);
            columns.weights[i].push(taps.weights[i]);
        }
    }
    let halves = image.width == 2 * fit.width && image.height == 2 * fit.height;
    // Two source rows, filtered horizontally (3 planes); neighbouring output rows often share them.
    let mut filtered = [(usize::MAX, vec![0i32; 3 * fit.width]), (usize::MAX, vec![0i32; 3 * fit.width])];
    for (y, taps) in taps(image.height, fit.height).into_iter().enumerate() {
        if filtered[1].0 == taps.at[0] {
            filtered.swap(0, 1);
        }
        for (slot, source) in filtered.iter_mut().zip(taps.at) {
            if slot.0 != source {
                filter_row(&image.pixels[source * image.width * channels..], &columns, &mut slot.1);
                slot.0 = source;
            }
        }
        let rows = filtered[0].1.chunks_exact(fit.width).zip(filtered[1].1.chunks_exact(fit.width));
        for (c, (a, b)) in rows.enumerate() {
            let plane = match order {
                ColourOrder::Rgb => c,
                ColourOrder::Bgr => 2 - c,
            };
            let out = &mut planes[plane * area + y * side..][..fit.width];
            if halves {
                out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = half(a, b));
            } else {
                blend_rows(a, b, taps.weights, out);
            }
        }
    }
    (planes, fit)
}

/// Two source positions and their weights, which add up to `ONE`.
#[derive(Clone, Copy, Debug)]
struct FilterTaps {
    at: [usize; 2],
    weights: [i32; 2],
}

const ONE: f32 = (1 << BITS) as f32;

/// OpenCV turns exact halving into an average of four; with both weights one half, `a` and `b` are sums times 1024.
fn half(a: i32, b: i32) -> f32 {
    (((a + b) / (1 << (BITS - 1)) + 2) >> 2) as f32
}

/// For each of `to` output pixels, the input pixels (of `from`) it lies between; at the border, one of them twice.
fn taps(from: usize, to: usize) -> Vec<FilterTaps> {
    let scale = 1.0 / (to as f64 / from as f64);
    let last = from - 1;
    (0..to)
        .map(|i| {
            let position = ((i as f64 + 0.5) * scale - 0.5) as f32;
            let floor = position.floor();
            let fraction = position - floor;
            let inside = |at: f32| (at.max(0.0) as usize).min(last);
            let weight = |f: f32| (f * ONE).round_ties_even() as i32;
            FilterTaps { at: [inside(floor), inside(floor + 1.0)], weights: [weight(1.0 - fraction), weight(fraction)] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_knows_its_sides() {
        let image = Image::rgb(&[0; 3 * 5 * 7], 5, 7).unwrap();
        assert_eq!((image.width(), image.height()), (5, 7));
    }
}

//! From a picture to pixels, by the browser's own decoders.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, ColorSpaceConversion, ImageBitmap, ImageBitmapOptions, ImageOrientation, OffscreenCanvas,
    OffscreenCanvasRenderingContext2d, PremultiplyAlpha,
};

use super::scope::{describe, scope};
use crate::protocol::{OpenError, PictureSource};

/// Pixels copied at a time: the canvas in between stays small, and under iOS's limit of 16 megapixels.
const BAND_PIXELS: u32 = 4 << 20;

/// A decoded picture.
pub struct PixelBuffer {
    /// R, G, B, alpha; rows from top to bottom.
    pub rgba: Vec<u8>,
    /// Width, upright.
    pub width: u32,
    /// Height, upright.
    pub height: u32,
}

/// The pixels of a picture at its full size, upright.
///
/// # Errors
/// Says why it cannot be shown.
pub async fn of(source: &PictureSource) -> Result<PixelBuffer, OpenError> {
    let bitmap = match source {
        PictureSource::File(blob) => decoded(blob).await.map_err(|_| OpenError::Undecodable)?,
        PictureSource::Frame(bitmap) => bitmap.clone(),
    };
    let pixels = read(&bitmap);
    bitmap.close();
    pixels
}

async fn decoded(blob: &Blob) -> Result<ImageBitmap, JsValue> {
    let options = ImageBitmapOptions::new();
    // The only place where EXIF orientation is applied to the network's input.
    options.set_image_orientation(ImageOrientation::FromImage);
    // The values in the file, as training and the command line see them.
    options.set_color_space_conversion(ColorSpaceConversion::None);
    options.set_premultiply_alpha(PremultiplyAlpha::None);
    let bitmap = scope().create_image_bitmap_with_blob_and_image_bitmap_options(blob, &options)?;
    Ok(JsFuture::from(bitmap).await?.unchecked_into())
}

fn read(bitmap: &ImageBitmap) -> Result<PixelBuffer, OpenError> {
    let unreadable = |error: JsValue| OpenError::Pixels(describe(&error));
    let (width, height) = (bitmap.width(), bitmap.height());
    let row = 4 * width as usize;
    let mut rgba = Vec::new();
    rgba.try_reserve_exact(row * height as usize).map_err(|_| OpenError::Memory { width, height })?;
    let band_height = (BAND_PIXELS / width).clamp(1, height);
    let context = context(width, band_height).map_err(unreadable)?;
    for top in (0..height).step_by(band_height as usize) {
        let rows = band_height.min(height - top);
        let band = (|| {
            // Bands of a picture with transparent parts must not shine through the next.
            context.clear_rect(0.0, 0.0, width.into(), band_height.into());
            context.draw_image_with_image_bitmap(bitmap, 0.0, -f64::from(top))?;
            context.get_image_data(0.0, 0.0, width.into(), rows.into())
        })();
        rgba.extend_from_slice(&band.map_err(unreadable)?.data());
    }
    Ok(PixelBuffer { rgba, width, height })
}

fn context(width: u32, height: u32) -> Result<OffscreenCanvasRenderingContext2d, JsValue> {
    let options = js_sys::Object::new();
    // On the processor's side from the start: every pixel is read back.
    js_sys::Reflect::set(&options, &"willReadFrequently".into(), &JsValue::TRUE)?;
    let context = OffscreenCanvas::new(width, height)?.get_context_with_context_options("2d", &options)?;
    Ok(context.ok_or("this browser has no canvas in workers")?.unchecked_into())
}

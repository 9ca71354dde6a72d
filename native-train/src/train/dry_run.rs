//! What training would see, as images for people.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use image::{ImageFormat, Rgb, RgbImage, imageops};

use super::loader::{BatchPlan, LabelledBatch, Loader, LoaderSettings};
use crate::augment::Augmentation;
use crate::data::Object;
use crate::data::images::Images;
use crate::draw::{Mark, draw_marks};
use crate::files::write_atomic;

/// Images in a row of a sheet.
const COLUMNS: usize = 4;

/// Images on a sheet.
const SHEET: usize = 4 * COLUMNS;

/// Pixels between two images.
const GAP: usize = 4;

/// Writes the first `batches` batches of a training, as its network would get them, on sheets of images with boxes
/// and the names of classes: `batch-000-0.png` and so on in the folder `dir`. Returns the files.
///
/// # Errors
/// Fails, naming the file, where an image cannot be decoded or a sheet cannot be written.
pub fn dry_run(
    images: Arc<Images>,
    augmentation: Augmentation,
    settings: LoaderSettings,
    batches: usize,
    plan: impl Fn(usize) -> Option<BatchPlan> + Send + Sync + 'static,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let class_names = images.set().class_names.clone();
    let plan = move |index| if index < batches { plan(index) } else { None };
    let loader = Loader::start(images, augmentation, settings, 0, plan);
    let mut files = Vec::new();
    for (index, batch) in loader.enumerate() {
        let painted: Vec<_> = painted(&batch?, &class_names).collect();
        for (part, images) in painted.chunks(SHEET).enumerate() {
            let path = dir.join(format!("batch-{index:03}-{part}.png"));
            let mut bytes = Cursor::new(Vec::new());
            tiles(images).write_to(&mut bytes, ImageFormat::Png)?;
            write_atomic(&path, bytes.get_ref())?;
            files.push(path);
        }
    }
    Ok(files)
}

/// A batch's images, with what is in them drawn on.
fn painted<'a>(batch: &'a LabelledBatch, class_names: &'a [String]) -> impl Iterator<Item = RgbImage> + 'a {
    let (width, height) = (batch.batch.width, batch.batch.height);
    let area = width * height;
    batch.batch.pixels.chunks_exact(3 * area).zip(&batch.objects).map(move |(planes, objects)| {
        let mut image = RgbImage::from_fn(width as u32, height as u32, |x, y| {
            // Blue comes first.
            Rgb([2, 1, 0].map(|plane| planes[plane * area + y as usize * width + x as usize]))
        });
        let mark = |object: &Object| Mark {
            bbox: object.bbox(),
            class: object.class,
            text: format!("{}{}", class_names[object.class], if object.ignored { " (ignored)" } else { "" }),
        };
        draw_marks(&mut image, &objects.iter().map(mark).collect::<Vec<_>>());
        image
    })
}

/// Images of the same size, in rows.
pub(super) fn tiles(images: &[RgbImage]) -> RgbImage {
    let (width, height) = images.first().map_or((1, 1), |first| (first.width() as usize, first.height() as usize));
    let (columns, rows) = (images.len().clamp(1, COLUMNS), images.len().div_ceil(COLUMNS));
    let resolution = |count: usize, side: usize| (count * (side + GAP)).saturating_sub(GAP) as u32;
    let mut sheet = RgbImage::from_pixel(resolution(columns, width), resolution(rows, height), Rgb([255; 3]));
    for (i, image) in images.iter().enumerate() {
        let (x, y) = (i % COLUMNS * (width + GAP), i / COLUMNS * (height + GAP));
        imageops::replace(&mut sheet, image, x as i64, y as i64);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::rectangles;

    #[test]
    fn sheets_hold_all_images_with_their_boxes() {
        let (_voc, set) = rectangles();
        let dir = tempfile::tempdir().unwrap();
        let augmentation = Augmentation { flip: 0.0, hsv: [0.0; 3], ..Augmentation::default() };
        let settings = LoaderSettings { seed: 0, threads: 2, prefetch: 2 };
        let images = Arc::new(Images::new(Arc::new(set), 0));
        let plan = |_| {
            let images = (0..18).map(|i| (i, i % 6)).collect();
            Some(BatchPlan { epoch: 0, images, size: 128, mosaic: false })
        };
        let files = dry_run(images, augmentation, settings, 2, plan, &dir.path().join("new")).unwrap();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["batch-000-0.png", "batch-000-1.png", "batch-001-0.png", "batch-001-1.png"]);
        let full = image::open(&files[0]).unwrap().into_rgb8();
        let rest = image::open(&files[1]).unwrap().into_rgb8();
        assert_eq!((full.dimensions(), rest.dimensions()), ((524, 524), (260, 128)));
        // The second image's rectangle is green, but for its frame.
        let green = |x: u32, y: u32| full.get_pixel(132 + x, y).0 == [0, 220, 0];
        assert!(green(40, 45) && green(26, 45) && !green(22, 45));
    }

    #[test]
    fn tiles_lie_in_rows() {
        let tile = |i: usize| RgbImage::from_pixel(6, 4, Rgb([i as u8; 3]));
        let count = COLUMNS + 2;
        let sheet = tiles(&(0..count).map(tile).collect::<Vec<_>>());
        let (width, height) = (6 + GAP as u32, 4 + GAP as u32);
        assert_eq!(sheet.dimensions(), (COLUMNS as u32 * width - GAP as u32, 2 * height - GAP as u32));
        for i in 0..count {
            let (x, y) = ((i % COLUMNS) as u32 * width, (i / COLUMNS) as u32 * height);
            for corner in [(x, y), (x + 5, y + 3)] {
                assert_eq!(sheet.get_pixel(corner.0, corner.1).0, [i as u8; 3], "tile {i}");
            }
        }
        assert_eq!(sheet.get_pixel(6, 0).0, [255; 3]);
    }
}

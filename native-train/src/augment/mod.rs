//! Changing training images by chance, and their boxes with them: YOLOX's data pipeline
//! (`yolox/data/datasets/mosaicdetection.py`, `yolox/data/data_augment.py`).

mod affine;
mod hsv;
mod mixup;
mod mosaic;
mod paste;
mod warp;

use anyhow::{Result, ensure};
use rand::{Rng, RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use shared_model::{BBox, ColourOrder, Letterbox, PAD, letterbox};

use self::affine::clip;
use self::hsv::draw_shift;
use self::mixup::Mixup;
use self::mosaic::Mosaic;
use self::paste::paste;
use self::warp::Canvas;
use crate::data::Object;
use crate::data::TrainingSet;
use crate::data::images::Images;
use crate::photo::Photo;

/// How much training images are changed. The default is the reference recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Augmentation {
    /// Probability of four images in one.
    pub mosaic: f32,
    /// By how much a mosaic is scaled: least and most.
    pub mosaic_scale: [f32; 2],
    /// By how much a mosaic is turned to either side, in degrees, at most.
    pub degrees: f32,
    /// By how much a mosaic is moved in each direction, in parts of the input's side, at most.
    pub translate: f32,
    /// By how much a mosaic is sheared in each direction, in degrees, at most.
    pub shear: f32,
    /// By how much hue (half degrees), saturation and value (levels of 255) are shifted, at most.
    pub hsv: [f32; 3],
    /// Probability of mirroring.
    pub flip: f32,
    /// Probability that a mosaic with objects is mixed with another image, as YOLOX's larger models do.
    pub mixup: f32,
    /// Probability that objects of other images are pasted in, cut out along their boxes.
    pub copy_paste: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            mosaic: 0.5,
            mosaic_scale: [0.5, 1.5],
            degrees: 10.0,
            translate: 0.1,
            shear: 2.0,
            hsv: [5.0, 30.0, 30.0],
            flip: 0.5,
            mixup: 0.0,
            copy_paste: 0.0,
        }
    }
}

impl Augmentation {
    /// Checks the numbers, which may come from a file.
    ///
    /// # Errors
    /// Fails, naming the setting, where one is out of its range.
    pub fn check(&self) -> Result<()> {
        let [smallest, largest] = self.mosaic_scale;
        let [hue, saturation, value] = self.hsv;
        for (name, number, range) in [
            ("mosaic", self.mosaic, 0.0..=1.0),
            ("flip", self.flip, 0.0..=1.0),
            ("mixup", self.mixup, 0.0..=1.0),
            ("copy-paste", self.copy_paste, 0.0..=1.0),
            ("mosaic-scale", smallest, 0.05..=20.0),
            ("mosaic-scale", largest, smallest..=20.0),
            ("degrees", self.degrees, 0.0..=180.0),
            ("translate", self.translate, 0.0..=1.0),
            ("shear", self.shear, 0.0..=40.0),
            ("hsv (hue)", hue, 0.0..=90.0),
            ("hsv (saturation)", saturation, 0.0..=255.0),
            ("hsv (value)", value, 0.0..=255.0),
        ] {
            let (least, most) = (range.start(), range.end());
            ensure!(range.contains(&number), "augmentation: {name} is {number}: choose it from {least} to {most}");
        }
        Ok(())
    }

    /// Paints image number `image` of the set, changed by chance, on `planes` (3 x size x size: blue, green, red
    /// levels 0-255); returns what is in it. Without `mosaic`, it is neither put among others nor warped, and nothing of
    /// others is mixed or pasted into it.
    ///
    /// # Errors
    /// Fails, naming the file, where an image cannot be decoded.
    ///
    /// # Panics
    /// Panics where a probability is none: see [`Augmentation::check`].
    pub fn paint(
        &self,
        mut rng: Pcg64Mcg,
        images: &Images,
        image: usize,
        size: usize,
        mosaic: bool,
        planes: &mut [u8],
    ) -> Result<Vec<Object>> {
        // Drawn either way, so that the end of the mosaics changes nothing else.
        let chosen = rng.random_bool(f64::from(self.mosaic));
        if !mosaic {
            return Ok(self.paint_alone(&mut rng, images, image, size, planes)?.1);
        }
        let (extent, mut objects) = if chosen {
            planes.fill(PAD);
            let count = images.set().items.len();
            ([size; 2], Mosaic::draw(&mut rng, self, image, count, size).paint(images, planes)?)
        } else {
            let (fit, objects) = self.paint_alone(&mut rng, images, image, size, planes)?;
            ([fit.width, fit.height], objects)
        };
        // Drawn after all else, and only where they are wanted: without them nothing else changes.
        if self.copy_paste > 0.0 && rng.random_bool(f64::from(self.copy_paste)) {
            paste(&mut rng, self, images, extent, size, planes, &mut objects)?;
        }
        let mixable = chosen && objects.iter().any(|object| !object.ignored);
        if self.mixup > 0.0 && mixable && rng.random_bool(f64::from(self.mixup)) {
            objects.extend(Mixup::draw(&mut rng, self, images.set(), size).paint(images, planes)?);
        }
        Ok(objects)
    }

    /// Paints an image by itself; returns where it lies, and what is in it.
    fn paint_alone(
        &self,
        rng: &mut impl Rng,
        images: &Images,
        image: usize,
        size: usize,
        planes: &mut [u8],
    ) -> Result<(Letterbox, Vec<Object>)> {
        let photo = images.get(image)?;
        let (fit, mut objects) = paint_plain(&photo, images.set(), image, size, planes)?;
        let mirror = rng.random_bool(f64::from(self.flip));
        let colours = draw_shift(rng, self.hsv);
        let mut canvas = Canvas::new(planes, size);
        for y in 0..fit.height {
            let mut row = canvas.span(y, 0..fit.width);
            if mirror {
                row.iter_mut().for_each(|plane| plane.reverse());
            }
            colours.apply(row);
        }
        if mirror {
            objects.iter_mut().for_each(|object| object.cx = fit.width as f32 - object.cx);
        }
        Ok((fit, objects))
    }
}

/// The source of chance for one image of a training: the same for the same seed, epoch and position in the epoch.
pub fn random(seed: u64, epoch: usize, position: usize) -> Pcg64Mcg {
    // Mixed before the next number is added: neighbouring seeds, epochs and positions have nothing in common.
    let mix = |state: u64, number: usize| Pcg64Mcg::seed_from_u64(state).next_u64() ^ number as u64;
    Pcg64Mcg::seed_from_u64(mix(mix(seed, epoch), position))
}

/// Paints image number `image` of a set as detection sees it, letterboxed; returns where it lies, and what is in it,
/// cut at its edges.
pub(crate) fn paint_plain(
    photo: &Photo,
    set: &TrainingSet,
    image: usize,
    size: usize,
    planes: &mut [u8],
) -> Result<(Letterbox, Vec<Object>)> {
    let (pixels, fit) = letterbox(photo.image()?, size, ColourOrder::Bgr);
    // Whole levels already.
    // By way of whole numbers of 32 bits, for which compilers have vectors.
    planes.iter_mut().zip(pixels).for_each(|(out, level)| *out = level as i32 as u8);
    let frame = BBox { x1: 0.0, y1: 0.0, x2: fit.width as f32, y2: fit.height as f32 };
    let objects = set.items[image].boxes.iter().filter_map(|labelled| {
        let BBox { x1, y1, x2, y2 } = labelled.bbox.into();
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|edge| edge * fit.ratio);
        let scaled = clip(BBox { x1, y1, x2, y2 }, frame);
        // As YOLOX's `TrainTransform` does.
        let keep = (scaled.x2 - scaled.x1).min(scaled.y2 - scaled.y1) > 1.0;
        keep.then(|| object(labelled.class, scaled, set.difficult.ignores(labelled)))
    });
    Ok((fit, objects.collect()))
}

fn object(class: usize, b: BBox, ignored: bool) -> Object {
    Object { class, cx: 0.5 * (b.x1 + b.x2), cy: 0.5 * (b.y1 + b.y2), w: b.x2 - b.x1, h: b.y2 - b.y1, ignored }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::testing::{coloured, rectangles};

    const SIZE: usize = 96;

    fn paint(augmentation: &Augmentation, images: &Images, image: usize, seed: u64) -> (Vec<u8>, Vec<Object>) {
        let mut planes = vec![0; 3 * SIZE * SIZE];
        let objects = augmentation.paint(random(seed, 0, 0), images, image, SIZE, false, &mut planes).unwrap();
        (planes, objects)
    }

    #[test]
    fn without_a_mosaic_boxes_follow_their_pixels_and_the_mirror() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        for image in 0..6 {
            let straight = Augmentation { flip: 0.0, hsv: [0.0; 3], ..Augmentation::default() };
            let mirrored = Augmentation { flip: 1.0, ..straight.clone() };
            let plain = paint(&straight, &images, image, 1);
            for (planes, objects) in [&plain, &paint(&mirrored, &images, image, 1)] {
                let [Object { class, cx, cy, w, h, .. }] = objects[..] else { panic!("{objects:?}") };
                let b = coloured(planes, SIZE, image).unwrap();
                let centre = [cx - (b.x1 + b.x2) / 2.0, cy - (b.y1 + b.y2) / 2.0, w - (b.x2 - b.x1), h - (b.y2 - b.y1)];
                assert!(class == image && centre.iter().all(|d| d.abs() <= 1.0), "{image}: {b:?} {objects:?}");
            }
            let (planes, objects) = paint(&mirrored, &images, image, 1);
            let photo = images.get(image).unwrap();
            let width = Letterbox::fit(photo.width(), photo.height(), SIZE).width;
            assert_eq!(objects[0].cx + plain.1[0].cx, width as f32);
            for (row, mirrored) in plain.0.chunks_exact(SIZE).zip(planes.chunks_exact(SIZE)) {
                assert!(row[..width].iter().eq(mirrored[..width].iter().rev()) && row[width..] == mirrored[width..]);
            }
        }
    }

    #[test]
    fn unchanged_images_are_what_detection_sees() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), 0);
        let nothing = Augmentation { flip: 0.0, hsv: [0.0; 3], mosaic: 0.0, ..Augmentation::default() };
        let (planes, _) = paint(&nothing, &images, 2, 5);
        let photo = images.get(2).unwrap();
        let seen = letterbox(photo.image().unwrap(), SIZE, ColourOrder::Bgr).0;
        assert_eq!(planes.into_iter().map(f32::from).collect::<Vec<_>>(), seen);
    }

    #[test]
    fn grey_around_a_image_keeps_its_level() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        let recipe =
            Augmentation { mosaic: 1.0, mosaic_scale: [0.5, 0.5], hsv: [0.0, 0.0, 255.0], ..Augmentation::default() };
        for seed in 0..10 {
            let mut planes = vec![0; 3 * SIZE * SIZE];
            recipe.paint(random(seed, 0, 0), &images, 0, SIZE, true, &mut planes).unwrap();
            let grey = planes.iter().filter(|&&level| level == PAD).count();
            assert!(grey > 3 * SIZE * SIZE / 20, "seed {seed}: {grey}");
        }
    }

    #[test]
    fn boxes_over_the_edge_are_cut() {
        let (_voc, mut set) = rectangles();
        let labelled = &mut set.items[0].boxes[0];
        labelled.bbox.xmin = -50.0;
        labelled.bbox.ymax = 1000.0;
        let images = Images::new(Arc::new(set), 0);
        let nothing = Augmentation { flip: 0.0, hsv: [0.0; 3], ..Augmentation::default() };
        let (_, objects) = paint(&nothing, &images, 0, 0);
        let Object { cx, cy, w, h, .. } = objects[0];
        assert_eq!((cx - w / 2.0, cy + h / 2.0), (0.0, SIZE as f32));
    }

    #[test]
    fn chance_differs_between_neighbours() {
        let draws: std::collections::BTreeSet<u64> = (0..8)
            .flat_map(|seed| (0..8).flat_map(move |epoch| (0..8).map(move |position| (seed, epoch, position))))
            .map(|(seed, epoch, position)| random(seed, epoch, position).next_u64())
            .collect();
        assert_eq!(draws.len(), 512);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(Augmentation::default().check().is_ok());
        for (wrong, name) in [
            (Augmentation { flip: 1.5, ..Augmentation::default() }, "flip"),
            (Augmentation { mosaic_scale: [1.0, 0.5], ..Augmentation::default() }, "mosaic-scale"),
            (Augmentation { mixup: -0.1, ..Augmentation::default() }, "mixup"),
            (Augmentation { copy_paste: f32::NAN, ..Augmentation::default() }, "copy-paste"),
            (Augmentation { hsv: [0.0, f32::NAN, 0.0], ..Augmentation::default() }, "saturation"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

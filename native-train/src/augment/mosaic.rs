//! Four images around a point, turned, scaled and sheared as one (YOLOX, `mosaicdetection.py` and, of the release of
//! 2021, `random_perspective` and `box_candidates`).
//!
//! There the images are scaled onto a canvas of twice the side, of which the part in the middle is warped into the
//! network's input. Here each image is warped straight to where it will lie, so that it is filtered once only.
//! Images are decoded whole even where they are shrunk: libjpeg's halves and quarters are averages, while the reference
//! samples whole images without averaging, as detection does.

use anyhow::Result;
use rand::Rng;
use shared_model::{BBox, ColourShift, Letterbox};

use super::affine::{AffineMap, clip};
use super::hsv::draw_shift;
use super::warp::Canvas;
use super::{Augmentation, object};
use crate::data::Object;
use crate::data::images::Images;
use crate::data::{LabelledBox, TrainingSet};
use crate::photo::Photo;

/// Boxes with less than this part of their area left are dropped.
const MIN_AREA_LEFT: f32 = 0.2;

/// Boxes that are longer than this, compared with their width, or the other way round, are dropped.
const MAX_ASPECT_RATIO: f32 = 20.0;

/// Boxes with a side of no more pixels are dropped.
const MIN_SIDE: f32 = 2.0;

/// What chance decides about a mosaic of `size` x `size` pixels.
pub(crate) struct Mosaic {
    /// Positions of the four images in the training set: top left, top right, bottom left, bottom right.
    images: [usize; 4],
    /// Where the four meet, on a canvas of `2 * size`.
    centre: [f64; 2],
    /// From that canvas to the network's input.
    map: AffineMap,
    colours: ColourShift,
    size: usize,
}

impl Mosaic {
    /// Draws a mosaic of `image` and three others of a set of `images`.
    pub(crate) fn draw(
        rng: &mut impl Rng,
        augmentation: &Augmentation,
        image: usize,
        images: usize,
        size: usize,
    ) -> Self {
        let side = size as f64;
        let mut uniform = |low: f64, high: f64| if low < high { rng.random_range(low..high) } else { low };
        // On whole pixels, as they are on YOLOX's canvas.
        let centre = [(); 2].map(|()| uniform(0.5 * side, 1.5 * side).floor());
        let mut symmetric = |limit: f32| uniform(-f64::from(limit), f64::from(limit));
        let angle = symmetric(augmentation.degrees).to_radians();
        let shear = [(); 2].map(|()| symmetric(augmentation.shear).to_radians());
        let shift = [(); 2].map(|()| side * (0.5 + symmetric(augmentation.translate)));
        let [smallest, largest] = augmentation.mosaic_scale.map(f64::from);
        let scale = uniform(smallest, largest);
        let mirror = rng.random_bool(f64::from(augmentation.flip));
        let map = AffineMap::translation(-side, -side)
            .then(&AffineMap::scale(scale, scale))
            .then(&AffineMap::rotation(angle))
            .then(&AffineMap::shear(shear[0], shear[1]))
            .then(&AffineMap::translation(shift[0], shift[1]));
        let map = if mirror { map.then(&AffineMap::mirror(side)) } else { map };
        let others = [(); 3].map(|()| rng.random_range(0..images));
        let colours = draw_shift(rng, augmentation.hsv);
        Self { images: [image, others[0], others[1], others[2]], centre, map, colours, size }
    }

    /// Paints the mosaic on `planes` (3 x size x size: blue, green, red), which are grey; returns what is in it.
    pub(crate) fn paint(&self, images: &Images, planes: &mut [u8]) -> Result<Vec<Object>> {
        let mut canvas = Canvas::new(planes, self.size);
        let mut objects = Vec::new();
        for (corner, index) in self.images.into_iter().enumerate() {
            let photo = images.get(index)?;
            let tile = self.tile(corner, photo.width(), photo.height());
            canvas.warp(photo.pixels(), tile.visible, &tile.map, |span| self.colours.apply(span));
            objects.extend(tile.objects(images.set(), index, &photo, self.size));
        }
        Ok(objects)
    }

    /// Where an image of `width` x `height` pixels lies that touches the centre with its corner.
    fn tile(&self, corner: usize, width: usize, height: usize) -> MosaicTile {
        let fit = Letterbox::fit(width, height, self.size);
        let scale = [fit.width as f64 / width as f64, fit.height as f64 / height as f64];
        let (left, top) = (corner.is_multiple_of(2), corner < 2);
        let [x, y] = self.centre;
        let x = if left { x - fit.width as f64 } else { x };
        let y = if top { y - fit.height as f64 } else { y };
        let to_canvas = AffineMap::scale(scale[0], scale[1]).then(&AffineMap::translation(x, y));
        // What lies on the canvas, in the image's pixels.
        let end = 2.0 * self.size as f64;
        let within = |edge: f64, origin: f64, scale: f64, length: usize| {
            ((edge - origin) / scale).clamp(0.0, length as f64) as f32
        };
        let visible = BBox {
            x1: within(0.0, x, scale[0], width),
            y1: within(0.0, y, scale[1], height),
            x2: within(end, x, scale[0], width),
            y2: within(end, y, scale[1], height),
        };
        MosaicTile { map: to_canvas.then(&self.map), visible }
    }
}

/// An image, or a part of one, among others.
pub(crate) struct MosaicTile {
    /// From the image's pixels to the network's input.
    pub(crate) map: AffineMap,
    /// The part of the image that is there.
    pub(crate) visible: BBox,
}

impl MosaicTile {
    /// What becomes of the objects of image number `image` of the set.
    pub(crate) fn objects(&self, set: &TrainingSet, image: usize, photo: &Photo, size: usize) -> Vec<Object> {
        let whole = BBox { x1: 0.0, y1: 0.0, x2: photo.width() as f32, y2: photo.height() as f32 };
        let mark =
            |labelled: &LabelledBox, object: Object| Object { ignored: set.difficult.ignores(labelled), ..object };
        let boxes = set.items[image].boxes.iter();
        boxes.filter_map(|labelled| Some(mark(labelled, self.object(labelled, whole, size)?))).collect()
    }

    /// What becomes of an object of the image, which covers `whole`; `None` where too little of it is left.
    fn object(&self, labelled: &LabelledBox, whole: BBox, size: usize) -> Option<Object> {
        let before = clip(labelled.bbox.into(), whole);
        let side = size as f32;
        let frame = BBox { x1: 0.0, y1: 0.0, x2: side, y2: side };
        let after = clip(self.map.bounds(clip(before, self.visible)), frame);
        let (width, height) = (after.x2 - after.x1, after.y2 - after.y1);
        let left = width * height / (before.area() * self.map.area_factor() as f32);
        let keep = width > MIN_SIDE
            && height > MIN_SIDE
            && left > MIN_AREA_LEFT
            && (width / height).max(height / width) < MAX_ASPECT_RATIO;
        keep.then(|| object(labelled.class, after, false))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use shared_model::PAD;
    use shared_model::voc::VocBox;

    use super::*;
    use crate::augment::random;
    use crate::data::testing::{coloured, rectangles};

    fn plain(size: usize, centre: [f64; 2]) -> Mosaic {
        let colours = draw_shift(&mut rand_pcg::Pcg64Mcg::new(0), [0.0; 3]);
        let map = AffineMap::translation(-(size as f64) / 2.0, -(size as f64) / 2.0);
        Mosaic { images: [0; 4], centre, map, colours, size }
    }

    fn labelled(xmin: f64, ymin: f64, xmax: f64, ymax: f64) -> LabelledBox {
        LabelledBox { class: 3, bbox: VocBox { xmin, ymin, xmax, ymax }, difficult: false }
    }

    #[test]
    fn images_touch_the_centre_and_are_cut_at_the_canvas() {
        let mosaic = plain(100, [60.0, 130.0]);
        // 200 x 100 pixels become 100 x 50.
        for (corner, at_centre, visible) in [
            (0, [200.0, 100.0], [80.0, 0.0, 200.0, 100.0]),
            (1, [0.0, 100.0], [0.0, 0.0, 200.0, 100.0]),
            (2, [200.0, 0.0], [80.0, 0.0, 200.0, 100.0]),
            (3, [0.0, 0.0], [0.0, 0.0, 200.0, 100.0]),
        ] {
            let tile = mosaic.tile(corner, 200, 100);
            assert_eq!(tile.map.apply(at_centre), [10.0, 80.0], "corner {corner}");
            let [x1, y1, x2, y2] = visible;
            assert_eq!(tile.visible, BBox { x1, y1, x2, y2 }, "corner {corner}");
        }
    }

    #[test]
    fn boxes_follow_their_pixels() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        let augmentation = Augmentation { hsv: [0.0; 3], degrees: 25.0, shear: 8.0, ..Augmentation::default() };
        let size = 160;
        let (mut whole, mut cut) = (0, 0);
        for seed in 0..400 {
            let mosaic = Mosaic::draw(&mut random(seed, 0, 0), &augmentation, seed as usize % 6, 6, size);
            if mosaic.images.iter().collect::<BTreeSet<_>>().len() < 4 {
                continue;
            }
            let mut planes = vec![PAD; 3 * size * size];
            for Object { class, cx, cy, w, h, .. } in mosaic.paint(&images, &mut planes).unwrap() {
                let found = coloured(&planes, size, class).unwrap();
                let b = BBox { x1: cx - w / 2.0, y1: cy - h / 2.0, x2: cx + w / 2.0, y2: cy + h / 2.0 };
                let differences = [b.x1 - found.x1, b.y1 - found.y1, found.x2 - b.x2, found.y2 - b.y2];
                // The sharp corner of a turned rectangle can miss the middle of every pixel.
                let limit = 1.5;
                let at_edge = b.x1 <= 0.0 || b.y1 <= 0.0 || b.x2 >= size as f32 || b.y2 >= size as f32;
                if at_edge || left_over(&mosaic, &images, class) {
                    // The box is around the whole rectangle before it is cut: it may be larger than what is seen.
                    assert!(differences.iter().all(|&d| d < limit), "seed {seed}: {b:?} {found:?}");
                    cut += 1;
                } else {
                    assert!(differences.iter().all(|d| d.abs() < limit), "seed {seed}: {b:?} {found:?}");
                    whole += 1;
                }
            }
        }
        assert!(whole > 50 && cut > 20, "{whole} {cut}");
    }

    /// Whether a part of the class's rectangle does not lie on the mosaic's canvas.
    fn left_over(mosaic: &Mosaic, images: &Images, class: usize) -> bool {
        let corner = mosaic.images.iter().position(|&image| image == class).unwrap();
        let photo = images.get(class).unwrap();
        let tile = mosaic.tile(corner, photo.width(), photo.height());
        let rectangle = images.set().items[class].boxes[0].bbox.into();
        clip(rectangle, tile.visible) != rectangle
    }

    #[test]
    fn boxes_are_cut_and_slivers_dropped() {
        let tile = plain(100, [100.0, 100.0]).tile(3, 100, 100);
        let whole = BBox { x1: 0.0, y1: 0.0, x2: 100.0, y2: 100.0 };
        let become_of = |bbox: LabelledBox| tile.object(&bbox, whole, 100);
        // The image's corner lies at 50, 50: half of the image is seen.
        let middle = Object { class: 3, cx: 75.0, cy: 70.0, w: 30.0, h: 20.0, ignored: false };
        assert_eq!(become_of(labelled(11.0, 11.0, 41.0, 31.0)), Some(middle));
        let cut = Object { class: 3, cx: 95.0, cy: 70.0, w: 10.0, h: 20.0, ignored: false };
        assert_eq!(become_of(labelled(41.0, 11.0, 61.0, 31.0)), Some(cut));
        for (what, bbox) in [
            ("outside", labelled(61.0, 11.0, 81.0, 31.0)),
            ("a tenth left", labelled(46.0, 11.0, 96.0, 31.0)),
            ("tiny", labelled(11.0, 11.0, 12.9, 31.0)),
            ("a thread", labelled(1.0, 11.0, 49.0, 13.2)),
            ("nothing", labelled(11.0, 11.0, 11.0, 31.0)),
        ] {
            assert_eq!(become_of(bbox), None, "{what}");
        }
    }
}

//! Two images in one place, half of each (`mixup` in YOLOX's `mosaicdetection.py`).

use anyhow::Result;
use rand::Rng;
use shared_model::{BBox, ColourShift, Letterbox, PAD};

use super::Augmentation;
use super::affine::AffineMap;
use super::hsv::draw_shift;
use super::mosaic::MosaicTile;
use super::warp::Canvas;
use crate::data::Object;
use crate::data::TrainingSet;
use crate::data::images::Images;

/// By how much the second image is scaled: least and most.
const SCALE: [f64; 2] = [0.5, 1.5];

/// Boxes of the second image with a side of no more pixels are dropped.
const MIN_SIDE: f32 = 5.0;

/// What chance decides about the image that is mixed in.
pub(crate) struct Mixup {
    /// Its position in the training set.
    image: usize,
    /// Side of the square that it is letterboxed into.
    side: usize,
    mirror: bool,
    /// The part of that square that is seen begins here.
    offset: [usize; 2],
    colours: ColourShift,
    size: usize,
}

impl Mixup {
    /// Draws an image of the set that has boxes: there must be one.
    pub(crate) fn draw(rng: &mut impl Rng, augmentation: &Augmentation, set: &TrainingSet, size: usize) -> Self {
        let scale = rng.random_range(SCALE[0]..SCALE[1]);
        let mirror = rng.random();
        let image = loop {
            let image = rng.random_range(0..set.items.len());
            if !set.items[image].boxes.is_empty() {
                break image;
            }
        };
        let side = (scale * size as f64) as usize;
        let offset = [(); 2].map(|()| if side > size { rng.random_range(0..side - size) } else { 0 });
        let colours = draw_shift(rng, augmentation.hsv);
        Self { image, side, mirror, offset, colours, size }
    }

    /// Mixes the image into `planes` (3 x size x size: blue, green, red), where something of its objects is seen;
    /// returns what came in.
    pub(crate) fn paint(&self, images: &Images, planes: &mut [u8]) -> Result<Vec<Object>> {
        let photo = images.get(self.image)?;
        let tile = self.tile(photo.width(), photo.height());
        let mut objects = tile.objects(images.set(), self.image, &photo, self.size);
        objects.retain(|object| object.w.min(object.h) > MIN_SIDE);
        if objects.is_empty() {
            return Ok(objects);
        }
        // Black beside its square, as YOLOX.
        let mut other = vec![0; planes.len()];
        let mut canvas = Canvas::new(&mut other, self.size);
        let [right, bottom] = self.offset.map(|offset| (self.side - offset).min(self.size));
        for y in 0..bottom {
            canvas.span(y, 0..right).into_iter().for_each(|plane| plane.fill(PAD));
        }
        canvas.warp(photo.pixels(), tile.visible, &tile.map, |span| self.colours.apply(span));
        for (level, other) in planes.iter_mut().zip(other) {
            *level = ((u16::from(*level) + u16::from(other)) / 2) as u8;
        }
        Ok(objects)
    }

    /// Where an image of `width` x `height` pixels lies.
    fn tile(&self, width: usize, height: usize) -> MosaicTile {
        let fit = Letterbox::fit(width, height, self.size);
        let jitter = self.side as f64 / self.size as f64;
        let scale = |fitted: usize, length: usize| jitter * fitted as f64 / length as f64;
        let map = AffineMap::scale(scale(fit.width, width), scale(fit.height, height));
        let map = if self.mirror { map.then(&AffineMap::mirror(self.side as f64)) } else { map };
        let [x, y] = self.offset.map(|offset| -(offset as f64));
        let visible = BBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
        MosaicTile { map: map.then(&AffineMap::translation(x, y)), visible }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::augment::random;
    use crate::data::testing::{coloured, rectangles};

    const SIZE: usize = 128;

    fn recipe() -> Augmentation {
        Augmentation { hsv: [0.0; 3], mosaic: 1.0, mixup: 1.0, ..Augmentation::default() }
    }

    #[test]
    fn half_of_each_image_is_seen_and_boxes_follow_their_pixels() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        let (mut kept, mut mirrored, mut larger) = (0, 0, 0);
        for seed in 0..60 {
            let mixup = Mixup::draw(&mut random(seed, 0, 0), &recipe(), images.set(), SIZE);
            mirrored += usize::from(mixup.mirror);
            larger += usize::from(mixup.side > SIZE);
            // On black and on white: what differs by half of white was mixed.
            let [mut black, mut white] = [0, 255].map(|level| vec![level; 3 * SIZE * SIZE]);
            let objects = mixup.paint(&images, &mut black).unwrap();
            assert_eq!(mixup.paint(&images, &mut white).unwrap(), objects);
            let differences = if objects.is_empty() { 255..=255 } else { 127..=128 };
            assert!(black.iter().zip(&white).all(|(a, b)| differences.contains(&(b - a))));
            for Object { class, cx, cy, w, h, .. } in objects {
                assert_eq!(class, mixup.image);
                // Twice the mixture on black is the image itself.
                let itself: Vec<u8> = black.iter().map(|level| 2 * level).collect();
                let found = coloured(&itself, SIZE, class).unwrap();
                let b = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
                for (edge, found) in b.into_iter().zip([found.x1, found.y1, found.x2, found.y2]) {
                    assert!(
                        (edge - found).abs() <= 1.5 && (0.0..=SIZE as f32).contains(&edge),
                        "{seed}: {b:?} {found}"
                    );
                }
                kept += 1;
            }
        }
        assert!(kept > 30 && mirrored > 15 && larger > 15, "{kept} {mirrored} {larger}");
    }

    #[test]
    fn beside_a_smaller_image_the_first_is_darkened() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        let colours = draw_shift(&mut random(0, 0, 0), [0.0; 3]);
        let mixup = Mixup { image: 2, side: 64, mirror: false, offset: [0, 0], colours, size: SIZE };
        let mut planes = vec![200; 3 * SIZE * SIZE];
        assert_eq!(mixup.paint(&images, &mut planes).unwrap().len(), 1);
        let at = |x: usize, y: usize| planes[y * SIZE + x];
        assert_eq!(at(100, 10), 100, "black is mixed in");
        // 124 x 124 pixels fill the square of 64.
        assert_eq!(at(2, 2), 100, "a black corner of the image");
    }

    #[test]
    fn no_box_of_the_mosaic_is_lost_and_chance_repeats() {
        let (_voc, set) = rectangles();
        let images = Images::new(Arc::new(set), usize::MAX);
        let mut more = 0;
        for seed in 0..20 {
            let paint = |recipe: &Augmentation, mosaic: bool| {
                let mut planes = vec![0; 3 * SIZE * SIZE];
                let objects = recipe.paint(random(seed, 0, 0), &images, 0, SIZE, mosaic, &mut planes).unwrap();
                (planes, objects)
            };
            let without = paint(&Augmentation { mixup: 0.0, ..recipe() }, true);
            let with = paint(&recipe(), true);
            assert!(with == paint(&recipe(), true));
            assert!(with.1.starts_with(&without.1));
            more += with.1.len() - without.1.len();
            // Only in mosaics.
            let alone = Augmentation { mosaic: 0.0, ..recipe() };
            assert!(paint(&alone, true) == paint(&Augmentation { mixup: 0.0, ..alone.clone() }, true));
            assert!(paint(&recipe(), false) == paint(&Augmentation { mixup: 0.0, ..recipe() }, false));
        }
        assert!(more > 5, "{more}");
    }
}

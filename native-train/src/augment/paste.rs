//! Objects of other images, cut out along their boxes and pasted in: the variant for boxes of Copy-Paste (Ghiasi et al.
//! 2021, <https://arxiv.org/abs/2012.07177>), which cuts along masks, that these data sets do not have. A bit of the other
//! image's background comes along.

use anyhow::Result;
use rand::Rng;
use shared_model::{BBox, Letterbox};

use super::Augmentation;
use super::affine::{AffineMap, clip};
use super::hsv::draw_shift;
use super::mosaic::MosaicTile;
use super::warp::Canvas;
use crate::data::Object;
use crate::data::images::Images;

/// The most patches that an image gets.
const MOST: usize = 3;

/// By how much a patch is scaled, compared with its image in the network's input: least and most.
const SCALE: [f64; 2] = [0.5, 1.5];

/// Patches with a shorter side, in pixels, are left out.
const MIN_SIDE: f64 = 8.0;

/// Places that are tried for a patch.
const PLACES: usize = 10;

/// The part of the smaller of two boxes, patch and object, that may lie in the other.
const MAX_OVERLAP: f32 = 0.1;

/// Pastes up to [`MOST`] objects of the training set on `planes` (3 x size x size: blue, green, red), on the `extent`
/// (width and height, from the upper left corner) where there is an image; adds them, and what else lies in their boxes,
/// to `objects`. Those that find no place are left out.
///
/// # Errors
/// Fails, naming the file, where an image cannot be decoded.
pub(crate) fn paste(
    rng: &mut impl Rng,
    augmentation: &Augmentation,
    images: &Images,
    extent: [usize; 2],
    size: usize,
    planes: &mut [u8],
    objects: &mut Vec<Object>,
) -> Result<()> {
    let set = images.set();
    for _ in 0..rng.random_range(1..=MOST) {
        let image = rng.random_range(0..set.items.len());
        let learned: Vec<_> = set.items[image].learned(set.difficult).collect();
        if learned.is_empty() {
            continue;
        }
        let labelled = learned[rng.random_range(0..learned.len())];
        let photo = images.get(image)?;
        let whole = BBox { x1: 0.0, y1: 0.0, x2: photo.width() as f32, y2: photo.height() as f32 };
        let visible = clip(labelled.bbox.into(), whole);
        let fit = Letterbox::fit(photo.width(), photo.height(), size);
        let scale = f64::from(fit.ratio) * rng.random_range(SCALE[0]..SCALE[1]);
        let mirror = rng.random_bool(f64::from(augmentation.flip));
        let colours = draw_shift(rng, augmentation.hsv);
        let [width, height] = [visible.x2 - visible.x1, visible.y2 - visible.y1].map(|side| f64::from(side) * scale);
        let room = [extent[0] as f64 - width, extent[1] as f64 - height];
        if width.min(height) < MIN_SIDE || room[0] < 0.0 || room[1] < 0.0 {
            continue;
        }
        let place = (0..PLACES).find_map(|_| {
            let [x, y] = room.map(|room| (room * rng.random_range(0.0..1.0)).floor());
            let patch = BBox { x1: x as f32, y1: y as f32, x2: (x + width) as f32, y2: (y + height) as f32 };
            objects.iter().all(|object| overlap(&patch, &object.bbox()) <= MAX_OVERLAP).then_some([x, y])
        });
        let Some([x, y]) = place else { continue };
        let map = AffineMap::translation(-f64::from(visible.x1), -f64::from(visible.y1))
            .then(&AffineMap::scale(scale, scale));
        let map = if mirror { map.then(&AffineMap::mirror(width)) } else { map };
        let tile = MosaicTile { map: map.then(&AffineMap::translation(x, y)), visible };
        Canvas::new(planes, size).warp(photo.pixels(), visible, &tile.map, |span| colours.apply(span));
        objects.extend(tile.objects(set, image, &photo, size));
    }
    Ok(())
}

/// The part of the smaller of two boxes that lies in the other.
fn overlap(a: &BBox, b: &BBox) -> f32 {
    let width = (a.x2.min(b.x2) - a.x1.max(b.x1)).max(0.0);
    let height = (a.y2.min(b.y2) - a.y1.max(b.y1)).max(0.0);
    let smaller = a.area().min(b.area());
    if smaller > 0.0 { width * height / smaller } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::augment::random;
    use crate::data::testing::{coloured, rectangles};
    use crate::data::{Difficult, TrainingSet};

    const SIZE: usize = 128;

    fn recipe() -> Augmentation {
        Augmentation { hsv: [0.0; 3], mosaic: 0.0, copy_paste: 1.0, ..Augmentation::default() }
    }

    fn images(change: impl Fn(&mut TrainingSet)) -> Images {
        let (_voc, mut set) = rectangles();
        change(&mut set);
        let images = Images::new(Arc::new(set), usize::MAX);
        // Kept, so that the files need not be.
        (0..6).for_each(|image| drop(images.get(image).unwrap()));
        images
    }

    fn paint(recipe: &Augmentation, images: &Images, seed: u64, mosaic: bool) -> (Vec<u8>, Vec<Object>) {
        let mut planes = vec![0; 3 * SIZE * SIZE];
        let objects = recipe.paint(random(seed, 0, 0), images, 0, SIZE, mosaic, &mut planes).unwrap();
        (planes, objects)
    }

    #[test]
    fn patches_lie_in_the_image_beside_its_objects_and_carry_their_boxes() {
        let images = images(|_| ());
        let photo = images.get(0).unwrap();
        let fit = Letterbox::fit(photo.width(), photo.height(), SIZE);
        let (mut pasted, mut none) = (0, 0);
        for seed in 0..100 {
            let plain = paint(&Augmentation { copy_paste: 0.0, ..recipe() }, &images, seed, true);
            let (planes, objects) = paint(&recipe(), &images, seed, true);
            assert!((planes.clone(), objects.clone()) == paint(&recipe(), &images, seed, true), "chance repeats");
            assert!(objects.starts_with(&plain.1) && objects.len() <= plain.1.len() + MOST);
            none += usize::from(objects.len() == plain.1.len());
            let inside = |i: usize| {
                let (x, y) = ((i % SIZE) as f32 + 0.5, (i / SIZE % SIZE) as f32 + 0.5);
                objects[plain.1.len()..].iter().any(|object| {
                    let b = object.bbox();
                    x > b.x1 - 1.0 && x < b.x2 + 1.0 && y > b.y1 - 1.0 && y < b.y2 + 1.0
                })
            };
            assert!((0..planes.len()).all(|i| inside(i) || planes[i] == plain.0[i]), "{seed}: painted beside a box");
            for (i, object) in objects.iter().enumerate().skip(plain.1.len()) {
                let b = object.bbox();
                assert!(
                    b.x1 >= 0.0 && b.y1 >= 0.0 && b.x2 <= fit.width as f32 + 0.01 && b.y2 <= fit.height as f32 + 0.01
                );
                assert!(objects[..i].iter().all(|other| overlap(&b, &other.bbox()) <= MAX_OVERLAP));
                let classes: BTreeSet<usize> = objects.iter().map(|object| object.class).collect();
                if classes.len() == objects.len() {
                    let found = coloured(&planes, SIZE, object.class).unwrap();
                    let edges = [b.x1 - found.x1, b.y1 - found.y1, b.x2 - found.x2, b.y2 - found.y2];
                    // A corner of it may lie under another.
                    assert!(edges.iter().filter(|edge| edge.abs() <= 1.5).count() >= 3, "{seed}: {b:?} {found:?}");
                    pasted += 1;
                }
            }
        }
        assert!(pasted > 30 && none < 60, "{pasted} {none}");
    }

    #[test]
    fn the_last_stage_and_a_probability_of_zero_change_nothing() {
        let images = images(|_| ());
        for mosaic in [0.0, 0.5, 1.0] {
            for seed in 0..20 {
                let with = Augmentation { mosaic, ..recipe() };
                let without = Augmentation { copy_paste: 0.0, ..with.clone() };
                assert!(paint(&with, &images, seed, false) == paint(&without, &images, seed, false));
                let (mosaics, pasted) = (paint(&without, &images, seed, true), paint(&with, &images, seed, true));
                assert!(pasted.1.starts_with(&mosaics.1), "what was there is still there");
            }
        }
    }

    #[test]
    fn what_lies_in_a_patch_comes_along_and_ignored_objects_are_not_pasted() {
        // In each image a second, difficult object lies in the lower half of the first.
        let images = images(|set| {
            set.difficult = Difficult::Ignore;
            for item in &mut set.items {
                let mut second = item.boxes[0];
                second.bbox.ymin = (second.bbox.ymin + second.bbox.ymax) / 2.0;
                second.difficult = true;
                item.boxes.push(second);
            }
        });
        let mut pairs = 0;
        for seed in 0..50 {
            let (_, objects) = paint(&recipe(), &images, seed, true);
            assert!(objects.len().is_multiple_of(2));
            for pair in objects.chunks(2) {
                assert_eq!((pair[0].class, pair[0].ignored, pair[1].ignored), (pair[1].class, false, true));
                assert!((pair[0].h / pair[1].h - 2.0).abs() < 0.1, "{pair:?}");
                pairs += 1;
            }
        }
        assert!(pairs > 70, "{pairs}");
    }
}

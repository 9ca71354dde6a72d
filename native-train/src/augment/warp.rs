//! Images turned, scaled and sheared onto a canvas.

use std::ops::Range;

use image::RgbImage;
use shared_model::{BBox, Quads};

use super::affine::AffineMap;

/// Fraction bits of a position in the source image.
const BITS: u32 = 20;

/// Half of what the last bit of a weight is worth in a position. OpenCV's `warpAffine` has weights of 5 bits, not 8.
const ROUNDING: i64 = 1 << (BITS - Quads::WEIGHT_BITS - 1);

/// A canvas of `side` x `side` pixels: blue, green and red planes of levels 0-255.
pub(crate) struct Canvas<'a> {
    planes: [&'a mut [u8]; 3],
    side: usize,
}

impl<'a> Canvas<'a> {
    /// The canvas on `planes`, 3 * side * side numbers.
    pub(crate) fn new(planes: &'a mut [u8], side: usize) -> Self {
        let (blue, others) = planes.split_at_mut(side * side);
        let (green, red) = others.split_at_mut(side * side);
        Self { planes: [blue, green, red], side }
    }

    /// The blue, green and red levels of a part of a row.
    pub(crate) fn span(&mut self, y: usize, columns: Range<usize>) -> [&mut [u8]; 3] {
        let start = y * self.side;
        self.planes.each_mut().map(|plane| &mut plane[start + columns.start..start + columns.end])
    }

    /// Paints the part `part` of `source`, which `map` takes to the canvas, by bilinear interpolation; calls
    /// `painted` on what was painted of each row. At the source's border its last pixels go on.
    pub(crate) fn warp(&mut self, source: &RgbImage, part: BBox, map: &AffineMap, painted: impl Fn([&mut [u8]; 3])) {
        let AffineMap([[ux, uy, u0], [vx, vy, v0]]) = map.inverse();
        let [u1, v1, u2, v2] = [part.x1, part.y1, part.x2, part.y2].map(|edge| fixed(f64::from(edge)));
        let (du, dv) = (fixed(ux), fixed(vx));
        let mut quads = Quads::default();
        for y in 0..self.side {
            // The centre of the row's first pixel.
            let start = |x: f64, y_factor: f64, shift: f64| fixed(0.5 * x + (y as f64 + 0.5) * y_factor + shift);
            let (u, v) = (start(ux, uy, u0), start(vx, vy, v0));
            let columns = inside(u, du, u1..u2, self.side);
            let rows = inside(v, dv, v1..v2, self.side);
            let columns = columns.start.max(rows.start)..columns.end.min(rows.end);
            if columns.is_empty() {
                continue;
            }
            // From edges of pixels to their centres, between which values are interpolated; to the nearest weight.
            let at = |start: i64, step: i64| start + step * columns.start as i64 - (1 << (BITS - 1)) + ROUNDING;
            CanvasRow { u: at(u, du), v: at(v, dv), du, dv }.gather(source, columns.len(), &mut quads);
            let mut span = self.span(y, columns);
            quads.blend(span.each_mut().map(|plane| &mut **plane));
            painted(span);
        }
    }
}

fn fixed(value: f64) -> i64 {
    (value * f64::from(1 << BITS)).round() as i64
}

/// The `x` of `0..count` for which `start + x * step` lies within `range`.
fn inside(start: i64, step: i64, range: Range<i64>, count: usize) -> Range<usize> {
    let limit = |x: i64| x.clamp(0, count as i64) as usize;
    match step {
        0 if range.contains(&start) => 0..count,
        0 => 0..0,
        1.. => limit(div_ceil(range.start - start, step))..limit(div_ceil(range.end - start, step)),
        _ => limit((start - range.end).div_euclid(-step) + 1)..limit((start - range.start).div_euclid(-step) + 1),
    }
}

/// For a positive divisor.
fn div_ceil(a: i64, b: i64) -> i64 {
    -(-a).div_euclid(b)
}

/// Where a row of the canvas lies in the source, in fixed-point numbers: its first pixel, and the way to the next.
struct CanvasRow {
    u: i64,
    v: i64,
    du: i64,
    dv: i64,
}

impl CanvasRow {
    /// The neighbours in `source` of the line's first `count` pixels.
    fn gather(&self, source: &RgbImage, count: usize, quads: &mut Quads) {
        quads.resize(count);
        let (width, height) = (source.width() as usize, source.height() as usize);
        let (right, bottom) = (width as i64 - 1, height as i64 - 1);
        // Where all four neighbours are there, which is nearly everywhere.
        let columns = inside(self.u, self.du, 0..right << BITS, count);
        let rows = inside(self.v, self.dv, 0..bottom << BITS, count);
        let interior = columns.start.max(rows.start)..columns.end.min(rows.end);

        let pixels = source.as_raw().as_slice();
        let weight = |at: i64| (at >> (BITS - Quads::WEIGHT_BITS)) as u16 & (Quads::ONE - 1);
        let Quads { corners: [a, b, c, d], across, down } = quads;
        let corners = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
        let (mut u, mut v) = (self.u, self.v);
        for (i, (((a, b), (c, d)), (across, down))) in corners.zip(across.iter_mut().zip(down)).enumerate() {
            if interior.contains(&i) {
                let at = 3 * ((v >> BITS) as usize * width + (u >> BITS) as usize);
                (*a, *b) = pair(pixels, at);
                (*c, *d) = pair(pixels, at + 3 * width);
            } else {
                let within = |at: i64, last: i64| at.clamp(0, last) as usize;
                let pixel = |column: i64, row: i64| pixel(pixels, within(row, bottom) * width + within(column, right));
                let (column, row) = (u >> BITS, v >> BITS);
                (*a, *b) = (pixel(column, row), pixel(column + 1, row));
                (*c, *d) = (pixel(column, row + 1), pixel(column + 1, row + 1));
            }
            (*across, *down) = (weight(u), weight(v));
            u += self.du;
            v += self.dv;
        }
    }
}

/// Two neighbouring pixels from byte `at` on, in one load.
#[inline(always)]
fn pair(pixels: &[u8], at: usize) -> (u32, u32) {
    match pixels[at..].first_chunk() {
        Some(bytes) => {
            let bytes = u64::from_le_bytes(*bytes);
            (bytes as u32, (bytes >> 24) as u32)
        }
        // At the end of the image.
        None => (pixel(pixels, at / 3), pixel(pixels, at / 3 + 1)),
    }
}

fn pixel(pixels: &[u8], index: usize) -> u32 {
    let pixel = &pixels[3 * index..][..3];
    u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0])
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// Pixel by pixel, in double precision; `None` outside `part`.
    fn naive(source: &RgbImage, part: BBox, map: &AffineMap, x: usize, y: usize) -> Option<[f64; 3]> {
        let [u, v] = map.inverse().apply([x as f64 + 0.5, y as f64 + 0.5]);
        let [x1, y1, x2, y2] = [part.x1, part.y1, part.x2, part.y2].map(f64::from);
        if !((x1..x2).contains(&u) && (y1..y2).contains(&v)) {
            return None;
        }
        let (u, v) = (u - 0.5, v - 0.5);
        let at = |u: f64, v: f64| {
            let limit = |at: f64, size: u32| at.clamp(0.0, f64::from(size - 1)) as u32;
            source.get_pixel(limit(u, source.width()), limit(v, source.height())).0.map(f64::from)
        };
        let (left, top) = (u.floor(), v.floor());
        let (f, g) = (u - left, v - top);
        let corners = [at(left, top), at(left + 1.0, top), at(left, top + 1.0), at(left + 1.0, top + 1.0)];
        let weights = [(1.0 - f) * (1.0 - g), f * (1.0 - g), (1.0 - f) * g, f * g];
        let sum = |c: usize| corners.iter().zip(weights).map(|(corner, weight)| corner[c] * weight).sum();
        Some([sum(0), sum(1), sum(2)])
    }

    #[test]
    fn equals_the_naive_warp() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut painted = 0;
        for case in 0..40 {
            let (width, height, side) = (rng.random_range(1..60), rng.random_range(1..60), 64);
            let source = RgbImage::from_fn(width, height, |_, _| Rgb(rng.random()));
            let mut random = |range: Range<f64>| rng.random_range(range);
            let map = AffineMap::scale(random(0.3..2.0), random(0.3..2.0))
                .then(&AffineMap::rotation(if case == 0 { 0.0 } else { random(-4.0..4.0) }))
                .then(&AffineMap::shear(random(-0.2..0.2), if case < 2 { 0.0 } else { random(-0.2..0.2) }))
                .then(&AffineMap::translation(random(0.0..30.0), random(0.0..30.0)));
            let part = BBox { x1: 0.0, y1: height as f32 / 3.0, x2: width as f32 / 1.5, y2: height as f32 };
            // Painted on two backgrounds: what is the same on both was painted.
            let [planes, others] = [0, 255].map(|background| {
                let mut planes = vec![background; 3 * side * side];
                Canvas::new(&mut planes, side).warp(&source, part, &map, |_| {});
                planes
            });
            for i in 0..side * side {
                let [found, other] =
                    [&planes, &others].map(|planes| [2, 1, 0].map(|plane| planes[plane * side * side + i]));
                match naive(&source, part, &map, i % side, i / side) {
                    Some(expected) => {
                        painted += 1;
                        assert_eq!(found, other, "case {case}, pixel {i}");
                        for (found, expected) in found.iter().zip(expected) {
                            // Weights have 8 bits, in both directions.
                            let error = (f64::from(*found) - expected).abs();
                            assert!(error <= 2.5, "case {case}, pixel {i}: {found}, not {expected}");
                        }
                    }
                    None => assert_eq!((found, other), ([0; 3], [255; 3]), "case {case}, pixel {i}"),
                }
            }
        }
        assert!(painted > 5_000, "{painted} pixels are a weak test");
    }

    #[test]
    fn ranges_are_those_of_a_search() {
        let mut rng = Pcg64Mcg::seed_from_u64(4);
        for _ in 0..2000 {
            let (start, step) = (rng.random_range(-50..50), rng.random_range(-5..=5));
            let low = rng.random_range(-30..30);
            let range = low..low + rng.random_range(0..40);
            let expected: Vec<usize> = (0..20).filter(|&x| range.contains(&(start + x as i64 * step))).collect();
            let found: Vec<usize> = inside(start, step, range.clone(), 20).collect();
            assert_eq!(found, expected, "{start} + x * {step} in {range:?}");
        }
    }
}

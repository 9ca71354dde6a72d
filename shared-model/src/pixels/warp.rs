//! Pixels between four others, blended. The loops are plain, and compilers make vectors of them.

use crate::kernels::simd::{Instructions, Kernel, Simd};

/// For each of a row of pixels, the four of an image between which it lies, and where.
#[derive(Clone, Debug, Default)]
pub struct Quads {
    /// Top left, top right, bottom left, bottom right: a red, a green and a blue byte, the lowest first; the highest byte
    /// is anything.
    pub corners: [Vec<u32>; 4],
    /// Weights of the right corners, 0-255, of [`Quads::ONE`].
    pub across: Vec<u16>,
    /// Weights of the bottom corners, 0-255, of [`Quads::ONE`].
    pub down: Vec<u16>,
}

impl Quads {
    /// Fraction bits of a weight.
    pub const WEIGHT_BITS: u32 = 8;
    /// All of the weight.
    pub const ONE: u16 = 1 << Self::WEIGHT_BITS;

    /// Makes room for `count` pixels; what they are is for the caller to say.
    pub fn resize(&mut self, count: usize) {
        self.corners.iter_mut().for_each(|corners| corners.resize(count, 0));
        self.across.resize(count, 0);
        self.down.resize(count, 0);
    }

    /// Writes the blended pixels' blue, green and red levels, which differ from exact interpolation between the corners by
    /// 0.51 at most.
    ///
    /// # Panics
    /// Panics where the slices are not as long as the row.
    pub fn blend(&self, planes: [&mut [u8]; 3]) {
        self.blend_by(Instructions::best(), planes);
    }

    fn blend_by(&self, instructions: Instructions, planes: [&mut [u8]; 3]) {
        for plane in &planes {
            assert_eq!(plane.len(), self.across.len(), "a level for each pixel");
        }
        instructions.run(Blend { quads: self, planes });
    }
}

struct Blend<'a> {
    quads: &'a Quads,
    planes: [&'a mut [u8]; 3],
}

impl Kernel for Blend<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Quads { corners: [a, b, c, d], across, down } = self.quads;
        for (plane, out) in self.planes.into_iter().enumerate() {
            let shift = 8 * (2 - plane as u32);
            let corners = a.iter().zip(b).zip(c.iter().zip(d));
            for ((out, ((a, b), (c, d))), (across, down)) in out.iter_mut().zip(corners).zip(across.iter().zip(down)) {
                let (top, bottom) = (mix(*a, *b, shift, *across), mix(*c, *d, shift, *across));
                // The upper halves of products: vectors have an instruction for them.
                let weight = down << (16 - Quads::WEIGHT_BITS);
                let level = top - high(top, weight) + high(bottom, weight);
                *out = ((level + Quads::ONE / 2) >> Quads::WEIGHT_BITS) as u8;
            }
        }
    }
}

/// A colour of two neighbours, times [`Quads::ONE`].
#[inline(always)]
fn mix(left: u32, right: u32, shift: u32, weight: u16) -> u16 {
    let (left, right) = ((left >> shift & 0xff) as u16, (right >> shift & 0xff) as u16);
    left * (Quads::ONE - weight) + right * weight
}

#[inline(always)]
fn high(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Random;

    #[test]
    fn all_instructions_interpolate() {
        let mut random = Random::new(17);
        for case in 0..40 {
            let count = random.in_range(0, 100);
            let mut quads = Quads::default();
            quads.resize(count);
            for i in 0..count {
                for corners in &mut quads.corners {
                    // Extremes too, where sums are most likely to overflow.
                    let range = if case % 2 == 0 { (0, 0xffff_ffff) } else { (0xffff_fffe, 0xffff_ffff) };
                    corners[i] = random.in_range(range.0, range.1) as u32;
                }
                (quads.across[i], quads.down[i]) = (random.in_range(0, 255) as u16, random.in_range(0, 255) as u16);
            }
            for instructions in Instructions::available() {
                let mut planes = [vec![0; count], vec![0; count], vec![0; count]];
                quads.blend_by(instructions, planes.each_mut().map(Vec::as_mut_slice));
                for (plane, levels) in planes.iter().enumerate() {
                    for (i, &found) in levels.iter().enumerate() {
                        let corner = |c: usize| f64::from(quads.corners[c][i] >> (8 * (2 - plane)) & 0xff);
                        let (x, y) = (f64::from(quads.across[i]) / 256.0, f64::from(quads.down[i]) / 256.0);
                        let row = |left: f64, right: f64| left + (right - left) * x;
                        let (top, bottom) = (row(corner(0), corner(1)), row(corner(2), corner(3)));
                        let exact = top + (bottom - top) * y;
                        assert!((f64::from(found) - exact).abs() <= 0.51, "{instructions:?}: {found}, not {exact}");
                    }
                }
            }
        }
    }
}

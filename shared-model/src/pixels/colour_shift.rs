//! Shifts of hue, saturation and value. The loop is plain, and compilers make vectors of it.

use crate::kernels::simd::{Instructions, Kernel, Simd};

/// A shift of an image's colours in the space of hue, saturation and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourShift {
    /// In sixths of the circle of hues, from -3 to 3.
    pub hue: f32,
    /// In parts of the full saturation.
    pub saturation: f32,
    /// In levels of 255.
    pub value: f32,
}

impl ColourShift {
    /// Shifts the colours of a row of pixels, given as blue, green and red levels, as many of each. Grey pixels stay grey,
    /// as they have no hue.
    pub fn apply(&self, planes: [&mut [u8]; 3]) {
        if *self != (Self { hue: 0.0, saturation: 0.0, value: 0.0 }) {
            Instructions::best().run(Shift { by: *self, planes });
        }
    }
}

struct Shift<'a> {
    by: ColourShift,
    planes: [&'a mut [u8]; 3],
}

impl Kernel for Shift<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { by, planes: [blue, green, red] } = self;
        for ((blue, green), red) in blue.iter_mut().zip(green).zip(red) {
            let (b, g, r) = (f32::from(*blue), f32::from(*green), f32::from(*red));
            let most = b.max(g).max(r);
            let chroma = most - b.min(g).min(r);
            // Levels are whole numbers: where the divisor would be 0, so is the dividend.
            let per_chroma = 1.0 / chroma.max(1.0);
            let of_green_or_blue = if g == most { (b - r) * per_chroma + 2.0 } else { (r - g) * per_chroma + 4.0 };
            let hue = if r == most { (g - b) * per_chroma } else { of_green_or_blue } + by.hue;
            let saturation = (chroma / most.max(1.0) + by.saturation).clamp(0.0, 1.0);
            let saturation = if chroma > 0.0 { saturation } else { 0.0 };
            let value = (most + by.value).clamp(0.0, 255.0);
            let chroma = value * saturation;
            *red = level(value, chroma, hue + 5.0);
            *green = level(value, chroma, hue + 3.0);
            *blue = level(value, chroma, hue + 1.0);
        }
    }
}

/// <https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative>
#[inline(always)]
fn level(value: f32, chroma: f32, k: f32) -> u8 {
    let k = wrap(k);
    round(value - chroma * k.min(4.0 - k).clamp(0.0, 1.0))
}

/// Modulo 6, for -6..18.
#[inline(always)]
fn wrap(k: f32) -> f32 {
    let k = if k < 0.0 { k + 6.0 } else { k };
    let k = if k >= 12.0 { k - 12.0 } else { k };
    if k >= 6.0 { k - 6.0 } else { k }
}

/// To the nearest level. `f32::round` is a call of a function on processors of the first generation with 64 bits; beside
/// this number, there is no room for a fraction, and the level is in its lowest byte.
#[inline(always)]
fn round(level: f32) -> u8 {
    const NO_FRACTION: f32 = 12_582_912.0; // 1.5 * 2^23
    (level + NO_FRACTION).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Random;

    #[test]
    fn all_instructions_agree_and_known_colours_turn() {
        let mut random = Random::new(23);
        for _ in 0..20 {
            let mut uniform = |limit: f32| limit * random.numbers(1)[0];
            let by = ColourShift { hue: uniform(3.0), saturation: uniform(1.0), value: uniform(255.0) };
            let count = random.in_range(0, 200);
            let before = [(); 3].map(|()| (0..count).map(|_| random.in_range(0, 255) as u8).collect::<Vec<_>>());
            let shifted = |instructions: Instructions| {
                let mut planes = before.clone();
                instructions.run(Shift { by, planes: planes.each_mut().map(Vec::as_mut_slice) });
                planes
            };
            let all: Vec<_> = Instructions::available().into_iter().map(shifted).collect();
            assert!(all.iter().all(|planes| planes == &all[0]), "{by:?}");
        }
        let shifted = |by: ColourShift, mut colour: [[u8; 1]; 3]| {
            by.apply(colour.each_mut().map(<[u8; 1]>::as_mut_slice));
            colour.map(|[level]| level)
        };
        // Blue, green, red: a third of the circle from red is green; half of blue's saturation is light blue.
        let turn = ColourShift { hue: 2.0, saturation: 0.0, value: 0.0 };
        assert_eq!(shifted(turn, [[0], [0], [200]]), [0, 200, 0]);
        let pale = ColourShift { hue: 0.0, saturation: -0.5, value: 0.0 };
        assert_eq!(shifted(pale, [[200], [0], [0]]), [200, 100, 100]);
        let bright = ColourShift { hue: 1.0, saturation: 0.3, value: 50.0 };
        assert_eq!(shifted(bright, [[100], [100], [100]]), [150; 3]);
    }
}

//! Shifts of hue, saturation and brightness.

use rand::Rng;
use shared_model::ColourShift;

/// Draws a shift within `limits` (hue in half degrees, saturation and value in levels of 255: OpenCV's units for bytes),
/// each of the three with a probability of one half (YOLOX, `augment_hsv`).
pub(crate) fn draw_shift(rng: &mut impl Rng, limits: [f32; 3]) -> ColourShift {
    let [hue, saturation, value] = limits.map(|limit| {
        let shift = limit * rng.random_range(-1.0..=1.0f32);
        if rng.random() { shift } else { 0.0 }
    });
    ColourShift { hue: hue / 30.0, saturation: saturation / 255.0, value }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// The textbook's way, sector by sector, in double precision.
    fn naive(shift: &ColourShift, [b, g, r]: [f64; 3]) -> [f64; 3] {
        let (most, least) = (b.max(g).max(r), b.min(g).min(r));
        let chroma = most - least;
        if chroma == 0.0 {
            return [(most + f64::from(shift.value)).clamp(0.0, 255.0); 3];
        }
        let sixths = match most {
            m if m == r => (g - b) / chroma,
            m if m == g => 2.0 + (b - r) / chroma,
            _ => 4.0 + (r - g) / chroma,
        };
        let hue = (sixths + f64::from(shift.hue)).rem_euclid(6.0);
        let saturation = (chroma / most + f64::from(shift.saturation)).clamp(0.0, 1.0);
        let value = (most + f64::from(shift.value)).clamp(0.0, 255.0);
        let (sector, fraction) = (hue.floor(), hue.fract());
        let p = value * (1.0 - saturation);
        let q = value * (1.0 - saturation * fraction);
        let t = value * (1.0 - saturation * (1.0 - fraction));
        let [r, g, b] = match sector as u8 {
            0 => [value, t, p],
            1 => [q, value, p],
            2 => [p, value, t],
            3 => [p, q, value],
            4 => [t, p, value],
            _ => [value, p, q],
        };
        [b, g, r]
    }

    #[test]
    fn equals_the_textbook() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        for limits in [[5.0, 30.0, 30.0], [90.0, 255.0, 255.0], [0.0, 0.0, 0.0]] {
            for _ in 0..20 {
                let shift = draw_shift(&mut rng, limits);
                let mut planes: [Vec<u8>; 3] =
                    std::array::from_fn(|_| (0..300).map(|_| rng.random_range(0..=255u8) & 0xfc).collect());
                let before = planes.clone();
                shift.apply(planes.each_mut().map(Vec::as_mut_slice));
                for i in 0..300 {
                    let expected = naive(&shift, [0, 1, 2].map(|c| f64::from(before[c][i])));
                    for c in 0..3 {
                        let (found, expected) = (f64::from(planes[c][i]), expected[c]);
                        assert!((found - expected).abs() < 0.502, "{shift:?}: {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn shifts_keep_to_their_limits_and_are_left_out_by_halves() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let shifts: Vec<_> = (0..1000).map(|_| draw_shift(&mut rng, [5.0, 30.0, 30.0])).collect();
        assert!(shifts.iter().all(|s| s.hue.abs() <= 5.0 / 30.0 && s.saturation.abs() <= 30.0 / 255.0));
        assert!(shifts.iter().all(|s| s.value.abs() <= 30.0) && shifts.iter().any(|s| s.value > 25.0));
        let without = shifts.iter().filter(|shift| shift.hue == 0.0).count();
        assert!((400..600).contains(&without), "{without}");
    }
}

//! Whether one detector is better than another beyond the choice of pictures: a bootstrap over them.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

/// How often the pictures are drawn anew.
const DRAWS: usize = 1000;
/// Shares of the draws below the interval's ends: it holds 95 % of them.
const ENDS: [f64; 2] = [0.025, 0.975];

/// What a detector makes of one picture at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureCounts {
    /// Right detections.
    pub right: usize,
    /// Wrong ones.
    pub wrong: usize,
    /// Objects to find.
    pub objects: usize,
}

/// A difference of two detectors' F1, second less first, in parts of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct F1Difference {
    /// On the pictures as they are.
    pub difference: f64,
    /// Lower end of the interval that holds 95 % of the differences on pictures drawn from these, with replacement.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// F1 of the second detector less that of the first, both on the same pictures, with its bootstrap interval. The same counts give
/// the same interval. `None` for less than two pictures, and for lists of different lengths.
pub fn f1_difference(first: &[PictureCounts], second: &[PictureCounts]) -> Option<F1Difference> {
    let count = first.len();
    if count < 2 || count != second.len() {
        return None;
    }
    let difference = |pictures: &[usize]| f1(second, pictures) - f1(first, pictures);
    let mut random = Pcg64Mcg::seed_from_u64(0);
    let draw = |_| {
        let pictures: Vec<usize> = (0..count).map(|_| random.random_range(0..count)).collect();
        difference(&pictures)
    };
    let mut drawn: Vec<f64> = (0..DRAWS).map(draw).collect();
    drawn.sort_by(f64::total_cmp);
    let [low, high] = ENDS.map(|end| drawn[(end * (DRAWS - 1) as f64).round() as usize]);
    Some(F1Difference { difference: difference(&(0..count).collect::<Vec<_>>()), low, high })
}

/// F1 over some pictures; 0 where there is nothing to find and nothing was found.
fn f1(counts: &[PictureCounts], pictures: &[usize]) -> f64 {
    let sum = |part: fn(&PictureCounts) -> usize| pictures.iter().map(|&i| part(&counts[i])).sum::<usize>() as f64;
    let (right, all) = (sum(|c| c.right), sum(|c| c.right + c.wrong + c.objects));
    if all > 0.0 { 2.0 * right / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rights: &[usize]) -> Vec<PictureCounts> {
        rights.iter().map(|&right| PictureCounts { right, wrong: 0, objects: 2 }).collect()
    }

    #[test]
    fn what_holds_on_every_picture_is_beyond_chance_and_one_picture_is_not() {
        let (all, half) = (counts(&[2; 20]), counts(&[1; 20]));
        let sure = f1_difference(&half, &all).unwrap();
        let expected = 1.0 - 2.0 / 3.0;
        assert!([sure.difference, sure.low, sure.high].iter().all(|part| (part - expected).abs() < 1e-12), "{sure:?}");

        let mut one = counts(&[2; 20]);
        one[7].right = 0;
        let unsure = f1_difference(&all, &one).unwrap();
        assert!(unsure.difference < 0.0 && unsure.low < unsure.difference && unsure.high == 0.0, "{unsure:?}");
        assert_eq!(f1_difference(&all, &one), Some(unsure), "the same every time");
    }

    #[test]
    fn one_picture_has_no_interval() {
        assert_eq!(f1_difference(&counts(&[1]), &counts(&[2])), None);
        assert_eq!(f1_difference(&counts(&[1, 1]), &counts(&[2])), None);
    }
}

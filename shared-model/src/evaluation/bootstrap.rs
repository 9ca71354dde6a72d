//! Whether one detector is better than another beyond the choice of pictures: a bootstrap over them.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::RankedBoxes;

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

/// A difference of two detectors' figures, second less first, in the figures' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// On the pictures as they are.
    pub difference: f64,
    /// Lower end of the interval that holds 95 % of the differences on pictures drawn from these, with replacement.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// F1 of the second detector less that of the first, both on the same pictures, with its bootstrap interval. The same counts give
/// the same interval. `None` for less than two pictures, and for lists of different lengths.
pub fn f1_difference(first: &[PictureCounts], second: &[PictureCounts]) -> Option<Difference> {
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
    let drawn = (0..DRAWS).map(draw).collect();
    Some(with_interval(difference(&(0..count).collect::<Vec<_>>()), drawn))
}

fn with_interval(difference: f64, mut drawn: Vec<f64>) -> Difference {
    drawn.sort_by(f64::total_cmp);
    let [low, high] = ENDS.map(|end| drawn[(end * (drawn.len() - 1) as f64).round() as usize]);
    Difference { difference, low, high }
}

/// The bootstrap of a difference of AP50 (per cent), a few draws at a time: it takes a second where pictures are many.
#[derive(Clone, Debug)]
pub struct Ap50Bootstrap {
    first: Arc<RankedBoxes>,
    second: Arc<RankedBoxes>,
    random: Pcg64Mcg,
    drawn: Vec<f64>,
}

impl Ap50Bootstrap {
    /// Of AP50 of the second detector less that of the first, both on the same pictures. `None` for less than two pictures, and
    /// where they have not the same number of them.
    pub fn new(first: Arc<RankedBoxes>, second: Arc<RankedBoxes>) -> Option<Self> {
        let is_sensible = first.images() >= 2 && first.images() == second.images();
        is_sensible.then(|| Self { first, second, random: Pcg64Mcg::seed_from_u64(0), drawn: Vec::new() })
    }

    /// Draws so many times more; the result, when there are enough. The same pictures give the same interval, in however many steps.
    pub fn advance(&mut self, draws: usize) -> Option<Difference> {
        let images = self.first.images();
        for _ in 0..draws.min(DRAWS - self.drawn.len()) {
            let mut counts = vec![0; images];
            (0..images).for_each(|_| counts[self.random.random_range(0..images)] += 1);
            self.drawn.push(self.difference(&counts));
        }
        let is_done = self.drawn.len() == DRAWS;
        is_done.then(|| with_interval(self.difference(&vec![1; images]), self.drawn.clone()))
    }

    /// A drawing without any object is 0 for both.
    fn difference(&self, counts: &[usize]) -> f64 {
        self.second.ap50(counts).unwrap_or_default() - self.first.ap50(counts).unwrap_or_default()
    }
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
    use crate::voc::{VocBox, VocObject};
    use crate::{BBox, Detection};

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

    /// A detector that finds the first `found` of 20 cats, one an image.
    fn finds(found: usize) -> Arc<RankedBoxes> {
        let cat = VocObject {
            class: "cat".into(),
            difficult: false,
            bbox: VocBox { xmin: 1.0, ymin: 1.0, xmax: 10.0, ymax: 10.0 },
        };
        let hit = Detection { class: 0, score: 0.9, bbox: BBox { x1: 0.0, y1: 0.0, x2: 9.0, y2: 9.0 } };
        let boxes: Vec<Vec<Detection>> = (0..20).map(|i| if i < found { vec![hit] } else { Vec::new() }).collect();
        Arc::new(RankedBoxes::new(&vec![vec![cat]; 20], &boxes, &["cat".into()]))
    }

    #[test]
    fn ap50_is_compared_in_steps_of_any_size() {
        let run = |step: usize| {
            let mut bootstrap = Ap50Bootstrap::new(finds(19), finds(10)).unwrap();
            std::iter::repeat_with(|| bootstrap.advance(step)).flatten().next().unwrap()
        };
        let clear = run(7);
        assert_eq!(clear, run(5000));
        // Recalls of 0.5 and 0.95 reach 6 and 10 of 11 levels.
        assert!((clear.difference + 400.0 / 11.0).abs() < 1e-9, "{clear:?}");
        assert!(clear.low < clear.difference && clear.difference < clear.high && clear.high < 0.0, "{clear:?}");
        let mut same = Ap50Bootstrap::new(finds(10), finds(10)).unwrap();
        assert_eq!(same.advance(1000), Some(Difference { difference: 0.0, low: 0.0, high: 0.0 }));
        let one = Arc::new(RankedBoxes::new(&[Vec::new()], &[Vec::new()], &[]));
        assert!(Ap50Bootstrap::new(one.clone(), one).is_none());
    }

    #[test]
    fn one_picture_has_no_interval() {
        assert_eq!(f1_difference(&counts(&[1]), &counts(&[2])), None);
        assert_eq!(f1_difference(&counts(&[1, 1]), &counts(&[2])), None);
    }
}

//! Which annotated object a detection is about: one rule, for the score, the confusion matrix, and what the page says of an image.

use super::VocBox;

/// A detection is about the object that it overlaps most, where that is more than this ([`VocBox::iou`]).
pub const MIN_IOU: f64 = 0.5;

/// The box that `bbox` overlaps most, with the number that it comes with, and their IoU: the first of several that it overlaps
/// alike. `None` where there is none.
pub fn most_overlapping(bbox: &VocBox, others: impl IntoIterator<Item = (usize, VocBox)>) -> Option<(usize, f64)> {
    let overlaps = others.into_iter().map(|(i, other)| (i, other.iou(bbox)));
    overlaps.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// The object that a detection is about: the [`most_overlapping`] one, if by more than [`MIN_IOU`].
pub fn matched(bbox: &VocBox, objects: impl IntoIterator<Item = (usize, VocBox)>) -> Option<usize> {
    most_overlapping(bbox, objects).filter(|(_, iou)| *iou > MIN_IOU).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_those_that_overlap_most_and_only_beyond_one_half() {
        let at = |x: f64| VocBox { xmin: x, ymin: 1.0, xmax: x + 9.0, ymax: 10.0 };
        let far = at(101.0);
        let most = |others: &[VocBox]| most_overlapping(&at(1.0), others.iter().copied().enumerate());
        assert_eq!(most(&[far, at(2.0), at(1.0), at(1.0)]), Some((2, 1.0)));
        assert_eq!(most(&[far]), Some((0, 0.0)));
        assert_eq!(most(&[]), None);
        // 10 x 10 pixels, of which the half that is cut off leaves an overlap of exactly one half.
        let half = VocBox { xmax: 5.0, ..at(1.0) };
        assert_eq!(most(&[half]), Some((0, 0.5)));
        assert_eq!(matched(&at(1.0), [(7, half)]), None);
        assert_eq!(matched(&at(1.0), [(7, VocBox { xmax: 6.0, ..half })]), Some(7));
    }
}

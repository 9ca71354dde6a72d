//! From the network's raw output to boxes.

use std::collections::BTreeMap;

use crate::anchor::anchors;
use crate::model::graph::Graph;
use crate::pixels::letterbox::Letterbox;

/// A box in pixels, from its top-left to its bottom-right corner.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BBox {
    /// Left.
    pub x1: f32,
    /// Top.
    pub y1: f32,
    /// Right.
    pub x2: f32,
    /// Bottom.
    pub y2: f32,
}

impl BBox {
    /// The box of this centre and size.
    pub fn around(cx: f32, cy: f32, w: f32, h: f32) -> Self {
        Self { x1: cx - w / 2.0, y1: cy - h / 2.0, x2: cx + w / 2.0, y2: cy + h / 2.0 }
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        (self.x2 - self.x1).max(0.0) * (self.y2 - self.y1).max(0.0)
    }

    /// The same box in an image whose sides are `factor` times as long.
    pub fn scaled(&self, factor: f32) -> Self {
        Self { x1: factor * self.x1, y1: factor * self.y1, x2: factor * self.x2, y2: factor * self.y2 }
    }

    fn centre_x(&self) -> f32 {
        (self.x1 + self.x2) / 2.0
    }

    /// Intersection over union with another box; 0 where both are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let width = (self.x2.min(other.x2) - self.x1.max(other.x1)).max(0.0);
        let height = (self.y2.min(other.y2) - self.y1.max(other.y1)).max(0.0);
        let both = width * height;
        let union = self.area() + other.area() - both;
        if union > 0.0 { both / union } else { 0.0 }
    }
}

/// An object that a network found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Detection {
    /// Index into the weights' class names.
    pub class: usize,
    /// Objectness times the class's probability, 0-1.
    pub score: f32,
    /// Where, in pixels of the original image.
    pub bbox: BBox,
}

/// Decodes `raw` (anchors x (5 + classes): box, objectness, classes, before any sigmoid) of `graph` on an input of
/// `height` x `width` pixels. Each anchor gives its best class; those under `min_score` are left out. Boxes are in
/// pixels of the input; see [`to_image`].
pub fn decode(graph: &Graph, raw: &[f32], height: usize, width: usize, min_score: f32) -> Vec<Detection> {
    let values = 5 + graph.classes;
    debug_assert_eq!(raw.len(), graph.anchors(height, width) * values);
    let mut found = Vec::new();
    for (anchor, row) in anchors(height, width).into_iter().zip(raw.chunks_exact(values)) {
        let objectness = sigmoid(row[4]);
        // A score never exceeds the objectness, so most anchors end here. NaN does too.
        if objectness < min_score || objectness.is_nan() {
            continue;
        }
        let Some((class, &logit)) = row[5..].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) else { continue };
        let score = objectness * sigmoid(logit);
        if score < min_score || score.is_nan() {
            continue;
        }
        let bbox = anchor.decode(row);
        // Neither is a box what is not finite.
        if [bbox.x1, bbox.y1, bbox.x2, bbox.y2].iter().all(|x| x.is_finite()) {
            found.push(Detection { class, score, bbox });
        }
    }
    found
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Moves boxes from the network's input to the image. They may reach beyond it, see [`clip`].
pub fn to_image(detections: &mut [Detection], fit: Letterbox) {
    for Detection { bbox: BBox { x1, y1, x2, y2 }, .. } in detections {
        for coordinate in [x1, y1, x2, y2] {
            *coordinate /= fit.ratio;
        }
    }
}

/// Clips boxes to an image of `width` x `height` pixels: what people are shown. Suppression and the official VOC score
/// come before, on whole boxes.
pub fn clip(detections: &mut [Detection], width: usize, height: usize) {
    for Detection { bbox: BBox { x1, y1, x2, y2 }, .. } in detections {
        for (coordinate, limit) in [(x1, width), (y1, height), (x2, width), (y2, height)] {
            *coordinate = coordinate.clamp(0.0, limit as f32);
        }
    }
}

/// Class-aware non-maximum suppression: in order of falling score, drops a box that overlaps a kept one of its class
/// by more than `max_iou`. Boxes come back in order of falling score.
///
/// As a box can only be dropped by a better one, keeping the results over a score afterwards gives the same boxes as
/// leaving out the candidates under that score before.
pub fn nms(candidates: &[Detection], max_iou: f32) -> Vec<Detection> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let centres = candidates.iter().map(|c| c.bbox.centre_x());
    let (left, right) = centres.fold((f32::MAX, f32::MIN), |(left, right), x| (left.min(x), right.max(x)));
    let mut kept_of_class: BTreeMap<usize, KeptBoxes> = BTreeMap::new();
    sorted.retain(|candidate| {
        let kept = kept_of_class.entry(candidate.class).or_insert_with(|| KeptBoxes::new(left, right));
        let keep = !kept.any_overlaps(&candidate.bbox, max_iou);
        if keep {
            kept.push(candidate.bbox);
        }
        keep
    });
    sorted
}

/// Boxes by where their centres lie, in upright stripes: without a threshold on the score, all of an image's 3,549
/// anchors come to suppression, and most pairs of them lie far apart.
struct KeptBoxes {
    left: f32,
    stripes_a_pixel: f32,
    stripes: [Vec<BBox>; STRIPES],
}

const STRIPES: usize = 64;

impl KeptBoxes {
    /// For boxes with centres from `left` to `right`.
    fn new(left: f32, right: f32) -> Self {
        let stripes_a_pixel = STRIPES as f32 / (right - left).max(1.0);
        Self { left, stripes_a_pixel, stripes: std::array::from_fn(|_| Vec::new()) }
    }

    /// The stripe of a centre; never decreases from left to right.
    fn stripe(&self, x: f32) -> usize {
        (((x - self.left) * self.stripes_a_pixel) as usize).min(STRIPES - 1)
    }

    fn push(&mut self, b: BBox) {
        self.stripes[self.stripe(b.centre_x())].push(b);
    }

    /// Whether the IoU of `b` and any of these is more than `max_iou`.
    fn any_overlaps(&self, b: &BBox, max_iou: f32) -> bool {
        // The IoU is at most the common width over the greater width. So boxes with a greater IoU are at most 1 / max_iou
        // times as wide as `b`, and their centres no farther away than half of both widths (and a little for rounding).
        let reach = (b.x2 - b.x1) * (1.0 + 1.0 / max_iou.max(0.0)) * 0.501;
        let (from, to) = (self.stripe(b.centre_x() - reach), self.stripe(b.centre_x() + reach));
        let apart = |k: &BBox| k.y2 < b.y1 || k.y1 > b.y2;
        self.stripes[from..=to.max(from)].iter().flatten().any(|k| !apart(k) && k.iou(b) > max_iou)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::Variant;

    fn at(class: usize, score: f32, x: f32) -> Detection {
        Detection { class, score, bbox: BBox { x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 } }
    }

    #[test]
    fn iou_of_known_boxes() {
        let (a, b) = (at(0, 1.0, 0.0).bbox, at(0, 1.0, 5.0).bbox);
        assert!((a.iou(&b) - 50.0 / 150.0).abs() < 1e-6);
        assert_eq!(a.iou(&at(0, 1.0, 10.0).bbox), 0.0);
        let empty = BBox { x1: 3.0, y1: 3.0, x2: 3.0, y2: 3.0 };
        assert_eq!(empty.iou(&empty), 0.0);
    }

    #[test]
    fn nms_keeps_the_best_of_each_class() {
        let candidates = [at(0, 0.5, 1.0), at(0, 0.9, 0.0), at(1, 0.4, 0.0), at(0, 0.3, 30.0)];
        assert_eq!(nms(&candidates, 0.45), [candidates[1], candidates[2], candidates[3]]);
        // A box that is dropped drops no other.
        let chain = [at(0, 0.9, 0.0), at(0, 0.8, 3.0), at(0, 0.7, 6.0)];
        assert_eq!(nms(&chain, 0.45), [chain[0], chain[2]]);
        assert_eq!(nms(&[], 0.45), []);
    }

    #[test]
    fn nms_equals_a_comparison_of_all_with_all() {
        let mut random = crate::kernels::testing::Random::new(6);
        for _ in 0..60 {
            let (count, max_iou) = (random.in_range(1, 300), random.pick(&[0.0, 0.1, 0.45, 0.65, 1.0]));
            let size = random.pick(&[3.0, 50.0, 400.0]);
            let mut number = |scale: f32| scale * (random.numbers(1)[0] + 1.0);
            let candidates: Vec<_> = (0..count)
                .map(|_| {
                    let (x1, y1) = (number(100.0), number(100.0));
                    let bbox = BBox { x1, y1, x2: x1 + number(size), y2: y1 + number(size) };
                    Detection { class: number(1.5) as usize, score: number(0.5), bbox }
                })
                .collect();
            let mut naive: Vec<Detection> = Vec::new();
            let mut sorted = candidates.clone();
            sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
            for c in sorted {
                if !naive.iter().any(|k| k.class == c.class && k.bbox.iou(&c.bbox) > max_iou) {
                    naive.push(c);
                }
            }
            assert!(nms(&candidates, max_iou) == naive, "{count} boxes, {max_iou}");
        }
    }

    /// What the page's sliders rely on.
    #[test]
    fn score_may_be_cut_before_or_after_nms() {
        let candidates: Vec<_> = (0..60).map(|i| at(i % 3, (i * 37 % 60) as f32 / 60.0, (i * 7 % 40) as f32)).collect();
        for cut in [0.0, 0.2, 0.5, 0.8] {
            let over = |all: &[Detection]| all.iter().filter(|d| d.score >= cut).copied().collect::<Vec<_>>();
            assert_eq!(over(&nms(&candidates, 0.45)), nms(&over(&candidates), 0.45));
        }
    }

    /// One anchor of each level set by hand.
    #[test]
    fn anchors_are_decoded_where_they_are() {
        let graph = Variant::named("baseline").unwrap().graph(3);
        let (height, width) = (64, 96);
        let mut raw = vec![-20.0; graph.anchors(height, width) * 8];
        let levels = [(8, 0), (16, 8 * 12), (32, 8 * 12 + 4 * 6)];
        for (i, (stride, first)) in levels.into_iter().enumerate() {
            let (x, y) = (1, 1);
            let anchor = &mut raw[(first + y * (width / stride) + x) * 8..][..8];
            anchor[..5].copy_from_slice(&[0.5, 0.25, 0.0, 2f32.ln(), 10.0]);
            anchor[5 + i] = 10.0;
        }
        // Not a number must not become a box, nor may an infinite size.
        raw[4] = f32::NAN;
        raw[8..16].copy_from_slice(&[0.0, 0.0, f32::NAN, 0.0, 10.0, 10.0, 0.0, 0.0]);
        raw[16..24].copy_from_slice(&[0.0, 0.0, 100.0, 0.0, 10.0, 10.0, 0.0, 0.0]);
        let found = decode(&graph, &raw, height, width, 0.5);
        assert_eq!(found.len(), 3);
        for ((i, (stride, _)), found) in levels.into_iter().enumerate().zip(&found) {
            let s = stride as f32;
            let expected = BBox { x1: s, y1: 0.25 * s, x2: 2.0 * s, y2: 2.25 * s };
            assert_eq!(found.class, i);
            assert!((found.score - 0.9999).abs() < 1e-4);
            for (a, b) in [(found.bbox.x1, expected.x1), (found.bbox.y1, expected.y1), (found.bbox.x2, expected.x2)] {
                assert!((a - b).abs() < 1e-4, "{:?} is not {expected:?}", found.bbox);
            }
            assert!((found.bbox.y2 - expected.y2).abs() < 1e-4);
        }
        assert!(decode(&graph, &raw, height, width, 1.0).is_empty());
    }

    #[test]
    fn boxes_return_to_the_image_and_are_clipped() {
        let fit = Letterbox::fit(832, 400, 416);
        let mut boxes = [Detection { class: 0, score: 1.0, bbox: BBox { x1: -5.0, y1: 10.0, x2: 100.0, y2: 300.0 } }];
        to_image(&mut boxes, fit);
        assert_eq!(boxes[0].bbox, BBox { x1: -10.0, y1: 20.0, x2: 200.0, y2: 600.0 });
        clip(&mut boxes, 832, 400);
        assert_eq!(boxes[0].bbox, BBox { x1: 0.0, y1: 20.0, x2: 200.0, y2: 400.0 });
    }
}

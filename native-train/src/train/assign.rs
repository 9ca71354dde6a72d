//! SimOTA: which anchors are to find which object (<https://arxiv.org/abs/2107.08430>, section 2.1; `get_assignments`
//! in `yolox/models/yolo_head.py`).
//!
//! Anchors near an object's centre are candidates. Each object takes the candidates that cost it least, as many as the
//! network's boxes already fit it well; an anchor that several objects take goes to the one it costs least.

use serde::{Deserialize, Serialize};
use shared_model::{Anchor, BBox};

use crate::data::Object;

/// Which anchors may find an object: the rule of each of Megvii's releases. Distances are between the middle of the
/// anchor's cell and the object's centre, along each axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum CenterRadius {
    /// Within 1.5 strides of the centre: the current code.
    #[default]
    #[serde(rename = "1.5")]
    #[value(name = "1.5")]
    R1_5,
    /// Within 2.5 strides of the centre or within the box, rather both than one: the release of 2022 (0.3.0).
    #[serde(rename = "2.5")]
    #[value(name = "2.5")]
    R2_5,
}

impl CenterRadius {
    fn strides(self) -> f32 {
        match self {
            Self::R1_5 => 1.5,
            Self::R2_5 => 2.5,
        }
    }

    /// Added to the cost of a candidate that another object brought in, or that lacks one of the two conditions: more
    /// than any other cost.
    fn penalty(self) -> f64 {
        match self {
            Self::R1_5 => 1e6,
            Self::R2_5 => 1e5,
        }
    }

    /// Whether the object makes `anchor` a candidate, and whether it does so without penalty.
    fn judge(self, anchor: &Anchor, object: &Object, bbox: &BBox) -> (bool, bool) {
        let (x, y) = anchor.centre();
        let reach = self.strides() * anchor.stride;
        let near = (x - object.cx).abs() < reach && (y - object.cy).abs() < reach;
        match self {
            Self::R1_5 => (near, near),
            Self::R2_5 => {
                let inside = x > bbox.x1 && x < bbox.x2 && y > bbox.y1 && y < bbox.y2;
                (near || inside, near && inside)
            }
        }
    }
}

/// An anchor that is to find an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assignment {
    /// Its row.
    pub anchor: usize,
    /// Position of the object among the image's.
    pub object: usize,
    /// Intersection over union of the object and the box that the network says.
    pub iou: f32,
}

/// IoUs that decide how many anchors an object gets: the sum of so many of the greatest.
const BEST_IOUS: usize = 10;

/// Weight of the box in the cost, next to the class.
const IOU_WEIGHT: f32 = 3.0;

/// The matches of one image, in order of anchors. `rows` is the head's raw output, anchors x (5 + classes), in the
/// order of `anchors`.
///
/// # Panics
/// Panics where an object's class has no place in the rows.
pub fn assign(rows: &[f32], anchors: &[Anchor], objects: &[Object], rule: CenterRadius) -> Vec<Assignment> {
    let boxes: Vec<BBox> = objects.iter().map(Object::bbox).collect();
    let judge = |anchor: &Anchor, object: usize| rule.judge(anchor, &objects[object], &boxes[object]);
    let row = rows.len() / anchors.len().max(1);
    let is_candidate = |anchor: &Anchor| (0..objects.len()).any(|object| judge(anchor, object).0);
    let candidates: Vec<Candidate> = (0..anchors.len())
        .filter(|&anchor| is_candidate(&anchors[anchor]))
        .map(|anchor| Candidate::new(anchor, &anchors[anchor], &rows[anchor * row..][..row]))
        .collect();

    // objects x candidates
    let mut pairs = Vec::with_capacity(objects.len() * candidates.len());
    for (i, object) in objects.iter().enumerate() {
        for candidate in &candidates {
            let iou = candidate.bbox.iou(&boxes[i]);
            let cost = candidate.class_cost(object.class) - IOU_WEIGHT * (iou + 1e-8).ln();
            let penalty = if judge(&anchors[candidate.anchor], i).1 { 0.0 } else { rule.penalty() };
            pairs.push(PairCost { iou, cost: f64::from(cost) + penalty });
        }
    }
    let winners = match_pairs(&pairs, objects.len(), candidates.len());
    let matched = winners.into_iter().enumerate().filter_map(|(candidate, object)| Some((candidate, object?)));
    let matched = matched.map(|(candidate, object)| Assignment {
        anchor: candidates[candidate].anchor,
        object,
        iou: pairs[object * candidates.len() + candidate].iou,
    });
    matched.collect()
}

/// What the network says at an anchor that may find an object.
struct Candidate {
    anchor: usize,
    bbox: BBox,
    /// For every class, what it would cost to be right about it alone: `-log p`, less what it costs otherwise.
    gain: Vec<f32>,
    /// Binary cross-entropy of all classes where none is there.
    none: f32,
}

impl Candidate {
    fn new(index: usize, anchor: &Anchor, row: &[f32]) -> Self {
        // As PyTorch's `binary_cross_entropy`, which keeps the cost finite.
        let log = |p: f32| p.ln().max(-100.0);
        let objectness = sigmoid(row[4]);
        let mut none = 0.0;
        let gain = row[5..].iter().map(|&logit| {
            let p = (sigmoid(logit) * objectness).sqrt();
            let absent = -log(1.0 - p);
            none += absent;
            -log(p) - absent
        });
        let gain = gain.collect();
        Self { anchor: index, bbox: anchor.decode(row), gain, none }
    }

    /// Binary cross-entropy of `sqrt(class * objectness)` against `class` alone.
    fn class_cost(&self, class: usize) -> f32 {
        self.none + self.gain[class]
    }
}

#[derive(Clone, Copy)]
struct PairCost {
    iou: f32,
    cost: f64,
}

/// For each candidate the object that gets it. Equal costs go to the earlier anchor and the earlier object.
fn match_pairs(pairs: &[PairCost], objects: usize, candidates: usize) -> Vec<Option<usize>> {
    let mut claims = vec![0; candidates];
    let mut winners = vec![None; candidates];
    if candidates == 0 {
        return winners;
    }
    let cost = |object: usize, candidate: usize| pairs[object * candidates + candidate].cost;
    let mut order: Vec<usize> = Vec::with_capacity(candidates);
    for (object, pairs) in pairs.chunks_exact(candidates).enumerate() {
        let mut ious: Vec<f32> = pairs.iter().map(|pair| pair.iou).collect();
        let best = BEST_IOUS.min(candidates);
        ious.select_nth_unstable_by(best - 1, |a, b| b.total_cmp(a));
        ious[..best].sort_unstable_by(|a, b| b.total_cmp(a));
        let k = (ious[..best].iter().sum::<f32>() as usize).clamp(1, candidates);

        order.clear();
        order.extend(0..candidates);
        order.select_nth_unstable_by(k - 1, |&a, &b| pairs[a].cost.total_cmp(&pairs[b].cost).then(a.cmp(&b)));
        for &candidate in &order[..k] {
            claims[candidate] += 1;
            winners[candidate] = Some(object);
        }
    }
    for (candidate, _) in claims.iter().enumerate().filter(|&(_, &claims)| claims > 1) {
        // Among all objects, not only those that claim it: as Megvii's code.
        winners[candidate] = (0..objects).min_by(|&a, &b| cost(a, candidate).total_cmp(&cost(b, candidate)));
    }
    winners
}

/// `1 / (1 + exp(-x))`
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests;

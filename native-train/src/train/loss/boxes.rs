//! What a box costs against the object that it is to find.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use shared_model::BBox;

use super::dual::Dual;

/// The loss of a decoded box against its object. In the total it is weighted by 5 and divided by the number of anchors
/// that are to find an object, whichever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BoxLoss {
    /// `1 - IoU^2`, as YOLOX. No slope where the boxes lie apart.
    #[default]
    Iou,
    /// `1 - (IoU - (C - union) / C)`, with the area `C` of the box around both: YOLOX's `IOUloss("giou")` (Rezatofighi et
    /// al. 2019, <https://arxiv.org/abs/1902.09630>).
    Giou,
    /// `1 - IoU + d^2 / c^2 + alpha v`, with the distance `d` of the centres, the diagonal `c` of the box around both, `v`
    /// of the difference between the shapes, and its weight `alpha`, a constant to the gradient: torchvision's
    /// `complete_box_iou_loss` (Zheng et al. 2020, <https://arxiv.org/abs/1911.08287>).
    Ciou,
    /// `1 - IoU + (distance + shape) / 2`, the distance of the centres counted more where it is along an axis: SIoU
    /// (Gevorgyan 2022, <https://arxiv.org/abs/2205.12740>, theta 4).
    Siou,
}

impl BoxLoss {
    /// The loss, and its gradient with respect to the raw `[x, y, w, h]` of an anchor with this stride.
    pub(super) fn of(self, bbox: &BBox, object: &BBox, stride: f32) -> (f32, [f32; 4]) {
        let formula = match self {
            // Single precision, as the reference step that it is tested by.
            Self::Iou => return iou_loss(bbox, object, stride),
            Self::Giou => BoxPair::giou_loss,
            Self::Ciou => BoxPair::ciou_loss,
            Self::Siou => BoxPair::siou_loss,
        };
        let loss = formula(&BoxPair::new(
            [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from),
            [object.x1, object.y1, object.x2, object.y2].map(f64::from),
            f64::from(stride),
        ));
        (loss.value as f32, loss.slopes.map(|slope| slope as f32))
    }
}

/// Keeps quotients finite in YOLOX's `IOUloss`.
const YOLOX_TINY: f64 = 1e-16;
/// Keeps quotients finite in torchvision's losses.
const TORCHVISION_TINY: f64 = 1e-7;
/// SIoU's weight of the shape: between 2 and 6, near 4, its paper says.
const THETA: i32 = 4;

/// A box and an object. Slopes are along the raw numbers that the box was decoded from.
struct BoxPair {
    x: Sides,
    y: Sides,
}

/// A box and an object along one axis.
struct Sides {
    low: Dual,
    high: Dual,
    object_low: Dual,
    object_high: Dual,
}

impl Sides {
    fn size(&self) -> Dual {
        self.high - self.low
    }

    fn object_size(&self) -> Dual {
        self.object_high - self.object_low
    }

    /// Negative where they lie apart.
    fn overlap(&self) -> Dual {
        self.high.min(self.object_high) - self.low.max(self.object_low)
    }

    /// Of the box around both.
    fn hull(&self) -> Dual {
        self.high.max(self.object_high) - self.low.min(self.object_low)
    }

    /// From the object's centre to the box's.
    fn offset(&self) -> Dual {
        0.5 * (self.low + self.high - self.object_low - self.object_high)
    }
}

impl BoxPair {
    /// Of corners `[x1, y1, x2, y2]`.
    fn new([x1, y1, x2, y2]: [f64; 4], object: [f64; 4], stride: f64) -> Self {
        let sides = |low: f64, high: f64, object_low: f64, object_high: f64, axis: usize| {
            // Through the decoding: the centre moves by a stride, the logarithm of the size by the size.
            let edge = |value: f64, side: f64| {
                let mut slopes = [0.0; 4];
                (slopes[axis], slopes[axis + 2]) = (stride, side * (high - low) / 2.0);
                Dual { value, slopes }
            };
            let [object_low, object_high] = [object_low, object_high].map(Dual::constant);
            Sides { low: edge(low, -1.0), high: edge(high, 1.0), object_low, object_high }
        };
        Self { x: sides(x1, x2, object[0], object[2], 0), y: sides(y1, y2, object[1], object[3], 1) }
    }

    fn both(&self) -> Dual {
        let (x, y) = (self.x.overlap(), self.y.overlap());
        if x.value > 0.0 && y.value > 0.0 { x * y } else { Dual::constant(0.0) }
    }

    fn union(&self) -> Dual {
        self.x.size() * self.y.size() + self.x.object_size() * self.y.object_size() - self.both()
    }

    fn iou(&self, tiny: f64) -> Dual {
        self.both() / (tiny + self.union())
    }

    fn giou_loss(&self) -> Dual {
        let around = self.x.hull() * self.y.hull();
        let empty = (around - self.union()) / around.max(Dual::constant(YOLOX_TINY));
        // Between -1 and 1 already, where YOLOX clamps it.
        1.0 - self.iou(YOLOX_TINY) + empty
    }

    fn ciou_loss(&self) -> Dual {
        let iou = self.iou(TORCHVISION_TINY);
        let diagonal = TORCHVISION_TINY + (self.x.hull().powi(2) + self.y.hull().powi(2));
        let distance = (self.x.offset().powi(2) + self.y.offset().powi(2)) / diagonal;
        let turn = self.x.object_size().atan2(self.y.object_size()) - self.x.size().atan2(self.y.size());
        let shape = 4.0 / (PI * PI) * turn.powi(2);
        let alpha = shape.value / (1.0 - iou.value + shape.value + TORCHVISION_TINY);
        1.0 - iou + distance + alpha * shape
    }

    fn siou_loss(&self) -> Dual {
        let tiny = Dual::constant(YOLOX_TINY);
        let (dx, dy) = (self.x.offset(), self.y.offset());
        // `1 - 2 sin^2(arcsin(|dy| / d) - pi / 4)` of the paper is the sine of twice the angle between `d` and an axis.
        let angle = 2.0 * (dx.abs() * dy.abs()) / (dx.powi(2) + dy.powi(2)).max(tiny);
        let distance = |sides: &Sides, offset: Dual| {
            let part = (offset / sides.hull().max(tiny)).powi(2);
            1.0 - ((angle - Dual::constant(2.0)) * part).exp()
        };
        let shape = |sides: &Sides| {
            let (size, object) = (sides.size(), sides.object_size());
            let part = (size - object).abs() / size.max(object).max(tiny);
            (1.0 - (-1.0 * part).exp()).powi(THETA)
        };
        let distance = distance(&self.x, dx) + distance(&self.y, dy);
        1.0 - self.iou(YOLOX_TINY) + 0.5 * (distance + shape(&self.x) + shape(&self.y))
    }
}

/// `1 - IoU^2` of a decoded box and an object, and its gradient with respect to the raw `[x, y, w, h]`.
pub(in crate::train) fn iou_loss(bbox: &BBox, object: &BBox, stride: f32) -> (f32, [f32; 4]) {
    // As YOLOX's `IOUloss`: keeps the quotient finite.
    const TINY: f32 = 1e-16;
    let axis = |low: f32, high: f32, object_low: f32, object_high: f32| Axis {
        size: high - low,
        overlap: high.min(object_high) - low.max(object_low),
        low_moves: low > object_low,
        high_moves: high < object_high,
    };
    let x = axis(bbox.x1, bbox.x2, object.x1, object.x2);
    let y = axis(bbox.y1, bbox.y2, object.y1, object.y2);
    let object_area = (object.x2 - object.x1) * (object.y2 - object.y1);
    let overlaps = x.overlap > 0.0 && y.overlap > 0.0;
    let both = if overlaps { x.overlap * y.overlap } else { 0.0 };
    let union = x.size * y.size + object_area - both + TINY;
    let iou = both / union;

    // d IoU = (1 + IoU) / union * d both - IoU / union * d area
    let (by_both, by_area) = ((1.0 + iou) / union, -iou / union);
    let slopes = |this: &Axis, other: &Axis| {
        let (by_low, by_high) = (f32::from(this.low_moves), f32::from(this.high_moves));
        let by_centre = by_both * other.overlap * (by_high - by_low);
        let by_size = by_both * other.overlap * (by_high + by_low) / 2.0 + by_area * other.size;
        // Through the decoding: the centre moves by a stride, the logarithm of the size by the size.
        [by_centre * stride, by_size * this.size]
    };
    let ([cx, w], [cy, h]) = (slopes(&x, &y), slopes(&y, &x));
    // Where nothing overlaps the IoU is 0, and so is the slope of its square.
    (1.0 - iou * iou, [cx, cy, w, h].map(|slope| if overlaps { -2.0 * iou * slope } else { 0.0 }))
}

/// A box and an object along one axis.
struct Axis {
    size: f32,
    /// Negative where they lie apart.
    overlap: f32,
    /// Whether the overlap begins with the box.
    low_moves: bool,
    /// Whether the overlap ends with the box.
    high_moves: bool,
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::data::Object;
    use shared_model::Anchor;

    const ALL: [BoxLoss; 4] = [BoxLoss::Iou, BoxLoss::Giou, BoxLoss::Ciou, BoxLoss::Siou];

    fn object(cx: f32, cy: f32, w: f32, h: f32) -> BBox {
        Object { class: 0, cx, cy, w, h, ignored: false }.bbox()
    }

    #[test]
    fn values_and_gradients_are_pytorch_s() {
        // In double precision; raw.grad after loss.backward():
        //
        // raw = torch.tensor([...], requires_grad=True)
        // pred = torch.cat([(raw[:2] + torch.tensor([3.0, 2.0])) * 8, raw[2:].exp() * 8])
        // iou, giou: IOUloss(reduction="none", loss_type=...)(pred, target) of yolox/models/losses.py
        // ciou: torchvision.ops.complete_box_iou_loss of both boxes' corners
        // siou, with the overlap's part iou, the sides cw, ch of the box around both, and d between the centres:
        //   sigma = (d ** 2).sum().sqrt()
        //   gamma = 1 + 2 * torch.sin(torch.arcsin(d[1].abs() / sigma) - math.pi / 4) ** 2
        //   distance = sum(1 - torch.exp(-gamma * (a / b) ** 2) for a, b in ((d[0], cw), (d[1], ch)))
        //   omega = (pred[2:] - target[2:]).abs() / torch.max(pred[2:], target[2:])
        //   loss = 1 - iou + (distance + ((1 - torch.exp(-omega)) ** 4).sum()) / 2
        let anchor = Anchor { x: 3.0, y: 2.0, stride: 8.0 };
        let raw = [0.5, 0.25, 1.2, 0.8];
        let (overlapping, apart) = (object(30.0, 20.0, 24.0, 16.0), object(90.0, 70.0, 20.0, 30.0));
        let (outside, inside) = (object(29.0, 18.5, 60.0, 50.0), object(30.0, 17.0, 10.0, 6.0));
        // The box is a cell, its neighbour the object.
        let (cell, touching) = ([0.5, 0.5, 0.0, 0.0], object(36.0, 20.0, 8.0, 8.0));
        for (loss, raw, object, value, gradient) in [
            (BoxLoss::Iou, raw, overlapping, 0.537_201, [-0.5344484, -0.8349263, -0.0289010, -0.0707667]),
            (BoxLoss::Giou, raw, overlapping, 0.3307404, [-0.4516281, -0.6710383, -0.0730821, -0.1014194]),
            (BoxLoss::Ciou, raw, overlapping, 0.3269694, [-0.4189803, -0.6407085, -0.0260191, -0.0542309]),
            (BoxLoss::Siou, raw, overlapping, 0.3280321, [-0.4126233, -0.653_249, -0.0225697, -0.0557719]),
            (BoxLoss::Iou, raw, apart, 1.0, [0.0; 4]),
            (BoxLoss::Giou, raw, apart, 1.8342493, [-0.0155488, -0.0174699, -0.0472457, -0.0536175]),
            (BoxLoss::Ciou, raw, apart, 1.5060431, [-0.0235160, -0.0170240, -0.0786753, -0.0607207]),
            (BoxLoss::Siou, raw, apart, 1.4045415, [-0.0176942, -0.0064160, -0.0365290, -0.0641660]),
            (BoxLoss::Iou, raw, outside, 0.9751518, [0.0, 0.0, -0.0496964, -0.0496964]),
            (BoxLoss::Giou, raw, outside, 0.8423668, [0.0, 0.0, -0.1576332, -0.1576332]),
            (BoxLoss::Ciou, raw, outside, 0.8425946, [-0.0026230, -0.0013115, -0.1574301, -0.1578363]),
            (BoxLoss::Siou, raw, outside, 0.8846588, [-0.0033909, -0.0004695, -0.1971834, -0.1976626]),
            (BoxLoss::Iou, raw, inside, 0.9839023, [0.0, 0.0, 0.0321955, 0.0321955]),
            (BoxLoss::Giou, raw, inside, 0.8731232, [0.0, 0.0, 0.1268768, 0.1268768]),
            (BoxLoss::Ciou, raw, inside, 0.8780144, [-0.0312965, 0.0156483, 0.1201069, 0.1238666]),
            (BoxLoss::Siou, raw, inside, 0.9291634, [-0.0354540, 0.0133237, 0.1604264, 0.1626543]),
            (BoxLoss::Iou, cell, touching, 1.0, [0.0; 4]),
            (BoxLoss::Giou, cell, touching, 1.0, [-0.5, 0.0, -0.25, 0.0]),
            (BoxLoss::Ciou, cell, touching, 1.2, [-0.24, 0.0, -0.08, -0.04]),
            (BoxLoss::Siou, cell, touching, 1.1967347, [-0.1516327, 0.0, -0.0758163, 0.0]),
        ] {
            let found = loss.of(&anchor.decode(&raw), &object, anchor.stride);
            for (found, expected) in [found.0].into_iter().chain(found.1).zip([value].into_iter().chain(gradient)) {
                let expected: f32 = expected;
                assert!((found - expected).abs() < 1e-6, "{loss:?}, {object:?}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        const STEP: f64 = 1e-6;
        let mut rng = Pcg64Mcg::seed_from_u64(9);
        let (mut apart, mut within) = (0, 0);
        for case in 0..500 {
            let anchor = Anchor { x: 4.0, y: 3.0, stride: [8.0, 16.0, 32.0][case % 3] };
            // On halves and quarters, so that single precision holds edges exactly.
            let mut draw = |least: i32, most: i32| rng.random_range(4 * least..4 * most) as f32 / 4.0;
            let centre = [4.5, 3.5].map(|cell| cell * anchor.stride + draw(-40, 40));
            let object = object(centre[0], centre[1], draw(3, 120), draw(3, 120));
            let raw = [(); 4].map(|()| rng.random_range(-0.8..2.0f32));
            let bbox = anchor.decode(&raw);
            let iou = f64::from(bbox.iou(&object));
            apart += usize::from(iou == 0.0);
            within +=
                usize::from(bbox.x1 > object.x1 && bbox.x2 < object.x2 && bbox.y1 > object.y1 && bbox.y2 < object.y2);
            let corners = [object.x1, object.y1, object.x2, object.y2].map(f64::from);
            let pair = |raw: [f64; 4]| {
                let [x, y, stride] = [anchor.x, anchor.y, anchor.stride].map(f64::from);
                let [cx, cy] = [(raw[0] + x) * stride, (raw[1] + y) * stride];
                let [w, h] = [raw[2].exp() * stride, raw[3].exp() * stride];
                BoxPair::new([cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0], corners, stride)
            };
            let raw = raw.map(f64::from);
            // The weight of CIoU's shape is a constant.
            let weight = {
                let middle = pair(raw);
                let iou = middle.iou(TORCHVISION_TINY).value;
                shape(&middle) / (1.0 - iou + shape(&middle) + TORCHVISION_TINY)
            };
            for loss in ALL {
                let value = |raw: [f64; 4]| {
                    let pair = pair(raw);
                    let iou = |tiny: f64| pair.iou(tiny).value;
                    match loss {
                        BoxLoss::Iou => 1.0 - iou(YOLOX_TINY).powi(2),
                        BoxLoss::Giou => pair.giou_loss().value,
                        BoxLoss::Ciou => {
                            let free = shape(&pair) / (1.0 - iou(TORCHVISION_TINY) + shape(&pair) + TORCHVISION_TINY);
                            pair.ciou_loss().value + (weight - free) * shape(&pair)
                        }
                        BoxLoss::Siou => pair.siou_loss().value,
                    }
                };
                let found = loss.of(&bbox, &object, anchor.stride);
                assert!((f64::from(found.0) - value(raw)).abs() < 1e-5, "{loss:?}, case {case}");
                for i in 0..4 {
                    let at = |step: f64| {
                        let mut moved = raw;
                        moved[i] += step;
                        value(moved)
                    };
                    let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                    let found = f64::from(found.1[i]);
                    assert!(
                        (found - slope).abs() < 1e-4 * slope.abs().max(0.1),
                        "{loss:?}, case {case}, {i}: {found}, finite difference {slope}"
                    );
                }
            }
        }
        assert!(apart > 50 && within > 20, "{apart} {within}: the boxes prove little");
    }

    /// CIoU's difference of shapes.
    fn shape(pair: &BoxPair) -> f64 {
        let angle = |x: Dual, y: Dual| (x.value / y.value).atan();
        let turn = angle(pair.x.object_size(), pair.y.object_size()) - angle(pair.x.size(), pair.y.size());
        4.0 / (PI * PI) * turn * turn
    }

    #[test]
    fn a_box_in_its_place_costs_nothing_and_is_left_there() {
        let b = object(40.0, 30.0, 20.0, 10.0);
        for loss in ALL {
            let (value, gradient) = loss.of(&b, &b, 8.0);
            // The slope of the default in this point is that of a box that grows.
            let still = loss == BoxLoss::Iou || gradient.iter().all(|slope| slope.abs() < 1e-6);
            assert!(value.abs() < 1e-6 && still, "{loss:?}: {value} {gradient:?}");
        }
    }

    #[test]
    fn boxes_and_objects_of_no_size_give_finite_numbers() {
        for loss in ALL {
            for bbox in [object(20.0, 20.0, 0.0, 0.0), object(20.0, 20.0, 0.0, 9.0), object(20.0, 20.0, 1e-20, 1e15)] {
                for object in [bbox, object(20.0, 20.0, 5.0, 5.0), object(-900.0, 20.0, 0.0, 3.0)] {
                    let (value, gradient) = loss.of(&bbox, &object, 8.0);
                    let finite = value.is_finite() && gradient.iter().all(|slope| slope.is_finite());
                    assert!(finite, "{loss:?} {bbox:?} {object:?}: {value} {gradient:?}");
                }
            }
        }
    }
}

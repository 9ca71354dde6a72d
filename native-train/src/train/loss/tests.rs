use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;

/// A batch whose boxes lie about the objects, so that IoUs are of every size.
fn random_batch(
    rng: &mut Pcg64Mcg,
    size: (usize, usize),
    counts: &[usize],
    classes: usize,
) -> (HeadOutput, Vec<Vec<Object>>) {
    let (height, width) = size;
    let mut all = Vec::new();
    let mut values = Vec::new();
    for &count in counts {
        let object = |rng: &mut Pcg64Mcg| Object {
            class: rng.random_range(0..classes),
            cx: rng.random_range(0.0..1.0) * width as f32,
            cy: rng.random_range(0.0..1.0) * height as f32,
            w: rng.random_range(0.02..0.8) * width as f32,
            h: rng.random_range(0.02..0.8) * height as f32,
            ignored: false,
        };
        let objects: Vec<_> = (0..count).map(|_| object(rng)).collect();
        for anchor in anchors(height, width) {
            let ideal = match objects.get(rng.random_range(0..count.max(1))) {
                Some(object) => object.encoded(&anchor),
                None => [0.0; 4],
            };
            values.extend(ideal.map(|value| value + rng.random_range(-0.6..0.6)));
            values.extend((0..=classes).map(|_| rng.random_range(-5.0..3.0f32)));
        }
        all.push(objects);
    }
    (HeadOutput { values, images: counts.len(), classes, height, width }, all)
}

/// Value and assignment from the code under test, then the formulas of the module's head as they are written there, in
/// double precision: [total, iou, obj, cls, l1] as a function of the raw values, the targets held fixed.
struct Reference<'a> {
    output: &'a HeadOutput,
    objects: &'a [Vec<Object>],
    settings: LossSettings,
    /// Of each image and anchor: its match.
    matches: Vec<Option<Assignment>>,
}

impl<'a> Reference<'a> {
    fn new(output: &'a HeadOutput, objects: &'a [Vec<Object>], settings: &LossSettings) -> Self {
        let grid = anchors(output.height, output.width);
        let mut matches = vec![None; output.images * grid.len()];
        for (i, objects) in objects.iter().enumerate() {
            for found in assign(output.image(i), &grid, objects, settings.center_radius) {
                matches[i * grid.len() + found.anchor] = Some(found);
            }
        }
        Self { output, objects, settings: *settings, matches }
    }

    /// The loss of one anchor (of all images'), before the division by the foreground.
    fn anchor(&self, index: usize, row: &[f64]) -> [f64; 5] {
        let grid = anchors(self.output.height, self.output.width);
        let Anchor { x, y, stride } = grid[index % grid.len()];
        let [x, y, stride] = [x, y, stride].map(f64::from);
        let binary = |logit: f64, target: f64| {
            let p = 1.0 / (1.0 + (-logit).exp());
            -(target * p.ln() + (1.0 - target) * (1.0 - p).ln())
        };
        let Some(found) = self.matches[index] else {
            let obj = binary(row[4], 0.0);
            return [obj, 0.0, obj, 0.0, 0.0];
        };
        let object = self.objects[index / grid.len()][found.object];
        let [cx, cy, w, h] = [object.cx, object.cy, object.w, object.h].map(f64::from);
        let (bx, by, bw, bh) =
            ((row[0] + x) * stride, (row[1] + y) * stride, row[2].exp() * stride, row[3].exp() * stride);
        let overlap = |c: f64, size: f64, b: f64, b_size: f64| {
            ((c + size / 2.0).min(b + b_size / 2.0) - (c - size / 2.0).max(b - b_size / 2.0)).max(0.0)
        };
        let both = overlap(cx, w, bx, bw) * overlap(cy, h, by, bh);
        let iou = both / (w * h + bw * bh - both);
        let iou = 5.0 * (1.0 - iou * iou);
        let obj = binary(
            row[4],
            match self.settings.objectness {
                ObjectnessTarget::One => 1.0,
                ObjectnessTarget::Iou => f64::from(found.iou),
            },
        );
        let target = |class: usize| if class == object.class { f64::from(found.iou) } else { 0.0 };
        let cls: f64 = row[5..].iter().enumerate().map(|(class, &logit)| binary(logit, target(class))).sum();
        let ideal = [cx / stride - x, cy / stride - y, (w / stride + 1e-8).ln(), (h / stride + 1e-8).ln()];
        let l1 = ideal.iter().zip(row).map(|(ideal, value)| (value - ideal).abs()).sum::<f64>()
            * f64::from(self.settings.l1);
        [iou + obj + cls + l1, iou, obj, cls, l1]
    }
}

#[test]
fn value_and_gradient_equal_formulas_and_finite_differences() {
    const STEP: f64 = 1e-6;
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    for (round, size) in [(64, 96), (96, 64), (128, 160)].into_iter().enumerate() {
        for settings in [
            LossSettings::default(),
            LossSettings { center_radius: CenterRadius::R2_5, l1: true, ..LossSettings::default() },
            LossSettings { objectness: ObjectnessTarget::Iou, ..LossSettings::default() },
        ] {
            let (output, objects) = random_batch(&mut rng, size, &[3, 0, 7], [1, 3, 20][round]);
            let (losses, gradient) = loss(&output, &objects, &settings);
            let reference = Reference::new(&output, &objects, &settings);
            let foreground = reference.matches.iter().flatten().count();
            assert!(foreground > 10, "{foreground}: the batch proves little");
            assert_eq!((losses.foreground, losses.objects), (foreground, 10));

            let mut sums = [0.0; 5];
            for (index, row) in output.values.chunks_exact(output.row()).enumerate() {
                let mut row: Vec<f64> = row.iter().copied().map(f64::from).collect();
                for (sum, part) in sums.iter_mut().zip(reference.anchor(index, &row)) {
                    *sum += part / foreground as f64;
                }
                for column in 0..row.len() {
                    let middle = row[column];
                    let mut total_at = |value: f64| {
                        row[column] = value;
                        reference.anchor(index, &row)[0] / foreground as f64
                    };
                    let slope = (total_at(middle + STEP) - total_at(middle - STEP)) / (2.0 * STEP);
                    row[column] = middle;
                    let found = f64::from(gradient[index * output.row() + column]);
                    assert!(
                        (found - slope).abs() <= 2e-5 * slope.abs().max(1.0 / foreground as f64),
                        "anchor {index}, column {column}: {found}, finite difference {slope}"
                    );
                }
            }
            let found = [losses.total, losses.iou, losses.obj, losses.cls, losses.l1];
            for (found, expected) in found.into_iter().zip(sums) {
                assert!((f64::from(found) - expected).abs() <= 1e-5 * expected, "{found} instead of {expected}");
            }
        }
    }
}

#[test]
fn without_objects_only_the_objectness_counts() {
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let (output, objects) = random_batch(&mut rng, (64, 64), &[0, 0], 3);
    let (losses, gradient) = loss(&output, &objects, &LossSettings { l1: true, ..LossSettings::default() });
    assert_eq!(Losses { total: losses.obj, obj: losses.obj, ..Losses::default() }, losses);
    assert!(losses.obj > 1.0, "a sum over all anchors, divided by 1");
    for (i, slope) in gradient.iter().enumerate() {
        assert_eq!(*slope != 0.0, i % output.row() == 4, "{i}");
    }
}

#[test]
fn objects_outside_the_image_and_of_no_size_give_finite_losses() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let (output, _) = random_batch(&mut rng, (64, 64), &[1], 3);
    let place = |cx, cy, w, h| Object { class: 2, cx, cy, w, h, ignored: false };
    for objects in [
        vec![place(-900.0, 10.0, 5.0, 5.0)],
        vec![place(10.0, 10.0, 5.0, 5.0), place(-900.0, 10.0, 5.0, 5.0)],
        vec![place(20.0, 20.0, 0.0, 0.0)],
        vec![place(20.0, 20.0, 0.01, 1e6)],
    ] {
        for center_radius in [CenterRadius::R1_5, CenterRadius::R2_5] {
            for boxes in [BoxLoss::Iou, BoxLoss::Giou, BoxLoss::Ciou, BoxLoss::Siou] {
                let settings = LossSettings { center_radius, l1: true, boxes, ..LossSettings::default() };
                let (losses, gradient) = loss(&output, std::slice::from_ref(&objects), &settings);
                assert!(
                    losses.total.is_finite() && gradient.iter().all(|slope| slope.is_finite()),
                    "{boxes:?} {objects:?}: {losses:?}"
                );
            }
        }
    }
}

#[test]
fn an_output_that_is_not_finite_gives_a_total_of_nan_and_no_gradient() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let (output, objects) = random_batch(&mut rng, (64, 64), &[2, 1], 3);
    for (value, at) in [(f32::NAN, 0), (f32::INFINITY, 4), (f32::NEG_INFINITY, output.values.len() - 1)] {
        let mut output = output.clone();
        output.values[at] = value;
        let (losses, gradient) = loss(&output, &objects, &LossSettings::default());
        assert!(losses.total.is_nan());
        assert!(gradient.iter().all(|&slope| slope == 0.0));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut rng = Pcg64Mcg::seed_from_u64(8);
    let (output, objects) = random_batch(&mut rng, (128, 96), &[3, 0, 7, 1, 12], 20);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (losses, gradient) = pool.install(|| loss(&output, &objects, &LossSettings::default()));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        (bits(&[losses.total, losses.iou, losses.obj, losses.cls]), bits(&gradient))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn each_setting_changes_its_own_part_and_its_gradient() {
    let mut rng = Pcg64Mcg::seed_from_u64(21);
    let (output, objects) = random_batch(&mut rng, (64, 64), &[2, 1], 3);
    let grid = anchors(64, 64);
    let default = LossSettings::default();
    let (plain, _) = loss(&output, &objects, &default);
    let parts = |losses: &Losses| [losses.iou, losses.obj, losses.cls];
    for (settings, changed) in [
        (LossSettings { boxes: BoxLoss::Giou, ..default }, [true, false, false]),
        (LossSettings { boxes: BoxLoss::Ciou, ..default }, [true, false, false]),
        (LossSettings { boxes: BoxLoss::Siou, ..default }, [true, false, false]),
        (LossSettings { classes: ClassLoss::Qfl, ..default }, [false, true, true]),
        (LossSettings { classes: ClassLoss::Vfl, ..default }, [false, true, true]),
        (LossSettings { objectness: ObjectnessTarget::Iou, ..default }, [false, true, false]),
    ] {
        let (losses, gradient) = loss(&output, &objects, &settings);
        let differs: Vec<bool> = parts(&losses).iter().zip(parts(&plain)).map(|(a, b)| *a != b).collect();
        assert_eq!((differs.as_slice(), losses.foreground), (&changed[..], plain.foreground), "{settings:?}");
        assert_eq!(losses.total, losses.iou + losses.obj + losses.cls);

        for (i, objects) in objects.iter().enumerate() {
            let matches = assign(output.image(i), &grid, objects, settings.center_radius);
            for (index, anchor) in grid.iter().enumerate() {
                let place = index * output.row()..(index + 1) * output.row();
                let row = &output.image(i)[place.clone()];
                let slopes = slopes(&settings, anchor, row, objects, matches.iter().find(|m| m.anchor == index));
                let scaled: Vec<f32> = slopes.iter().map(|slope| slope / losses.foreground as f32).collect();
                for (found, expected) in gradient[i * grid.len() * output.row()..][place].iter().zip(scaled) {
                    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{settings:?}: {found} {expected}");
                }
            }
        }
    }
}

/// Of an anchor's row: put together from the slopes of its parts, which have tests of their own.
fn slopes(
    settings: &LossSettings,
    anchor: &Anchor,
    row: &[f32],
    objects: &[Object],
    found: Option<&Assignment>,
) -> Vec<f32> {
    let mut slopes = vec![0.0; row.len()];
    let Some(found) = found else {
        slopes[4] = settings.classes.of(row[4], 0.0).1;
        return slopes;
    };
    let object = &objects[found.object];
    let of_box = settings.boxes.of(&anchor.decode(row), &object.bbox(), anchor.stride).1;
    slopes[..4].copy_from_slice(&of_box.map(|slope| 5.0 * slope));
    let target = if settings.objectness == ObjectnessTarget::Iou { found.iou } else { 1.0 };
    slopes[4] = settings.classes.of(row[4], target).1;
    for (class, (slope, &logit)) in slopes[5..].iter_mut().zip(&row[5..]).enumerate() {
        *slope = settings.classes.of(logit, if class == object.class { found.iou } else { 0.0 }).1;
    }
    slopes
}

#[test]
fn ignored_objects_are_neither_found_nor_background() {
    let mut rng = Pcg64Mcg::seed_from_u64(22);
    let (mut output, mut objects) = random_batch(&mut rng, (64, 64), &[1], 3);
    let found = Object { class: 1, cx: 20.0, cy: 20.0, w: 20.0, h: 20.0, ignored: false };
    let ignored = Object { class: 0, cx: 28.0, cy: 20.0, w: 40.0, h: 40.0, ignored: true };
    let inside = |anchor: &Anchor| {
        let (x, y) = anchor.centre();
        (x - 28.0).abs() < 20.0 && (y - 20.0).abs() < 20.0
    };
    // An anchor in both finds the first.
    let grid = anchors(64, 64);
    let finder = grid.iter().position(|anchor| anchor.centre() == (20.0, 20.0)).unwrap();
    let row = output.row();
    let row = &mut output.values[finder * row..][..row];
    row[..4].copy_from_slice(&found.encoded(&grid[finder]));
    (row[4], row[5 + found.class]) = (5.0, 5.0);
    objects[0] = vec![found];
    let (without, all) = loss(&output, &objects, &LossSettings::default());
    objects[0] = vec![ignored, found];
    let (losses, gradient) = loss(&output, &objects, &LossSettings::default());
    assert_eq!((losses.iou, losses.cls, losses.foreground), (without.iou, without.cls, without.foreground));
    assert_eq!((losses.objects, losses.obj < without.obj), (1, true));

    let matches = assign(output.image(0), &grid, &[found], CenterRadius::R1_5);
    let (mut left_out, mut kept_inside) = (0, 0);
    for (index, anchor) in grid.iter().enumerate() {
        let matched = matches.iter().any(|found| found.anchor == index);
        let row = index * output.row()..(index + 1) * output.row();
        if inside(anchor) && !matched {
            assert!(gradient[row].iter().all(|&slope| slope == 0.0), "{anchor:?}");
            left_out += 1;
        } else {
            assert_eq!(gradient[row.clone()], all[row], "{anchor:?}");
            kept_inside += usize::from(inside(anchor));
        }
    }
    assert!(left_out > 3 && kept_inside > 0, "{left_out} {kept_inside}");

    objects[0] = vec![ignored];
    let (alone, gradient) = loss(&output, &objects, &LossSettings::default());
    assert_eq!((alone.foreground, alone.objects, alone.iou), (0, 0, 0.0));
    let counted = gradient.iter().filter(|&&slope| slope != 0.0).count();
    assert_eq!(counted, grid.iter().filter(|anchor| !inside(anchor)).count());
}

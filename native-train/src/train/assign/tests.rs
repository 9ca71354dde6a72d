use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use shared_model::anchors;

const CLASSES: usize = 4;
const ROW: usize = 5 + CLASSES;

/// Raw rows that say about what the objects are near their centres, so that IoUs are of every size, and objects.
fn random_image(rng: &mut Pcg64Mcg, size: (usize, usize), count: usize) -> (Vec<f32>, Vec<Anchor>, Vec<Object>) {
    let (height, width) = size;
    let grid = anchors(height, width);
    let object = |rng: &mut Pcg64Mcg| Object {
        class: rng.random_range(0..CLASSES),
        cx: rng.random_range(-0.1..1.1) * width as f32,
        cy: rng.random_range(-0.1..1.1) * height as f32,
        w: rng.random_range(0.02..0.9f32).powi(2) * width as f32,
        h: rng.random_range(0.02..0.9f32).powi(2) * height as f32,
        ignored: false,
    };
    let objects: Vec<_> = (0..count).map(|_| object(rng)).collect();
    let mut rows = Vec::new();
    for anchor in &grid {
        let ideal = match objects.get(rng.random_range(0..count.max(1))) {
            Some(object) => object.encoded(anchor),
            None => [0.0; 4],
        };
        rows.extend(ideal.map(|value| value + rng.random_range(-0.6..0.6)));
        rows.extend((0..=CLASSES).map(|_| rng.random_range(-4.0..3.0f32)));
    }
    (rows, grid, objects)
}

/// The same in the paper's form: whole matrices over objects and all anchors, in double precision, nothing shared with
/// the code under test.
fn naive(rows: &[f32], grid: &[Anchor], objects: &[Object], rule: CenterRadius) -> Vec<Option<usize>> {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
    let radius = if rule == CenterRadius::R1_5 { 1.5 } else { 2.5 };
    let (mut ious, mut costs, mut candidate) = (Vec::new(), Vec::new(), vec![false; grid.len()]);
    for object in objects {
        let [cx, cy, w, h] = [object.cx, object.cy, object.w, object.h].map(f64::from);
        let (mut iou_row, mut cost_row) = (Vec::new(), Vec::new());
        for (a, anchor) in grid.iter().enumerate() {
            let row: Vec<f64> = rows[a * ROW..][..ROW].iter().copied().map(f64::from).collect();
            let [gx, gy, stride] = [anchor.x, anchor.y, anchor.stride].map(f64::from);
            let (px, py) = ((gx + 0.5) * stride, (gy + 0.5) * stride);
            let centre = (px - cx).abs().max((py - cy).abs()) < radius * stride;
            let inside = (px - cx).abs() < w / 2.0 && (py - cy).abs() < h / 2.0;
            let (any, all) = match rule {
                CenterRadius::R1_5 => (centre, centre),
                CenterRadius::R2_5 => (centre | inside, centre & inside),
            };
            candidate[a] |= any;
            let (bx, by) = ((row[0] + gx) * stride, (row[1] + gy) * stride);
            let (bw, bh) = (row[2].exp() * stride, row[3].exp() * stride);
            let overlap = |c: f64, size: f64, b: f64, b_size: f64| {
                ((c + size / 2.0).min(b + b_size / 2.0) - (c - size / 2.0).max(b - b_size / 2.0)).max(0.0)
            };
            let both = overlap(cx, w, bx, bw) * overlap(cy, h, by, bh);
            let iou = both / (w * h + bw * bh - both);
            let cross_entropy = |class: usize| {
                let p = (sigmoid(rows[a * ROW + 5 + class]) * sigmoid(rows[a * ROW + 4])).sqrt();
                if class == object.class { -p.ln() } else { -(1.0 - p).ln() }
            };
            let class_cost: f64 = (0..CLASSES).map(cross_entropy).sum();
            let penalty = if all { 0.0 } else { 1e5 };
            iou_row.push(iou);
            cost_row.push(class_cost - 3.0 * (iou + 1e-8).ln() + penalty);
        }
        ious.push(iou_row);
        costs.push(cost_row);
    }
    let candidates: Vec<usize> = (0..grid.len()).filter(|&a| candidate[a]).collect();
    let mut takes = vec![vec![false; grid.len()]; objects.len()];
    for (i, takes) in takes.iter_mut().enumerate() {
        let mut best: Vec<f64> = candidates.iter().map(|&a| ious[i][a]).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        let k = (best.iter().take(10).sum::<f64>() as usize).max(1);
        let mut cheapest = candidates.clone();
        cheapest.sort_by(|&a, &b| costs[i][a].total_cmp(&costs[i][b]));
        cheapest.iter().take(k).for_each(|&a| takes[a] = true);
    }
    let winner = |a: usize| {
        let mut takers = (0..objects.len()).filter(|&i| takes[i][a]);
        match (takers.next(), takers.next()) {
            (first, None) => first,
            _ => (0..objects.len()).min_by(|&i, &j| costs[i][a].total_cmp(&costs[j][a])),
        }
    };
    (0..grid.len()).map(winner).collect()
}

#[test]
fn equals_the_paper_s_matrices() {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let (mut matches, mut shared_out) = (0, 0);
    for round in 0..60 {
        let size = [(64, 96), (160, 128), (256, 256)][round % 3];
        let (rows, grid, objects) = random_image(&mut rng, size, round % 12);
        for rule in [CenterRadius::R1_5, CenterRadius::R2_5] {
            let mut found = vec![None; grid.len()];
            let assigned = assign(&rows, &grid, &objects, rule);
            assert!(assigned.is_sorted_by_key(|found| found.anchor));
            for Assignment { anchor, object, iou } in assigned {
                assert_eq!(iou, grid[anchor].decode(&rows[anchor * ROW..]).iou(&objects[object].bbox()));
                found[anchor] = Some(object);
            }
            assert_eq!(found, naive(&rows, &grid, &objects, rule), "round {round}, {rule:?}");
            matches += found.iter().flatten().count();
            shared_out += usize::from(objects.len() > 1);
        }
    }
    assert!(matches > 1000 && shared_out > 50, "{matches} matches: the images prove little");
}

fn object(cx: f32, cy: f32, w: f32, h: f32) -> Object {
    Object { class: 1, cx, cy, w, h, ignored: false }
}

#[test]
fn a_tiny_object_gets_the_anchor_at_its_centre() {
    let grid = anchors(64, 64);
    // Every anchor says its own cell.
    let rows = [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0].repeat(grid.len());
    let found = assign(&rows, &grid, &[object(20.0, 12.0, 2.0, 2.0)], CenterRadius::R1_5);
    assert_eq!(found.len(), 1, "no box fits well, so it gets one anchor");
    assert_eq!(grid[found[0].anchor], Anchor { x: 2.0, y: 1.0, stride: 8.0 }, "the best box: the smallest cell");
}

#[test]
fn objects_without_candidates() {
    let grid = anchors(64, 64);
    let rows = vec![0.0; grid.len() * ROW];
    for rule in [CenterRadius::R1_5, CenterRadius::R2_5] {
        assert!(assign(&rows, &grid, &[], rule).is_empty());
        assert!(assign(&rows, &grid, &[object(500.0, 500.0, 10.0, 10.0)], rule).is_empty());
        // Another object's candidates are dear but there, as in Megvii's code.
        let both = [object(30.0, 30.0, 20.0, 20.0), object(500.0, 500.0, 10.0, 10.0)];
        let found = assign(&rows, &grid, &both, rule);
        assert!(found.iter().any(|found| found.object == 0), "{found:?}");
        assert!(found.iter().all(|found| found.object == 0 || found.iou == 0.0), "{found:?}");
    }
}

#[test]
fn two_objects_in_one_place_share_out_its_anchors() {
    let grid = anchors(64, 64);
    let rows: Vec<f32> = grid
        .iter()
        .flat_map(|anchor| {
            object(32.0, 32.0, 30.0, 30.0).encoded(anchor).into_iter().chain([0.0, -1.0, 2.0, -1.0, -1.0])
        })
        .collect();
    let objects = [Object { class: 0, ..object(32.0, 32.0, 30.0, 30.0) }, object(32.0, 32.0, 30.0, 30.0)];
    let found = assign(&rows, &grid, &objects, CenterRadius::R1_5);
    assert_eq!(found.len(), 10, "ten perfect boxes");
    assert!(found.iter().all(|found| found.object == 1), "all look like class 1: {found:?}");
}

#[test]
fn numbers_that_are_none_do_no_harm() {
    let grid = anchors(64, 64);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
        let rows = vec![value; grid.len() * ROW];
        for rule in [CenterRadius::R1_5, CenterRadius::R2_5] {
            assign(&rows, &grid, &[object(20.0, 20.0, 9.0, 9.0), object(f32::NAN, 1.0, f32::INFINITY, 0.0)], rule);
        }
    }
}

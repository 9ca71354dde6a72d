//! Lines between layers that cross no other layer's cell on their way along a row.

use std::fmt::Write as _;

use super::layout::{CELL, LayerCell};
const HALF: f64 = CELL / 2.0;
/// How far above a row a line passes over its cells.
const ARC: f64 = 14.0;
/// From a cell to where a line turns.
const TURN: f64 = 7.0;
/// Radius of a turn.
const RADIUS: f64 = 5.0;

/// The line from a layer to one that reads it, as an SVG path.
pub fn route(cells: &[LayerCell], from: usize, to: usize) -> String {
    let (start, end) = (cells[from], cells[to]);
    let is_free = |y: f64| cells.iter().all(|cell| (cell.y - y).abs() >= HALF || cell.x <= start.x || cell.x >= end.x);
    let (left, right) = (start.x + HALF, end.x - HALF);
    if (start.y - end.y).abs() < 1e-6 {
        return if is_free(start.y) {
            format!("M{left} {}H{right}", start.y)
        } else {
            // Over the cells in between.
            let y = start.y - ARC;
            path(&[(start.x, start.y - HALF), (start.x, y), (end.x, y), (end.x, end.y - HALF)])
        };
    }
    // Downwards a line turns at its beginning, upwards at its end: so branches part and join where they belong.
    if end.y > start.y {
        let turn = left + TURN;
        if is_free(end.y) {
            path(&[(left, start.y), (turn, start.y), (turn, end.y), (right, end.y)])
        } else {
            let y = end.y - ARC;
            path(&[(left, start.y), (turn, start.y), (turn, y), (end.x, y), (end.x, end.y - HALF)])
        }
    } else {
        let turn = right - TURN;
        if is_free(start.y) {
            path(&[(left, start.y), (turn, start.y), (turn, end.y), (right, end.y)])
        } else {
            let y = start.y - ARC;
            path(&[(start.x, start.y - HALF), (start.x, y), (turn, y), (turn, end.y), (right, end.y)])
        }
    }
}

/// A path through these points with rounded turns.
fn path(points: &[(f64, f64)]) -> String {
    let mut path = format!("M{} {}", points[0].0, points[0].1);
    for corner in points.windows(3) {
        let [before, here, after] = [corner[0], corner[1], corner[2]];
        let near = |other: (f64, f64)| {
            let (dx, dy) = (other.0 - here.0, other.1 - here.1);
            let length = dx.hypot(dy).max(1e-6);
            let radius = RADIUS.min(length / 2.0) / length;
            (here.0 + dx * radius, here.1 + dy * radius)
        };
        let (a, b) = (near(before), near(after));
        let _ = write!(path, "L{} {}Q{} {} {} {}", a.0, a.1, here.0, here.1, b.0, b.1);
    }
    let end = points[points.len() - 1];
    let _ = write!(path, "L{} {}", end.0, end.1);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> LayerCell {
        LayerCell { x, y }
    }

    #[test]
    fn a_line_passes_over_what_stands_in_its_way() {
        let row = [at(0.0, 50.0), at(40.0, 50.0), at(80.0, 50.0)];
        assert_eq!(route(&row, 0, 1), "M9 50H31");
        let over = route(&row, 0, 2);
        assert!(over.contains(" 36"), "{over}");
    }

    #[test]
    fn branches_part_at_their_beginning_and_join_at_their_end() {
        let split = [at(0.0, 0.0), at(90.0, 40.0), at(45.0, 0.0)];
        assert!(route(&split, 0, 1).contains("Q16 0"), "{}", route(&split, 0, 1));
        let join = [at(0.0, 40.0), at(90.0, 0.0)];
        assert!(route(&join, 0, 1).contains("Q74 40"), "{}", route(&join, 0, 1));
    }
}

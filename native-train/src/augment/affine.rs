//! AffineMap maps of the plane. Coordinates are continuous: pixel `i` covers `i..i + 1`.

use shared_model::BBox;

/// `x' = m[0][0] x + m[0][1] y + m[0][2]`, `y'` likewise with `m[1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AffineMap(pub(crate) [[f64; 3]; 2]);

impl AffineMap {
    pub(crate) fn translation(x: f64, y: f64) -> Self {
        Self([[1.0, 0.0, x], [0.0, 1.0, y]])
    }

    pub(crate) fn scale(x: f64, y: f64) -> Self {
        Self([[x, 0.0, 0.0], [0.0, y, 0.0]])
    }

    /// About the origin, in radians.
    pub(crate) fn rotation(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self([[cos, -sin, 0.0], [sin, cos, 0.0]])
    }

    /// Leans x by the angle `x` for each y, and y by the angle `y` for each x; in radians.
    pub(crate) fn shear(x: f64, y: f64) -> Self {
        Self([[1.0, x.tan(), 0.0], [y.tan(), 1.0, 0.0]])
    }

    /// From left to right within `0..width`.
    pub(crate) fn mirror(width: f64) -> Self {
        Self([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])
    }

    /// This map, then `next`.
    pub(crate) fn then(&self, next: &Self) -> Self {
        let entry = |row: usize, column: usize| {
            let Self(a) = self;
            let shift = if column == 2 { next.0[row][2] } else { 0.0 };
            next.0[row][0] * a[0][column] + next.0[row][1] * a[1][column] + shift
        };
        Self([0, 1].map(|row| [0, 1, 2].map(|column| entry(row, column))))
    }

    pub(crate) fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.0.map(|[a, b, c]| a * x + b * y + c)
    }

    /// By how much areas grow.
    pub(crate) fn area_factor(&self) -> f64 {
        let Self([[a, b, _], [c, d, _]]) = self;
        (a * d - b * c).abs()
    }

    /// The map back, of a map that does not flatten the plane.
    pub(crate) fn inverse(&self) -> Self {
        let Self([[a, b, x], [c, d, y]]) = *self;
        let determinant = a * d - b * c;
        let [[a, b], [c, d]] = [[d, -b], [-c, a]].map(|row| row.map(|entry| entry / determinant));
        Self([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])
    }

    /// The upright box around what `b` becomes.
    pub(crate) fn bounds(&self, b: BBox) -> BBox {
        let [x1, y1, x2, y2] = [b.x1, b.y1, b.x2, b.y2].map(f64::from);
        let corners =
            [[x1, y1], [x2, y1], [x1, y2], [x2, y2]].map(|corner| self.apply(corner).map(|value| value as f32));
        let least = |axis: usize| corners.iter().fold(f32::INFINITY, |least, corner| least.min(corner[axis]));
        let most = |axis: usize| corners.iter().fold(f32::NEG_INFINITY, |most, corner| most.max(corner[axis]));
        BBox { x1: least(0), y1: least(1), x2: most(0), y2: most(1) }
    }
}

/// The part of `b` that lies in `frame`.
pub(crate) fn clip(b: BBox, frame: BBox) -> BBox {
    let x = |value: f32| value.clamp(frame.x1, frame.x2);
    let y = |value: f32| value.clamp(frame.y1, frame.y2);
    BBox { x1: x(b.x1), y1: y(b.y1), x2: x(b.x2), y2: y(b.y2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_follow_each_other_and_go_back() {
        let maps = [
            AffineMap::translation(3.0, -2.0),
            AffineMap::rotation(0.3),
            AffineMap::shear(0.1, -0.2),
            AffineMap::scale(1.5, 0.5),
            AffineMap::mirror(10.0),
        ];
        let all = maps.iter().fold(AffineMap::scale(1.0, 1.0), |all, map| all.then(map));
        let start = [7.0, 11.0];
        let expected = maps.iter().fold(start, |point, map| map.apply(point));
        let close = |a: [f64; 2], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close(all.apply(start), expected));
        assert!(close(all.inverse().apply(expected), start));
        let shear = 1.0 - 0.1f64.tan() * -0.2f64.tan();
        assert!((all.area_factor() - 0.75 * shear.abs()).abs() < 0.05 && (maps[3].area_factor() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn the_box_around_a_turned_box_touches_its_corners() {
        let b = AffineMap::rotation(std::f64::consts::FRAC_PI_4).bounds(BBox { x1: 0.0, y1: 0.0, x2: 1.0, y2: 1.0 });
        let half = std::f32::consts::FRAC_1_SQRT_2;
        for (found, expected) in [(b.x1, -half), (b.y1, 0.0), (b.x2, half), (b.y2, 2.0 * half)] {
            assert!((found - expected).abs() < 1e-6, "{b:?}");
        }
    }
}

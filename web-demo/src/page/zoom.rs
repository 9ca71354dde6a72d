//! The part of the picture that is on show, the same in all panels.

/// The most a picture is enlarged beside its whole.
const MAX_SCALE: f64 = 16.0;

/// A window onto the picture; the unit is the picture's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zoom {
    /// How much larger than the whole picture it is shown.
    pub scale: f64,
    /// Left edge of the window: 0 to `1 - 1 / scale`.
    pub x: f64,
    /// Top edge of the window, in the same range.
    pub y: f64,
}

impl Default for Zoom {
    /// The whole picture.
    fn default() -> Self {
        Self { scale: 1.0, x: 0.0, y: 0.0 }
    }
}

impl Zoom {
    /// Enlarged by `factor`, so that what is at `(px, py)` of the window (0 to 1) stays there.
    pub fn by(self, factor: f64, (px, py): (f64, f64)) -> Self {
        let scale = (self.scale * factor).clamp(1.0, MAX_SCALE);
        let moved = 1.0 / self.scale - 1.0 / scale;
        Self { scale, x: self.x + px * moved, y: self.y + py * moved }.within()
    }

    /// Moved by parts of the window, as a hand moves the picture: to the right, and more of its left side is seen.
    pub fn dragged(self, (dx, dy): (f64, f64)) -> Self {
        Self { x: self.x - dx / self.scale, y: self.y - dy / self.scale, ..self }.within()
    }

    /// The point of the picture (0 to 1) at `(px, py)` of the window.
    pub fn at(self, (px, py): (f64, f64)) -> (f64, f64) {
        (self.x + px / self.scale, self.y + py / self.scale)
    }

    /// Whether the whole picture is on show.
    pub fn is_whole(self) -> bool {
        self.scale <= 1.0
    }

    fn within(self) -> Self {
        let end = 1.0 - 1.0 / self.scale;
        Self { x: self.x.clamp(0.0, end), y: self.y.clamp(0.0, end), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_under_the_pointer_stays() {
        let zoom = Zoom::default().by(2.0, (0.25, 0.75)).by(1.5, (0.5, 0.5));
        let before = zoom.at((0.3, 0.6));
        let after = zoom.by(1.7, (0.3, 0.6)).at((0.3, 0.6));
        assert!((before.0 - after.0).abs() < 1e-12 && (before.1 - after.1).abs() < 1e-12);
    }

    #[test]
    fn the_window_stays_on_the_picture() {
        let zoom = Zoom::default().by(2.0, (0.0, 0.0));
        assert_eq!((zoom.x, zoom.y), (0.0, 0.0));
        assert_eq!(zoom.dragged((-5.0, 0.5)), Zoom { scale: 2.0, x: 0.5, y: 0.0 });
        assert_eq!(zoom.by(0.01, (0.5, 0.5)), Zoom::default());
        assert_eq!(zoom.by(1e9, (0.5, 0.5)).scale, MAX_SCALE);
    }

    #[test]
    fn dragging_moves_the_picture_with_the_hand() {
        let zoom = Zoom { scale: 4.0, x: 0.5, y: 0.5 };
        let seen = zoom.at((0.5, 0.5));
        let moved = zoom.dragged((0.1, -0.2));
        let now = moved.at((0.6, 0.3));
        assert!((seen.0 - now.0).abs() < 1e-12 && (seen.1 - now.1).abs() < 1e-12);
    }
}

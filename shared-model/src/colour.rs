//! A colour for every class, the same on the page and on the command line's images, and black or white to write on it.

/// Angle between the hues of neighbouring classes: the golden angle spreads any number of them evenly.
const GOLDEN_ANGLE: f64 = 137.508;

/// A class's colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colour {
    red: f64,
    green: f64,
    blue: f64,
}

impl Colour {
    /// The colour of a class, always the same.
    pub fn of_class(class: usize) -> Self {
        let hue = (class as f64 * GOLDEN_ANGLE + 25.0) % 360.0;
        // Neighbouring hues differ in lightness as well.
        let lightness = [0.60, 0.72, 0.57][class % 3];
        let chroma = (1.0 - (2.0 * lightness - 1.0_f64).abs()) * 0.85;
        let channel = |offset: f64| {
            let k = (offset + hue / 30.0) % 12.0;
            lightness - chroma / 2.0 * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
        };
        Self { red: channel(0.0), green: channel(8.0), blue: channel(4.0) }
    }

    /// A colour by its parts of 255.
    pub fn of_bytes(red: u8, green: u8, blue: u8) -> Self {
        let [red, green, blue] = [red, green, blue].map(|byte| f64::from(byte) / 255.0);
        Self { red, green, blue }
    }

    /// Its parts of 255: red, green, blue.
    pub fn bytes(self) -> [u8; 3] {
        [self.red, self.green, self.blue].map(|value| (value * 255.0).round() as u8)
    }

    /// As CSS writes it.
    pub fn css(self) -> String {
        let [red, green, blue] = self.bytes();
        format!("rgb({red} {green} {blue})")
    }

    /// Whether black reads better on it than white does: has the greater contrast (WCAG 2).
    pub fn takes_black(self) -> bool {
        self.luminance() > 0.179
    }

    /// Text on this colour, as CSS writes it: black or white.
    pub fn text(self) -> &'static str {
        if self.takes_black() { "#000" } else { "#fff" }
    }

    fn luminance(self) -> f64 {
        let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_readable() {
        for class in 0..80 {
            let colour = Colour::of_class(class);
            let text = if colour.text() == "#000" { 0.0 } else { 1.0 };
            let (light, dark) = (colour.luminance().max(text), colour.luminance().min(text));
            assert!((light + 0.05) / (dark + 0.05) >= 4.5, "class {class}: {}", colour.css());
        }
    }

    #[test]
    fn classes_are_told_apart() {
        let all: std::collections::BTreeSet<_> = (0..80).map(|class| Colour::of_class(class).css()).collect();
        assert_eq!(all.len(), 80);
    }
}

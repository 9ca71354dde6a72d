//! Figures in words.

use shared_model::evaluation::Difference;
use shared_model::{Detection, ManifestEntry, Protocol};

use crate::page::language::text;

/// Bytes, as a download's size.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", (bytes as f64 / 1e3).round()),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// "912,159".
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// "2 persons, 1 dog" would need plurals; "person x 2, dog" does not.
pub fn counts(detections: &[Detection], classes: &[String]) -> String {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for detection in detections {
        match counts.iter_mut().find(|(class, _)| *class == detection.class) {
            Some((_, count)) => *count += 1,
            None => counts.push((detection.class, 1)),
        }
    }
    let words = counts.into_iter().map(|(class, count)| {
        let name = classes.get(class).map_or("?", String::as_str);
        if count == 1 { name.to_string() } else { format!("{name} \u{d7} {count}") }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// "1 object", "3 objects".
pub fn objects(count: usize) -> String {
    match count {
        0 => text!("No objects"),
        1 => text!("1 object"),
        _ => text!("%{count} objects", count = count),
    }
}

/// "17.3 ms".
pub fn milliseconds(time: Option<f64>) -> String {
    time.map_or("\u{2013}".into(), |time| format!("{time:.1} ms"))
}

/// "75.16 %".
pub fn percent(figure: Option<f64>) -> String {
    figure.map_or("\u{2013}".into(), |figure| format!("{figure:.2} %"))
}

/// "+2.1 [−0.4, +4.6]" in points: where 0 lies in between, the pictures are too few to tell the models apart.
pub fn difference(Difference { difference, low, high }: &Difference, to_points: f64) -> String {
    let [difference, low, high] = [difference, low, high].map(|part| {
        let points = to_points * part;
        let sign = if points < 0.0 { "\u{2212}" } else { "+" };
        format!("{sign}{:.1}", points.abs())
    });
    format!("{difference} [{low}, {high}]")
}

/// A model in a list: its name, and what it is good for.
pub fn model(entry: &ManifestEntry) -> String {
    match entry.voc2007_ap50 {
        Some(ap) => text!(
            "%{name} (%{classes} classes, AP50 %{ap} % on VOC2007)",
            name = entry.name,
            classes = entry.classes,
            ap = format!("{ap:.1}")
        ),
        None => text!("%{name} (%{classes} classes)", name = entry.name, classes = entry.classes),
    }
}

/// What the weights of a comparison have in common.
pub fn comparison(comparison: Option<Protocol>) -> String {
    match comparison {
        Some(Protocol::Random) => text!("From random weights: what the structure is worth"),
        Some(Protocol::Teacher) => text!("Taught by COCO's weights: what to use"),
        None => text!("Other weights"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::BBox;

    #[test]
    fn figures() {
        assert_eq!(bytes(912_345), "912 kB");
        assert_eq!(bytes(3_712_345), "3.7 MB");
        assert_eq!(thousands(912_159), "912,159");
        assert_eq!(thousands(12), "12");
        assert_eq!(milliseconds(Some(17.26)), "17.3 ms");
        assert_eq!(percent(None), "\u{2013}");
    }

    #[test]
    fn objects_are_counted_by_class() {
        let bbox = BBox { x1: 0.0, y1: 0.0, x2: 1.0, y2: 1.0 };
        let found = [1, 0, 1].map(|class| Detection { class, score: 0.5, bbox });
        assert_eq!(counts(&found, &["cat".into(), "dog".into()]), "dog \u{d7} 2, cat");
    }
}

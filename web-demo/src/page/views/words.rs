//! Figures in words.

use shared_model::Detection;

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
    format!("{count} object{}", if count == 1 { "" } else { "s" })
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
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
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn objects_are_counted_by_class() {
        let bbox = BBox { x1: 0.0, y1: 0.0, x2: 1.0, y2: 1.0 };
        let found = [1, 0, 1].map(|class| Detection { class, score: 0.5, bbox });
        assert_eq!(counts(&found, &["cat".into(), "dog".into()]), "dog \u{d7} 2, cat");
    }
}

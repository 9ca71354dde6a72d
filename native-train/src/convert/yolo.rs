//! YOLO's text with ultralytics' `data.yaml`.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Conversion, Writer, Written, check_split, cut, stem};

/// Writes the data set: `images/SPLIT`, `labels/SPLIT`, `data.yaml`. The text cannot mark objects as difficult.
pub(super) fn write(set: &Conversion, writer: &Writer<'_>) -> Result<Written> {
    let mut written = Written::default();
    let mut yaml = String::new();
    for split in &set.splits {
        check_split(&split.name)?;
        for image in &split.images {
            writer.image(&format!("images/{}", split.name), image)?;
            let size = image.size.map(|side| side as f64);
            let mut text = String::new();
            for annotated in &image.objects {
                let object = &annotated.object;
                let mut parts = parts(object.bbox.corners(), size);
                // Others refuse such numbers.
                if parts.iter().any(|part| !(0.0..=1.0).contains(part)) {
                    let Some(inside) = cut(&object.bbox, size) else {
                        written.dropped += 1;
                        continue;
                    };
                    parts = self::parts(inside.corners(), size);
                    written.cut += 1;
                }
                let class = set.classes.iter().position(|class| class.name == object.class);
                let [cx, cy, w, h] = parts;
                writeln!(text, "{} {cx} {cy} {w} {h}", class.expect("all classes were collected"))?;
                written.objects += 1;
                written.unmarked += usize::from(object.difficult);
            }
            writer.text(&format!("labels/{}/{}.txt", split.name, stem(&image.file_name)), &text)?;
            written.images += 1;
        }
        writeln!(yaml, "{}: {}", quoted(&split.name), quoted(&format!("images/{}", split.name)))?;
    }
    writeln!(yaml, "nc: {}\nnames:", set.classes.len())?;
    for (i, class) in set.classes.iter().enumerate() {
        writeln!(yaml, "  {i}: {}", quoted(&class.name))?;
    }
    writer.text("data.yaml", &yaml)?;
    Ok(written)
}

/// Centre and size, in parts of the image's width and height.
fn parts([x1, y1, x2, y2]: [f64; 4], [width, height]: [f64; 2]) -> [f64; 4] {
    [(x1 + x2) / 2.0 / width, (y1 + y2) / 2.0 / height, (x2 - x1) / width, (y2 - y1) / height]
}

/// As YAML, which takes JSON's strings; plain where nothing could be misunderstood.
fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-/".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_plain { text.into() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_yaml_would_misunderstand_are_quoted() {
        for (name, text) in [
            ("cat", "cat"),
            ("no", "\"no\""),
            ("8", "\"8\""),
            ("a: b", "\"a: b\""),
            ("traffic light", "\"traffic light\""),
        ] {
            assert_eq!(quoted(name), text);
        }
    }
}

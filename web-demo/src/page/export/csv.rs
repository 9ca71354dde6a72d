//! Figures as CSV (RFC 4180): one line a box, one a miss.

use super::Content;
use crate::page::compare::Standing;
use crate::page::truth::DetectionOutcome;

/// The text of the file.
pub fn csv(content: &Content) -> String {
    let mut text = String::from("picture,model,object,class,standing,score,x1,y1,x2,y2,outcome\r\n");
    for (object, group) in content.comparison.groups.iter().enumerate() {
        for (panel, model) in content.models.iter().enumerate() {
            let standing = match group.standings[panel] {
                Standing::All => "all",
                Standing::Some => "some",
                Standing::Only => "only",
                Standing::Missed => "missed",
                Standing::Unknown => "unknown class",
                Standing::Waiting => continue,
            };
            let mut fields = vec![
                quoted(&content.picture),
                quoted(&model.name),
                (object + 1).to_string(),
                quoted(&group.class),
                standing.into(),
            ];
            let seen = content.comparison.seen[panel].as_ref();
            match group.boxes[panel].and_then(|place| Some((place, seen?.detections[place]))) {
                Some((place, found)) => {
                    let b = found.bbox;
                    fields.extend([found.score, b.x1, b.y1, b.x2, b.y2].map(|value| value.to_string()));
                    let judgement = content.comparison.judgements[panel].as_ref();
                    fields.push(match judgement.map(|judgement| judgement.detections[place]) {
                        Some(DetectionOutcome::Hit(_)) => "hit".into(),
                        Some(DetectionOutcome::FalseAlarm) => "false alarm".into(),
                        Some(DetectionOutcome::Ignored) => "ignored".into(),
                        None => String::new(),
                    });
                }
                None => fields.extend(std::iter::repeat_n(String::new(), 6)),
            }
            text += &fields.join(",");
            text += "\r\n";
        }
    }
    text
}

/// A field, in quotation marks where it needs them.
fn quoted(field: &str) -> String {
    // What a spreadsheet would take for a formula gets an apostrophe in front.
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_string() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("cat.jpg"), "cat.jpg");
        assert_eq!(quoted("a, \"b\".jpg"), "\"a, \"\"b\"\".jpg\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
    }
}

//! Figures as CSV (RFC 4180): one line a box, one a miss.

use super::Snapshot;
use crate::page::compare::Agreement;
use crate::page::truth::DetectionOutcome;

/// The text of the file.
pub fn csv(content: &Snapshot) -> String {
    let mut text = String::from("picture,model,input_size,object,class,standing,score,x1,y1,x2,y2,outcome\r\n");
    for (number, object) in content.comparison.objects.iter().enumerate() {
        for (panel, model) in content.models.iter().enumerate() {
            let agreement = match object.agreements[panel] {
                Agreement::All => "all",
                Agreement::Some => "some",
                Agreement::Only => "only",
                Agreement::Missed => "missed",
                Agreement::Unknown => "unknown class",
                Agreement::Waiting => continue,
            };
            let mut fields = vec![
                quoted(&content.picture),
                quoted(&model.name),
                model.input_size.map_or(String::new(), |side| side.to_string()),
                (number + 1).to_string(),
                quoted(&object.class),
                agreement.into(),
            ];
            let seen = content.comparison.predictions[panel].as_ref();
            match object.boxes[panel].and_then(|place| Some((place, seen?.detections[place]))) {
                Some((place, found)) => {
                    let b = found.bbox;
                    fields.extend([found.score, b.x1, b.y1, b.x2, b.y2].map(|value| value.to_string()));
                    let evaluation = content.comparison.evaluations[panel].as_ref();
                    fields.push(match evaluation.map(|evaluation| evaluation.detections[place]) {
                        Some(DetectionOutcome::TruePositive(_)) => "hit".into(),
                        Some(DetectionOutcome::FalsePositive) => "false alarm".into(),
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
pub(super) fn quoted(field: &str) -> String {
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

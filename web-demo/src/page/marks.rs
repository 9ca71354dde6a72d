//! What is drawn over the picture in a panel: boxes and what they mean, before anybody says how they look.

use shared_model::{BBox, Detection};

use super::compare::{Agreement, Comparison};
use super::truth::{DetectionOutcome, ObjectOutcome};

/// A box over the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where it is, in pixels of the picture.
    pub bbox: BBox,
    /// What is written on it.
    pub label: String,
    pub meaning: Meaning,
    /// The object it belongs to, by its place in [`Comparison::objects`].
    pub object: Option<usize>,
}

/// What a box means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// There is nothing to compare it with: an object of this class.
    Class(usize),
    /// All panels find it.
    All,
    /// Some others find it.
    Some,
    /// Only this panel finds it.
    Only,
    /// Others find it, this panel does not.
    Missed,
    /// It is really there.
    TruePositive,
    /// Nothing is really there.
    FalsePositive,
    /// What is really there does not count.
    Ignored,
    /// It is really there, and this panel does not find it.
    FalseNegative,
}

/// The marks of a panel, the surest boxes first.
pub fn marks(comparison: &Comparison, panel: usize, differences_only: bool) -> Vec<Mark> {
    let Some(Some(seen)) = comparison.predictions.get(panel) else { return Vec::new() };
    let evaluation = comparison.evaluations.get(panel).and_then(Option::as_ref);
    let is_alone = comparison.predictions.len() < 2;
    let mut marks = Vec::new();
    for (i, object) in comparison.objects.iter().enumerate() {
        if differences_only && !is_alone && object.is_agreed() {
            continue;
        }
        if let Some(place) = object.boxes[panel] {
            let Detection { class, score, bbox } = seen.detections[place];
            let name = seen.classes.get(class).map_or("?", String::as_str);
            let meaning = match evaluation.map(|evaluation| evaluation.detections[place]) {
                Some(DetectionOutcome::TruePositive(_)) => Meaning::TruePositive,
                Some(DetectionOutcome::FalsePositive) => Meaning::FalsePositive,
                Some(DetectionOutcome::Ignored) => Meaning::Ignored,
                None if is_alone => Meaning::Class(class),
                None => match object.agreements[panel] {
                    Agreement::All => Meaning::All,
                    Agreement::Only => Meaning::Only,
                    _ => Meaning::Some,
                },
            };
            marks.push(Mark { bbox, label: format!("{name} {score:.2}"), meaning, object: Some(i) });
        } else if evaluation.is_none() && object.is(panel, Agreement::Missed) {
            marks.push(Mark {
                bbox: object.bbox,
                label: format!("\u{2715} {}", object.class),
                meaning: Meaning::Missed,
                object: Some(i),
            });
        }
    }
    if let (Some(evaluation), Some(truth)) = (evaluation, &comparison.truth) {
        for (object, outcome) in truth.objects.iter().zip(&evaluation.objects) {
            if *outcome == ObjectOutcome::FalseNegative {
                let label = format!("\u{2715} {}", object.class);
                marks.push(Mark { bbox: object.bbox, label, meaning: Meaning::FalseNegative, object: None });
            }
        }
    }
    marks
}

/// The smallest mark at a point of the picture: boxes inside others can be reached.
pub fn hit(marks: &[Mark], x: f32, y: f32) -> Option<usize> {
    let holds = |b: &BBox| (b.x1..=b.x2).contains(&x) && (b.y1..=b.y2).contains(&y);
    let under = marks.iter().filter(|mark| holds(&mark.bbox));
    under.min_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area())).and_then(|mark| mark.object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::compare::Predictions;
    use crate::page::truth::{GroundTruth, TruthObject};

    fn detection(class: usize, score: f32, x1: f32, x2: f32) -> Detection {
        Detection { class, score, bbox: BBox { x1, y1: 0.0, x2, y2: 10.0 } }
    }

    fn comparison(panels: Vec<Vec<Detection>>, objects: Option<Vec<TruthObject>>) -> Comparison {
        let truth = objects.map(|objects| GroundTruth { objects, classes: None, note: None });
        let predictions = |detections| Some(Predictions { detections, classes: vec!["cat".into(), "dog".into()] });
        Comparison::new(panels.into_iter().map(predictions).collect(), truth.map(Into::into))
    }

    fn meanings(marks: &[Mark]) -> Vec<Meaning> {
        marks.iter().map(|mark| mark.meaning).collect()
    }

    #[test]
    fn a_panel_alone_shows_classes() {
        let alone = comparison(vec![vec![detection(1, 0.5, 0.0, 10.0)]], None);
        let marks = marks(&alone, 0, true);
        assert_eq!(meanings(&marks), [Meaning::Class(1)]);
        assert_eq!(marks[0].label, "dog 0.50");
    }

    #[test]
    fn a_panel_shows_what_it_misses_and_differences_leave_out_what_all_find() {
        let both = detection(0, 0.9, 0.0, 10.0);
        let two = comparison(vec![vec![both, detection(1, 0.5, 50.0, 60.0)], vec![both]], None);
        assert_eq!(meanings(&marks(&two, 0, false)), [Meaning::All, Meaning::Only]);
        assert_eq!(meanings(&marks(&two, 1, false)), [Meaning::All, Meaning::Missed]);
        assert_eq!(meanings(&marks(&two, 1, true)), [Meaning::Missed]);
    }

    #[test]
    fn truth_decides_what_boxes_mean() {
        let object = |x1: f32, difficult| {
            let bbox = BBox { x1, y1: 0.0, x2: x1 + 10.0, y2: 10.0 };
            TruthObject { class: "cat".into(), bbox, difficult }
        };
        let truth = vec![object(0.0, false), object(50.0, true), object(90.0, false)];
        let found = vec![detection(0, 0.9, 0.0, 10.0), detection(0, 0.8, 50.0, 60.0), detection(1, 0.7, 20.0, 30.0)];
        let evaluated = comparison(vec![found], Some(truth));
        let expected = [Meaning::TruePositive, Meaning::Ignored, Meaning::FalsePositive, Meaning::FalseNegative];
        assert_eq!(meanings(&marks(&evaluated, 0, false)), expected);
    }

    #[test]
    fn the_smallest_box_under_the_pointer_is_hit() {
        let nested = comparison(vec![vec![detection(0, 0.9, 0.0, 100.0), detection(0, 0.5, 40.0, 60.0)]], None);
        let marks = marks(&nested, 0, false);
        assert_eq!(hit(&marks, 50.0, 5.0), Some(1));
        assert_eq!(hit(&marks, 10.0, 5.0), Some(0));
        assert_eq!(hit(&marks, 10.0, 11.0), None);
    }
}

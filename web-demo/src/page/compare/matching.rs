//! Boxes of several models on one picture, matched: what do all find, what only one, what does one miss?

use std::collections::{BTreeMap, BTreeSet};

use shared_model::{BBox, Detection};

/// Boxes of one class in two panels are the same object from this overlap (IoU) on.
pub const SAME_OBJECT: f32 = 0.5;

/// What a panel shows of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Boxes in order of falling score.
    pub detections: Vec<Detection>,
    /// Names of the model's classes.
    pub classes: Vec<String>,
}

/// An object that at least one panel found.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchedObject {
    /// Its class, under the name that models of different data sets have in common.
    pub class: String,
    /// Where the panel that is surest of it sees it.
    pub bbox: BBox,
    /// Per panel: its box, by the place in [`Predictions::detections`].
    pub boxes: Vec<Option<usize>>,
    /// Per panel: what its box, or the lack of one, means beside the others.
    pub agreements: Vec<Agreement>,
}

/// What a panel makes of an object, beside the other panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Every panel that has looked finds it.
    All,
    /// Others find it too, but not all.
    Some,
    /// No other panel finds it.
    Only,
    /// Others find it, this one does not.
    Missed,
    /// Others find it; it is not among the classes of this panel's model.
    Unknown,
    /// The panel has not looked yet.
    Waiting,
}

/// Matches the boxes of several panels; `None` stands for a panel that has not looked yet.
///
/// Greedy: the surest boxes found objects, and every further box of another panel joins the object whose founder it overlaps
/// most, by [`SAME_OBJECT`] or more. The objects come in order of falling score.
pub fn match_objects(panels: &[Option<&Predictions>]) -> Vec<MatchedObject> {
    let names: Vec<Vec<&str>> = panels.iter().map(|seen| seen.map(canonical_names).unwrap_or_default()).collect();
    let mut all: Vec<(usize, usize, Detection)> = Vec::new();
    for (panel, seen) in panels.iter().enumerate() {
        all.extend(seen.iter().flat_map(|seen| seen.detections.iter().enumerate().map(move |(i, d)| (panel, i, *d))));
    }
    // Stable: of equal scores, the first panel's is the founder.
    all.sort_by(|a, b| b.2.score.total_cmp(&a.2.score));
    let mut objects: Vec<MatchedObject> = Vec::new();
    let mut of_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (panel, i, detection) in all {
        let class = names[panel].get(detection.class).copied().unwrap_or("?");
        let alike = of_class.entry(class).or_default();
        let joinable = alike.iter().filter(|&&object| objects[object].boxes[panel].is_none());
        let overlaps = joinable.map(|&object| (object, objects[object].bbox.iou(&detection.bbox)));
        match overlaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, iou)| *iou >= SAME_OBJECT) {
            Some((object, _)) => objects[object].boxes[panel] = Some(i),
            None => {
                let mut boxes = vec![None; panels.len()];
                boxes[panel] = Some(i);
                alike.push(objects.len());
                objects.push(MatchedObject {
                    class: class.into(),
                    bbox: detection.bbox,
                    boxes,
                    agreements: Vec::new(),
                });
            }
        }
    }
    let known: Vec<Option<BTreeSet<&str>>> =
        panels.iter().zip(&names).map(|(seen, names)| seen.map(|_| names.iter().copied().collect())).collect();
    for object in &mut objects {
        object.agreements = agreements(object, &known);
    }
    objects
}

/// What each panel makes of an object; `known` are the classes of those that have looked.
fn agreements(object: &MatchedObject, known: &[Option<BTreeSet<&str>>]) -> Vec<Agreement> {
    let found = object.boxes.iter().flatten().count();
    let looked = known.iter().flatten().count();
    let agreement = |(known, found_here): (&Option<BTreeSet<&str>>, &Option<usize>)| match (known, found_here) {
        (None, _) => Agreement::Waiting,
        (_, Some(_)) if found == looked => Agreement::All,
        (_, Some(_)) if found == 1 => Agreement::Only,
        (_, Some(_)) => Agreement::Some,
        (Some(known), None) if known.contains(object.class.as_str()) => Agreement::Missed,
        (Some(_), None) => Agreement::Unknown,
    };
    known.iter().zip(&object.boxes).map(agreement).collect()
}

fn canonical_names(seen: &Predictions) -> Vec<&str> {
    seen.classes.iter().map(|name| shared_model::canonical_class(name)).collect()
}

impl MatchedObject {
    /// Whether all panels that have looked agree.
    pub fn is_agreed(&self) -> bool {
        self.agreements.iter().all(|agreement| matches!(agreement, Agreement::All | Agreement::Waiting))
    }

    /// Whether `agreement` is what this panel makes of it.
    pub fn is(&self, panel: usize, agreement: Agreement) -> bool {
        self.agreements.get(panel) == Some(&agreement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(classes: &[&str], boxes: &[(usize, f32, f32)]) -> Predictions {
        let detection = |&(class, score, x): &(usize, f32, f32)| Detection {
            class,
            score,
            bbox: BBox { x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 },
        };
        Predictions {
            detections: boxes.iter().map(detection).collect(),
            classes: classes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn objects_are_found_by_all_by_one_or_missed() {
        let a = seen(&["cat", "dog"], &[(0, 0.9, 0.0), (1, 0.5, 50.0)]);
        let b = seen(&["dog", "cat"], &[(1, 0.8, 2.0), (1, 0.4, 100.0)]);
        let objects = match_objects(&[Some(&a), Some(&b)]);
        let agreements: Vec<_> =
            objects.iter().map(|g| (g.class.as_str(), g.boxes.clone(), g.agreements.clone())).collect();
        use Agreement::{All, Missed, Only};
        assert_eq!(
            agreements,
            [
                ("cat", vec![Some(0), Some(0)], vec![All, All]),
                ("dog", vec![Some(1), None], vec![Only, Missed]),
                ("cat", vec![None, Some(1)], vec![Missed, Only]),
            ]
        );
        assert!(objects[0].is_agreed() && !objects[1].is_agreed());
    }

    #[test]
    fn overlap_below_a_half_is_another_object() {
        // Boxes 10 wide: moved by 3.4, they share 6.6 of 13.4; by 3.3, 6.7 of 13.3.
        let a = seen(&["cat"], &[(0, 0.9, 0.0)]);
        let (near, far) = (seen(&["cat"], &[(0, 0.8, 3.3)]), seen(&["cat"], &[(0, 0.8, 3.4)]));
        assert_eq!(match_objects(&[Some(&a), Some(&near)]).len(), 1);
        assert_eq!(match_objects(&[Some(&a), Some(&far)]).len(), 2);
    }

    #[test]
    fn a_box_joins_the_group_it_overlaps_most_and_no_group_takes_two_of_a_panel() {
        let a = seen(&["cat"], &[(0, 0.9, 0.0), (0, 0.85, 3.0)]);
        let b = seen(&["cat"], &[(0, 0.8, 2.8), (0, 0.7, 2.9)]);
        let objects = match_objects(&[Some(&a), Some(&b)]);
        assert_eq!(objects[1].boxes, [Some(1), Some(0)]);
        assert_eq!(objects[0].boxes, [Some(0), Some(1)]);
    }

    #[test]
    fn names_of_different_data_sets_are_one_class_and_unknown_classes_are_not_missed() {
        let coco = seen(&["motorcycle", "spoon"], &[(0, 0.9, 0.0), (1, 0.8, 40.0)]);
        let voc = seen(&["motorbike"], &[(0, 0.7, 0.0)]);
        let objects = match_objects(&[Some(&coco), Some(&voc)]);
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0].agreements, [Agreement::All, Agreement::All]);
        assert_eq!(objects[1].agreements, [Agreement::Only, Agreement::Unknown]);
    }

    #[test]
    fn of_three_panels_two_may_agree_and_one_may_not_have_looked() {
        let (a, b) = (seen(&["cat"], &[(0, 0.9, 0.0)]), seen(&["cat"], &[]));
        let objects = match_objects(&[Some(&a), Some(&a), Some(&b)]);
        assert_eq!(objects[0].agreements, [Agreement::Some, Agreement::Some, Agreement::Missed]);
        let objects = match_objects(&[Some(&a), None]);
        assert_eq!(objects[0].agreements, [Agreement::All, Agreement::Waiting]);
        assert!(objects[0].is_agreed());
    }
}

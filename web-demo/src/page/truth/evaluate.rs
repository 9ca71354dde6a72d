//! Detections against the truth, by Pascal VOC's rule, as `yolox-nano eval` has it.

use shared_model::voc::{VocBox, matched};
use shared_model::{Detection, canonical_class};

use super::{GroundTruth, TruthObject};

/// What came of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectionOutcome {
    /// It is this object, the number of which it has in the truth.
    TruePositive(usize),
    /// There is no such object, or a better detection has found it already.
    FalsePositive,
    /// It is a difficult object, which nobody has to find, or of a class that the annotations leave out.
    Ignored,
}

/// What came of an annotated object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOutcome {
    Found,
    /// It was not found.
    FalseNegative,
    /// It was not found, as the model does not know its class.
    UnknownClass,
    /// It is difficult: found or not, it does not count.
    Difficult,
}

/// How detections compare with the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// One a detection, in their order.
    pub detections: Vec<DetectionOutcome>,
    /// One an object of the truth, in their order.
    pub objects: Vec<ObjectOutcome>,
}

impl Evaluation {
    /// How many objects were found.
    pub fn true_positives(&self) -> usize {
        self.count(ObjectOutcome::Found)
    }

    /// How many objects of classes that the model knows were not found.
    pub fn false_negatives(&self) -> usize {
        self.count(ObjectOutcome::FalseNegative)
    }

    /// How many objects are of classes that the model does not know.
    pub fn unknown_classes(&self) -> usize {
        self.count(ObjectOutcome::UnknownClass)
    }

    /// How many detections are wrong.
    pub fn false_positives(&self) -> usize {
        self.detections.iter().filter(|outcome| **outcome == DetectionOutcome::FalsePositive).count()
    }

    fn count(&self, wanted: ObjectOutcome) -> usize {
        self.objects.iter().filter(|outcome| **outcome == wanted).count()
    }
}

/// Judges detections, which come in order of falling score; `classes` are the names of the model's.
///
/// A detection is about the object of its class that it overlaps most, found before or not, where that is more than half
/// (IoU of boxes whose last pixel belongs to them). The first one about an object has found it, every further one is a false alarm. Detections of classes that nobody
/// looked for do not count.
pub fn evaluate(detections: &[Detection], classes: &[String], truth: &GroundTruth) -> Evaluation {
    let annotated: Option<Vec<&str>> =
        truth.classes.as_ref().map(|names| names.iter().map(|name| canonical_class(name)).collect());
    let is_annotated = |class: Option<&&str>| {
        annotated.as_ref().is_none_or(|annotated| class.is_some_and(|class| annotated.contains(class)))
    };
    let truth = &truth.objects;
    let classes: Vec<&str> = classes.iter().map(|name| canonical_class(name)).collect();
    let truth_classes: Vec<&str> = truth.iter().map(|object| canonical_class(&object.class)).collect();
    let unfound = |(object, class): (&TruthObject, &&str)| match object.difficult {
        true => ObjectOutcome::Difficult,
        false if classes.contains(class) => ObjectOutcome::FalseNegative,
        false => ObjectOutcome::UnknownClass,
    };
    let mut objects: Vec<_> = truth.iter().zip(&truth_classes).map(unfound).collect();
    let mut outcome = |detection: &Detection| {
        let class = classes.get(detection.class);
        let same_class = (0..truth.len()).filter(|&i| Some(&truth_classes[i]) == class);
        let bbox = VocBox::from(detection.bbox);
        match matched(&bbox, same_class.map(|i| (i, VocBox::from(truth[i].bbox)))) {
            Some(i) => match objects[i] {
                ObjectOutcome::Difficult => DetectionOutcome::Ignored,
                ObjectOutcome::Found => DetectionOutcome::FalsePositive,
                ObjectOutcome::FalseNegative | ObjectOutcome::UnknownClass => {
                    objects[i] = ObjectOutcome::Found;
                    DetectionOutcome::TruePositive(i)
                }
            },
            _ if is_annotated(class) => DetectionOutcome::FalsePositive,
            _ => DetectionOutcome::Ignored,
        }
    };
    let detections = detections.iter().map(&mut outcome).collect();
    Evaluation { detections, objects }
}

#[cfg(test)]
mod tests {
    use shared_model::BBox;

    use super::DetectionOutcome::*;
    use super::ObjectOutcome::*;
    use super::*;

    /// 10 x 10 pixels.
    fn at(x: f32) -> BBox {
        BBox { x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 }
    }

    fn detection(class: usize, x: f32) -> Detection {
        Detection { class, score: 0.5, bbox: at(x) }
    }

    fn object(class: &str, x: f32) -> TruthObject {
        TruthObject { class: class.into(), bbox: at(x), difficult: false }
    }

    fn difficult(class: &str, x: f32) -> TruthObject {
        TruthObject { difficult: true, ..object(class, x) }
    }

    fn all(objects: &[TruthObject]) -> GroundTruth {
        GroundTruth { objects: objects.to_vec(), classes: None, note: None }
    }

    #[test]
    fn boxes_of_classes_that_nobody_looked_for_do_not_count() {
        let truth = GroundTruth { classes: Some(vec!["cat".into()]), ..all(&[object("cat", 0.0)]) };
        let detections = [detection(0, 0.0), detection(0, 50.0), detection(1, 70.0)];
        let evaluation = evaluate(&detections, &["cat".into(), "motorcycle".into()], &truth);
        assert_eq!(evaluation.detections, [TruePositive(0), FalsePositive, Ignored]);
        let both = GroundTruth { classes: Some(vec!["cat".into(), "motorbike".into()]), ..truth };
        let evaluation = evaluate(&detections, &["cat".into(), "motorcycle".into()], &both);
        assert_eq!(evaluation.detections, [TruePositive(0), FalsePositive, FalsePositive]);
    }

    /// By a model that knows cats and motorcycles.
    fn evaluated(detections: &[Detection], truth: &[TruthObject]) -> (Vec<DetectionOutcome>, Vec<ObjectOutcome>) {
        let Evaluation { detections, objects } =
            evaluate(detections, &["cat".into(), "motorcycle".into()], &all(truth));
        (detections, objects)
    }

    #[test]
    fn every_outcome_is_counted() {
        let detections = [detection(0, 1.0), detection(0, 0.0), detection(1, 50.0), detection(1, 100.0)];
        let truth = [object("cat", 0.0), object("cat", 30.0), difficult("motorcycle", 50.0), object("zebra", 70.0)];
        let evaluation = evaluate(&detections, &["cat".into(), "motorcycle".into()], &all(&truth));
        // A second detection is wrong even where it fits better.
        assert_eq!(evaluation.detections, [TruePositive(0), FalsePositive, Ignored, FalsePositive]);
        assert_eq!(evaluation.objects, [Found, FalseNegative, Difficult, UnknownClass]);
        let counts = (
            evaluation.true_positives(),
            evaluation.false_negatives(),
            evaluation.false_positives(),
            evaluation.unknown_classes(),
        );
        assert_eq!(counts, (1, 1, 2, 1));
    }

    #[test]
    fn more_than_half_the_union_is_enough() {
        // Eleven pixels high, of so many.
        let tall = |pixels: f32| TruthObject { bbox: BBox { y2: pixels - 1.0, ..at(0.0) }, ..object("cat", 0.0) };
        assert_eq!(evaluated(&[detection(0, 0.0)], &[tall(21.9)]), (vec![TruePositive(0)], vec![Found]));
        assert_eq!(evaluated(&[detection(0, 0.0)], &[tall(22.0)]), (vec![FalsePositive], vec![FalseNegative]));
    }

    #[test]
    fn a_class_may_have_two_names() {
        assert_eq!(evaluated(&[detection(1, 0.0)], &[object("motorbike", 0.0)]), (vec![TruePositive(0)], vec![Found]));
        assert_eq!(evaluated(&[], &[object("motorbike", 0.0)]).1, [FalseNegative], "known under the other name");
        let voc = evaluate(&[detection(0, 0.0)], &["sofa".into()], &all(&[object("couch", 0.0)]));
        assert_eq!(voc.detections, [TruePositive(0)]);
        assert_eq!(
            evaluated(&[detection(0, 0.0)], &[object("motorbike", 0.0)]),
            (vec![FalsePositive], vec![FalseNegative])
        );
    }

    /// Pascal VOC looks at the best object only: an object that is free does not take over.
    #[test]
    fn a_detection_is_about_the_object_that_it_overlaps_most() {
        let truth = [object("cat", 0.0), object("cat", 3.0)];
        let (detections, objects) = evaluated(&[detection(0, 3.0), detection(0, 2.0)], &truth);
        assert_eq!((detections, objects), (vec![TruePositive(1), FalsePositive], vec![FalseNegative, Found]));
    }

    #[test]
    fn a_difficult_object_may_be_found_any_number_of_times() {
        let truth = [difficult("cat", 0.0)];
        let (detections, objects) = evaluated(&[detection(0, 0.0), detection(0, 1.0), detection(0, 9.0)], &truth);
        assert_eq!((detections, objects), (vec![Ignored, Ignored, FalsePositive], vec![Difficult]));
        assert_eq!(evaluated(&[], &[difficult("zebra", 0.0)]).1, [Difficult], "of an unknown class");
    }

    #[test]
    fn nothing_is_judged_where_there_is_nothing() {
        assert_eq!(evaluated(&[], &[]), (vec![], vec![]));
        assert_eq!(evaluated(&[detection(7, 0.0)], &[object("cat", 0.0)]).0, [FalsePositive], "a class without a name");
    }
}

use futures_util::FutureExt;
use shared_model::voc::VocBox;
use shared_model::{BBox, Detection, nms};

use super::*;
use crate::page::export::{evaluation_csv, evaluation_json};
use crate::page::panel::Run;
use crate::page::truth::TruthObject;

fn at(x: f32) -> BBox {
    BBox { x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 }
}

fn found(class: usize, score: f32, x: f32) -> Detection {
    Detection { class, score, bbox: at(x) }
}

fn truth(objects: &[(&str, f32, bool)]) -> Arc<GroundTruth> {
    let object =
        |&(class, x, difficult): &(&str, f32, bool)| TruthObject { class: class.into(), bbox: at(x), difficult };
    Arc::new(GroundTruth { objects: objects.iter().map(object).collect(), classes: None, note: None })
}

fn run(candidates: &[Detection]) -> Run {
    Run { size: (500, 400), candidates: Ok(candidates.into()), first: None, warm: Vec::new() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A name, classes, and what it finds in each picture.
type Model<'a> = (&'a str, Vec<String>, Vec<Vec<Detection>>);

/// One set of pictures, as each truth has it, and the candidates of each model.
fn set(truths: &[Arc<GroundTruth>], models: &[Model]) -> SetEvaluation {
    let picture = |(id, truth): (usize, &Arc<GroundTruth>)| AnnotatedPicture {
        id: id as u32,
        name: format!("{id}.jpg"),
        truth: Arc::clone(truth),
    };
    let pictures = truths.iter().enumerate().map(picture).collect();
    let models = models.iter().map(|(name, classes, candidates)| {
        let judge = |(candidates, truth): (&Vec<Detection>, &Arc<GroundTruth>)| {
            Arc::new(JudgedRun::new(&run(candidates), classes, truth, 0.45).unwrap())
        };
        (name.to_string(), classes.clone(), candidates.iter().zip(truths).map(judge).collect())
    });
    let evaluation = SetEvaluation::new(pictures, models, async || {});
    evaluation.now_or_never().expect("nothing is waited for")
}

/// Numbers that look like chance, the same each time.
fn chance(state: &mut u32) -> f32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as f32 / (1u32 << 24) as f32
}

/// The command line suppresses at the official overlap what its detector yields over the official score, and scores that
/// against the objects of the annotation files.
#[test]
fn the_score_is_the_command_lines() {
    let classes = names(&["airplane", "cat", "toothbrush"]);
    let mut state = 1;
    let mut truths = Vec::new();
    let mut candidates = Vec::new();
    for _ in 0..40 {
        let objects: Vec<_> = (0..4)
            .map(|i| {
                let class = if chance(&mut state) < 0.5 { "aeroplane" } else { "cat" };
                (class, i as f32 * 30.0, chance(&mut state) < 0.1)
            })
            .collect();
        truths.push(truth(&objects));
        let boxes = (0..30).map(|_| {
            let class = (chance(&mut state) * 3.0) as usize;
            found(class, chance(&mut state).powi(3), chance(&mut state) * 120.0)
        });
        candidates.push(boxes.collect::<Vec<_>>());
    }
    let page = set(&truths, &[("a", classes.clone(), candidates.clone())]);

    let objects: Vec<_> = truths.iter().map(|truth| truth.voc_objects()).collect();
    let detector = |boxes: &Vec<Detection>| {
        let over: Vec<_> = boxes.iter().copied().filter(|found| found.score >= 0.01).collect();
        nms(&over, 0.65)
    };
    let detections: Vec<_> = candidates.iter().map(detector).collect();
    let expected = EvalReport::new(&objects, &detections, &classes).unwrap();
    assert_eq!(page.models[0].report.as_ref(), Some(&expected));
    assert!(expected.mean.ap50_11 > 0.0 && expected.mean.ap50_11 < 100.0, "{expected:?}");
    assert_eq!(page.classes(), ["aeroplane", "cat"]);
}

#[test]
fn objects_are_those_of_the_files() {
    let objects = truth(&[("cat", 10.0, true)]).voc_objects();
    let expected = VocBox { xmin: 11.0, ymin: 1.0, xmax: 21.0, ymax: 11.0 };
    assert_eq!((objects[0].class.as_str(), objects[0].difficult, objects[0].bbox), ("cat", true, expected));
}

#[test]
fn the_threshold_of_the_best_f1() {
    // Right at 0.6, wrong at 0.4, and a box of a class that does not occur, which does not count.
    let boxes = vec![found(0, 0.6, 0.0), found(0, 0.4, 100.0), found(1, 0.9, 200.0)];
    let set = set(&[truth(&[("cat", 0.0, false)])], &[("a", names(&["cat", "dog"]), vec![boxes])]);
    let best = set.models[0].best.unwrap();
    assert_eq!((best.threshold, best.precision, best.recall, best.f1), (0.6, 1.0, 1.0, 1.0));
    let at = |threshold: f32| *set.models[0].points.iter().find(|point| point.threshold == threshold).unwrap();
    assert_eq!(at(0.4).precision, 0.5);
    assert_eq!(at(0.61).recall, 0.0);
}

#[test]
fn a_model_that_knows_none_of_the_classes_has_no_score() {
    let set = set(&[truth(&[("zebra", 0.0, false)])], &[("a", names(&["cat"]), vec![vec![found(0, 0.9, 0.0)]])]);
    let model = &set.models[0];
    assert!(model.report.is_none() && model.points.is_empty() && model.best.is_none());
    assert!(set.classes().is_empty());
}

#[test]
fn pictures_that_models_differ_on_come_first() {
    let truths = [truth(&[("cat", 0.0, false)]), truth(&[("cat", 0.0, false)]), truth(&[("cat", 0.0, false)])];
    let (right, wrong) = (found(0, 0.8, 0.0), found(0, 0.7, 200.0));
    let classes = names(&["cat"]);
    let set = set(
        &truths,
        &[
            ("a", classes.clone(), vec![vec![right], vec![right], vec![right]]),
            ("b", classes, vec![vec![right], vec![], vec![wrong]]),
        ],
    );
    let order = |threshold| {
        differences(&set, threshold).into_iter().map(|picture| (picture.id, picture.errors)).collect::<Vec<_>>()
    };
    assert_eq!(order(0.3), [(2, vec![0, 2]), (1, vec![0, 1])]);
    // All boxes are under the threshold: nobody differs.
    assert_eq!(order(0.9), []);
}

#[test]
fn classes_that_are_taken_for_others_and_sizes() {
    // A cat as a cat, a dog as a cat, a cat that was missed, and a box where nothing is.
    let truths = [truth(&[("cat", 0.0, false), ("dog", 50.0, false)]), truth(&[("cat", 0.0, false)])];
    let boxes = vec![vec![found(0, 0.9, 0.0), found(0, 0.8, 50.0), found(0, 0.4, 200.0)], vec![]];
    let mut set = set(&truths, &[("a", names(&["cat", "dog", "toothbrush"]), boxes)]);
    let confused = |threshold| confusion(&set, &set.models[0], threshold);
    assert_eq!(confused(0.5).class_names, ["cat", "dog"]);
    assert_eq!(confused(0.5).counts, [vec![1, 0, 1], vec![1, 0, 0], vec![0, 0, 0]]);
    assert_eq!(confused(0.3).counts[2], [1, 0, 0]);
    assert_eq!(confused(0.85).counts, [vec![1, 0, 1], vec![0, 0, 1], vec![0, 0, 0]]);

    // All of them have 100 square pixels.
    let sizes = |set: &SetEvaluation, threshold| by_size(set, &set.models[0], threshold).map(|s| (s.found, s.objects));
    assert_eq!(sizes(&set, 0.5), [(1, 3), (0, 0), (0, 0)]);
    assert_eq!(sizes(&set, 0.95), [(0, 3), (0, 0), (0, 0)]);
    let mut large = (*set.pictures[1].truth).clone();
    large.objects[0].bbox = BBox { x1: 0.0, y1: 0.0, x2: 96.0, y2: 96.0 };
    set.pictures[1].truth = Arc::new(large);
    assert_eq!(sizes(&set, 0.5), [(1, 2), (0, 0), (0, 1)]);
}

#[test]
fn figures_to_take_away() {
    let boxes = vec![found(0, 0.6, 0.0)];
    let set = set(&[truth(&[("cat", 0.0, false)])], &[("a, b", names(&["cat"]), vec![boxes])]);
    let csv = evaluation_csv(&set);
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.rsplitn(8, ',').collect()).collect();
    assert_eq!(lines.len(), 3, "the header, a class, and the means: {csv}");
    assert!(csv.contains("\r\n\"a, b\",cat,1,100") && csv.contains("\r\n\"a, b\",,1,100"), "{csv}");
    assert_eq!(lines[2][..2], ["0.60", "100"]);
    let json: serde_json::Value = serde_json::from_str(&evaluation_json(&set)).unwrap();
    assert_eq!(json["pictures"], serde_json::json!(["0.jpg"]));
    assert_eq!(json["models"][0]["report"]["per_class"][0]["class"], "cat");
    assert_eq!(json["models"][0]["thresholds"].as_array().unwrap().len(), 95);
}

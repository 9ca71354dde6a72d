use std::fs;

use super::*;
use crate::data::labels::{self, Classes};
use crate::data::reading::{BadBoxes, OtherClasses};
use crate::data::testing::{VocBuilder, object};

fn list(names: &[&str]) -> ClassList {
    ClassList { names: names.iter().map(ToString::to_string).collect(), origin: Origin::Given }
}

/// What is wrong with an annotation of an image of 100 x 50 pixels.
fn found(size: &str, objects: &str) -> Vec<(ProblemKind, usize)> {
    let voc = VocBuilder::new();
    voc.image("a", 100, 50, "");
    voc.annotation("a", &format!("<annotation>{size}\n{objects}</annotation>"));
    voc.split("train", &["a"]);
    let read = SourceAnnotations::read(&voc.source("train")).unwrap();
    let header = read.images[0].listed.image.photo_header().unwrap();
    let judged = judge(&read.images[0], Ok(header), Some(&list(&["dog", "cat"])), &Reading::default());
    judged.problems.into_iter().map(|problem| (problem.kind, problem.line.unwrap())).collect()
}

const SIZE: &str = "<size><width>100</width><height>50</height></size>";

#[test]
fn good_boxes_are_left_alone() {
    for corners in [[1.0, 1.0, 100.0, 50.0], [0.0, 0.5, 101.0, 50.4], [3.0, 3.0, 3.4, 4.0]] {
        assert_eq!(found(SIZE, &object("dog", corners)), [], "{corners:?}");
    }
}

#[test]
fn bad_boxes_are_told_apart() {
    use ProblemKind::*;
    for (corners, kind) in [
        ([5.0, 5.0, 5.0, 9.0], DegenerateBox),
        ([5.0, 9.0, 6.0, 5.0], DegenerateBox),
        ([f64::NAN, 5.0, 9.0, 9.0], DegenerateBox),
        ([101.0, 5.0, 120.0, 9.0], OutsideBox),
        ([5.0, -9.0, 9.0, 0.5], OutsideBox),
        ([90.0, 5.0, 103.0, 9.0], OverhangingBox),
        ([-3.0, 5.0, 9.0, 9.0], OverhangingBox),
    ] {
        assert_eq!(found(SIZE, &object("dog", corners)), [(kind, 3)], "{corners:?}");
    }
}

#[test]
fn classes_sizes_and_repetitions_are_checked() {
    use ProblemKind::*;
    let dog = object("dog", [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(found(SIZE, &object("Dog", [1.0, 2.0, 3.0, 4.0])), [(UnknownClass, 2)]);
    assert_eq!(found("", &dog), [(NoSize, 1)]);
    assert_eq!(found("<size><width>0</width><height>0</height></size>", &dog), [(NoSize, 1)]);
    assert_eq!(found("<size><width>50</width><height>100</height></size>", &dog), [(SizeMismatch, 1)]);
    assert_eq!(found(SIZE, &format!("{dog}{dog}")), [(DuplicateBox, 5)]);
    assert_eq!(found(SIZE, &format!("{dog}{}", object("cat", [1.0, 2.0, 3.0, 4.0]))), []);
}

#[test]
fn the_message_helps() {
    let unknown = |class: &str, list: &ClassList| unknown(class, list, ", or skip".into());
    let told = unknown("Dog", &list(&["dog"]));
    assert!(told.contains("is it \"dog\"?") && told.contains("which has \"dog\"") && told.ends_with("skip"), "{told}");
    let long = unknown("helmet", &list(&["a", "b", "c", "d", "e", "f"]));
    assert!(long.contains("not among the 6 of the list"), "{long}");
    let voc = ClassList { origin: Origin::MostlyVoc, ..list(&["dog", "cat"]) };
    assert!(unknown("helmet", &voc).contains("not among Pascal VOC's, as most classes here are"));
}

#[test]
fn what_is_to_be_left_out_is_left_out_and_said() {
    let voc = VocBuilder::new();
    let good = object("dog", [1.0, 2.0, 9.0, 8.0]);
    let bad = object("dog", [9.0, 2.0, 1.0, 8.0]) + &object("dog", [90.0, 2.0, 95.0, 8.0]);
    voc.image("a", 40, 30, &format!("{bad}{good}{}", object("cat", [1.0, 2.0, 9.0, 8.0])));
    voc.image("b", 40, 30, "");
    fs::remove_file(voc.path("Annotations/b.xml")).unwrap();
    voc.split("train", &["a", "b"]);
    let dog = ["dog".to_string()];
    let read = |reading: &Reading| labels::read(&[voc.source("train")], Classes::Given(&dog), reading);
    let mut reading = Reading::default();
    for (change, remedy) in [
        (Box::new(|_: &mut Reading| ()) as Box<dyn Fn(&mut Reading)>, "--bad-boxes skip"),
        (Box::new(|reading| reading.bad_boxes = BadBoxes::Skip), "--other-classes skip"),
        (Box::new(|reading| reading.other_classes = OtherClasses::Skip), "--unannotated background"),
    ] {
        change(&mut reading);
        let error = read(&reading).unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }
    reading.unannotated = Unannotated::Background;
    let labels = read(&reading).unwrap();
    assert_eq!(labels.images.iter().map(|image| image.objects.len()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(labels.images[0].objects[0].object.bbox, VocBox { xmin: 1.0, ymin: 2.0, xmax: 9.0, ymax: 8.0 });
    let kinds: Vec<_> = labels.left_out.iter().map(|problem| problem.kind).collect();
    use ProblemKind::*;
    assert_eq!(kinds, [DegenerateBox, OutsideBox, UnknownClass, MissingAnnotation]);
    assert!(labels.warnings.is_empty(), "{:?}", labels.warnings);
    let said = labels::summary(&labels.left_out).join("\n");
    assert!(said.contains("1 degenerate boxes, such as") && said.contains("a.xml:5"), "{said}");
    assert!(!said.contains("--bad-boxes") && !said.contains("--other-classes"), "what was done is no advice: {said}");
}

#[test]
fn classes_that_look_alike_stop_training() {
    for (names, wrong) in [
        (["disc", "disc", "Disc"], "Disc"),
        (["Disc", "Disc", "disc"], "disc"),
        (["disc", "Disc", "ring"], "disc"),
        (["traffic light", "traffic light", "traffic\u{a0}light"], "traffic\\u{a0}light"),
        (["disc", "disc", "disc\u{200b}"], "disc\\u{200b}"),
        (["ring", "box", "d\u{ad}isc"], "d\\u{ad}isc"),
        (["caf\u{e9}", "caf\u{e9}", "cafe\u{301}"], "cafe\u{301}"),
    ] {
        let voc = VocBuilder::new();
        let corners = [[1.0, 2.0, 9.0, 8.0], [2.0, 2.0, 9.0, 8.0], [3.0, 2.0, 9.0, 8.0]];
        let objects = names.iter().zip(corners).map(|(name, corners)| object(name, corners));
        voc.image("a", 40, 30, &objects.collect::<String>());
        voc.split("train", &["a"]);
        let read = |classes| labels::read(&[voc.source("train")], classes, &Reading::default());
        let error = read(Classes::Occurring).unwrap_err().to_string();
        assert!(error.contains("a.xml:") && error.contains(&format!("the class \"{wrong}\"")), "{error}");
        let given: BTreeSet<&str> = names.into_iter().collect();
        let given: Vec<String> = given.into_iter().map(String::from).collect();
        let refused = read(Classes::Given(&given)).map(|_| ()).map_err(|error| error.to_string());
        let alike = given.len() == 2 || names.contains(&"Disc");
        assert_eq!(refused.is_err(), alike, "{refused:?}");
    }
}

#[test]
fn an_annotation_of_another_image_is_noticed() {
    let voc = VocBuilder::new();
    for name in ["a", "b"] {
        voc.image(name, 40, 30, &object("dog", [1.0, 2.0, 9.0, 8.0]));
    }
    voc.split("train", &["a"]);
    let size = "<size><width>40</width><height>30</height></size>";
    for (filename, expected) in [
        ("a.jpg", false),
        ("a", false),
        ("C:\\pictures\\a.png", false),
        ("DSC_0001.jpg", false),
        ("b.jpg", true),
        ("/home/x/b.jpg", true),
    ] {
        let dog = object("dog", [1.0, 2.0, 9.0, 8.0]);
        voc.annotation("a", &format!("<annotation><filename>{filename}</filename>{size}{dog}</annotation>"));
        let labels = labels::read(&[voc.source("train")], Classes::Any, &Reading::default()).unwrap();
        let kinds: Vec<_> = labels.warnings.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds == [ProblemKind::OtherFilename], expected, "{filename}: {kinds:?}");
    }
}

#[test]
fn boxes_of_a_large_image_are_those_of_its_decoded_pixels() {
    let b = VocBox { xmin: 1.0, ymin: 101.0, xmax: 201.0, ymax: 301.0 };
    assert_eq!(shrunk(b, 2.0), VocBox { xmin: 1.0, ymin: 51.0, xmax: 101.0, ymax: 151.0 });
    assert_eq!(shrunk(shrunk(b, 4.0), 0.25), b);
}

//! `yolox-nano check-data` as a subprocess, on data sets that are broken on purpose, and on the real ones.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use image::RgbImage;
use integration_tests::{shared, yolox_nano};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

/// A data set of 64 x 48 pixels, in Pascal VOC's layout.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn picture(&self, name: &str, shade: u8, objects: &[(&str, [f64; 4])]) {
        let picture = RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8, y as u8, shade]));
        picture.save(self.path().join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let mut xml = String::from("<annotation>\n<size><width>64</width><height>48</height></size>\n");
        for (class, [xmin, ymin, xmax, ymax]) in objects {
            xml += &format!(
                "<object>\n<name>{class}</name>\n<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>\
                 <ymax>{ymax}</ymax></bndbox>\n</object>\n"
            );
        }
        self.write(&format!("Annotations/{name}.xml"), &(xml + "</annotation>\n"));
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).unwrap();
    }

    fn check(&self, splits: &[&str]) -> Command {
        let mut command = Command::new(yolox_nano());
        command.arg("check-data");
        command.args(splits.iter().map(|split| format!("{}:{split}", self.path().display())));
        command
    }
}

const BOX: [f64; 4] = [4.0, 5.0, 30.5, 31.0];

fn broken() -> Folder {
    let folder = Folder::new();
    folder.picture("good", 10, &[("dog", BOX), ("cat", [1.0, 1.0, 64.0, 48.0])]);
    folder.picture("typo", 20, &[("dog", BOX), ("dgo", BOX)]);
    folder.picture(
        "boxes",
        30,
        &[("dog", [9.0, 9.0, 2.0, 20.0]), ("cat", [70.0, 1.0, 90.0, 9.0]), ("cat", BOX), ("cat", BOX)],
    );
    folder.picture("short", 40, &[("dog", BOX)]);
    let short = folder.path().join("JPEGImages/short.jpg");
    let bytes = fs::read(&short).unwrap();
    fs::write(&short, &bytes[..bytes.len() - 60]).unwrap();
    folder.picture("size", 50, &[("dog", BOX)]);
    folder
        .write("Annotations/size.xml", "<annotation>\n<size><width>32</width><height>24</height></size></annotation>");
    folder.picture("nosize", 60, &[]);
    folder.write("Annotations/nosize.xml", "<annotation></annotation>");
    folder.picture("xml", 70, &[]);
    folder.write("Annotations/xml.xml", "<annotation>\n<object>\n</annotation>");
    folder.write("ImageSets/Main/train.txt", "good\ntypo\nboxes\nshort\nsize\nnosize\nxml\nmissing\ngood\n");
    folder.picture("again", 10, &[]);
    folder.write("ImageSets/Main/val.txt", "again\n");
    folder
}

#[test]
fn every_kind_of_problem_has_its_file_and_line() {
    let folder = broken();
    let output = folder.check(&["train", "val"]).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: Vec<(String, String, Option<u64>)> = Vec::new();
    for problem in report["problems"].as_array().unwrap() {
        let file = Path::new(problem["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_string();
        assert!(problem["message"].as_str().unwrap().len() > 20, "{problem}");
        found.push((problem["kind"].as_str().unwrap().into(), file, problem["line"].as_u64()));
    }
    let expected = [
        ("unknown-class", "typo.xml", Some(8)),
        ("degenerate-box", "boxes.xml", Some(5)),
        ("outside-box", "boxes.xml", Some(9)),
        ("duplicate-box", "boxes.xml", Some(17)),
        ("corrupt-picture", "short.jpg", None),
        ("size-mismatch", "size.xml", Some(2)),
        ("no-size", "nosize.xml", Some(1)),
        ("corrupt-annotation", "xml.xml", Some(3)),
        ("missing-picture", "missing.jpg", None),
        ("missing-annotation", "missing.xml", None),
        ("duplicate-name", "train.txt", Some(9)),
        ("duplicate-picture", "val.txt", Some(1)),
    ];
    let expected: Vec<_> = expected.map(|(kind, file, line)| (kind.to_string(), file.to_string(), line)).into();
    assert_eq!(found, expected, "{report:#}");
    let unknown = report["classes"].as_array().unwrap().iter().find(|class| class["class"] == "dgo").unwrap();
    assert_eq!((&unknown["known"], &unknown["objects"]), (&false.into(), &1.into()));
}

#[test]
fn people_get_a_table_a_list_and_a_verdict() {
    let folder = broken();
    let mut check = folder.check(&["train"]);
    let verdict = contains("objects of unknown classes: 1")
        .and(contains("typo.xml:8: the class \"dgo\""))
        .and(contains("training refuses"));
    check.assert().code(1).stdout(verdict.and(contains("dgo (unknown)")));
}

#[test]
fn good_data_pass_and_are_drawn() {
    let folder = broken();
    folder.write("ImageSets/Main/good.txt", "good\n");
    let out = folder.path().join("report");
    folder.check(&["good"]).arg("--out").arg(&out).assert().success().stdout(contains("no problems"));
    let chart = fs::read_to_string(out.join("data.svg")).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("cat"), "{chart}");
    // In a list of classes without it, the dog is unknown.
    folder.check(&["good"]).args(["--classes", "cat"]).assert().code(1).stdout(contains("the class \"dog\""));
}

#[test]
fn wrong_sources_are_explained() {
    let folder = broken();
    folder.check(&["trian"]).assert().code(1).stderr(contains("no split \"trian\"").and(contains("train, val")));
    Command::new(yolox_nano()).args(["check-data", "folder"]).assert().code(2).stderr(contains("VOC2007:trainval"));
    folder.write("ImageSets/Main/empty.txt", "\n");
    folder.check(&["empty"]).assert().code(1).stderr(contains("empty.txt is empty"));
}

#[test]
fn the_real_data_are_sound() {
    let Some(shared) = shared("looking through the real data sets") else { return };
    let voc = shared.join("voc/VOC2008plus");
    let mut check = Command::new(yolox_nano());
    check.arg("check-data").args(["train", "val"].map(|split| format!("{}:{split}", voc.display()))).arg("--json");
    let output = check.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let classes = report["classes"].as_array().unwrap();
    let sum = |key: &str| classes.iter().map(|class| class[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((classes.len(), sum("objects"), sum("objects") - sum("difficult")), (20, 15_584, 12_937));
    assert_eq!(report["sources"][0]["images"], 4868);
}

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

    fn image(&self, name: &str, shade: u8, objects: &[(&str, [f64; 4])]) {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8, y as u8, shade]));
        image.save(self.path().join(format!("JPEGImages/{name}.jpg"))).unwrap();
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
    folder.image("good", 10, &[("dog", BOX), ("cat", [1.0, 1.0, 64.0, 48.0])]);
    folder.image("typo", 20, &[("dog", BOX), ("dgo", BOX)]);
    folder.image(
        "boxes",
        30,
        &[("dog", [9.0, 9.0, 2.0, 20.0]), ("cat", [70.0, 1.0, 90.0, 9.0]), ("cat", BOX), ("cat", BOX)],
    );
    folder.image("short", 40, &[("dog", BOX)]);
    let short = folder.path().join("JPEGImages/short.jpg");
    let bytes = fs::read(&short).unwrap();
    fs::write(&short, &bytes[..bytes.len() - 60]).unwrap();
    folder.image("size", 50, &[("dog", BOX)]);
    folder
        .write("Annotations/size.xml", "<annotation>\n<size><width>32</width><height>24</height></size></annotation>");
    folder.image("nosize", 60, &[]);
    folder.write("Annotations/nosize.xml", "<annotation></annotation>");
    folder.image("xml", 70, &[]);
    folder.write("Annotations/xml.xml", "<annotation>\n<object>\n</annotation>");
    folder.write("ImageSets/Main/train.txt", "good\ntypo\nboxes\nshort\nsize\nnosize\nxml\nmissing\ngood\n");
    folder.image("again", 10, &[]);
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
        ("corrupt-image", "short.jpg", None),
        ("size-mismatch", "size.xml", Some(2)),
        ("no-size", "nosize.xml", Some(1)),
        ("corrupt-annotation", "xml.xml", Some(3)),
        ("missing-image", "missing.jpg", None),
        ("missing-annotation", "missing.xml", None),
        ("no-objects", "val.txt", None),
        ("duplicate-name", "train.txt", Some(9)),
        ("duplicate-image", "val.txt", Some(1)),
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
    let whole = |path: &Path| {
        let mut command = Command::new(yolox_nano());
        command.arg("check-data").arg(path).assert().code(1)
    };
    whole(folder.path()).stderr(contains("needs a split, as in VOCdevkit/VOC2007:trainval"));
    whole(Path::new("nowhere")).stderr(contains("there is no folder or archive nowhere"));
    Command::new(yolox_nano()).args(["check-data", ":train"]).assert().code(2).stderr(contains("VOC2007:trainval"));
    folder.write("ImageSets/Main/empty.txt", "\n");
    folder.check(&["empty"]).assert().code(1).stderr(contains("empty.txt is empty"));
}

/// `check-data --json`: the report.
fn report(command: &mut Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// Kinds of problems and what is said.
fn problems(report: &Value) -> Vec<(String, String)> {
    let problems = report["problems"].as_array().unwrap().iter();
    problems.map(|p| (p["kind"].as_str().unwrap().into(), p["message"].as_str().unwrap().into())).collect()
}

#[test]
fn lists_are_read_as_editors_and_shells_write_them() {
    let folder = Folder::new();
    for (shade, name) in ["photo", "photo (1)", "photo (2)"].into_iter().enumerate() {
        folder.image(name, shade as u8, &[("dog", BOX)]);
    }
    let text = "photo\nphoto (1)\nphoto (2)\n";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(bytes).collect();
    let lists: [(&str, Vec<u8>); 8] = [
        ("plain", text.into()),
        ("marked", format!("\u{feff}{text}").into()),
        ("dos", text.replace('\n', "\r\n").into()),
        ("mac", text.replace('\n', "\r").into()),
        ("little", utf16(u16::to_le_bytes)),
        ("big", utf16(u16::to_be_bytes)),
        ("paths", text.replace("photo", "./JPEGImages/photo").replace('\n', ".jpg\n").into()),
        ("quoted", "# list\n'photo'\n\nphoto\\ \\(1\\)\n\"photo (2).jpg\"".into()),
    ];
    for (name, bytes) in lists {
        fs::write(folder.path().join(format!("ImageSets/Main/{name}.txt")), bytes).unwrap();
        let report = report(&mut folder.check(&[name]));
        assert_eq!(problems(&report), [], "{name}");
        assert_eq!(
            (&report["sources"][0]["images"], &report["sources"][0]["objects"]),
            (&3.into(), &3.into()),
            "{name}"
        );
    }
    folder.image("caf\u{e9}", 9, &[]);
    for (bytes, complaint) in [
        (&b"photo\ncaf\xe9\n"[..], "wrong.txt:2: the text is not in UTF-8: save it as UTF-8"),
        (b"photo\npho\0to\n", "wrong.txt:2: a character U+0000"),
    ] {
        fs::write(folder.path().join("ImageSets/Main/wrong.txt"), bytes).unwrap();
        folder.check(&["wrong"]).assert().code(1).stderr(contains(complaint));
    }
    folder.write("ImageSets/Main/case.txt", "Photo\nphoto (3)\n");
    let case = report(&mut folder.check(&["case"]));
    let missing: Vec<_> = problems(&case).into_iter().filter(|(kind, _)| kind == "missing-image").collect();
    assert!(missing.len() == 2 && missing[0].1.contains("is it \"photo.jpg\"?"), "{missing:?}");
}

#[test]
fn images_are_found_whatever_their_extension_and_layouts_are_known() {
    let folder = Folder::new();
    for (shade, name) in ["a", "b", "c"].into_iter().enumerate() {
        folder.image(name, 50 * shade as u8, &[("dog", BOX)]);
    }
    let images = folder.path().join("JPEGImages");
    fs::rename(images.join("a.jpg"), images.join("a.JPG")).unwrap();
    fs::rename(images.join("b.jpg"), images.join("b.jpeg")).unwrap();
    image::open(images.join("c.jpg")).unwrap().save(images.join("c.png")).unwrap();
    fs::remove_file(images.join("c.jpg")).unwrap();
    for name in ["Thumbs.db", ".DS_Store", "._a.JPG"] {
        fs::write(images.join(name), "x").unwrap();
    }
    folder.write("ImageSets/Main/fold_1.txt", "a\nb\nc");
    folder.check(&["fold_1"]).assert().success().stdout(contains("3 images, 3 objects"));
    folder.check(&["train"]).assert().code(1).stderr(contains("the splits are fold_1"));

    // The folder above, other cases of letters, lists that are not in Main.
    let kit = tempfile::tempdir().unwrap();
    let set = kit.path().join("VOCdevkit/mine");
    fs::create_dir_all(set.join("imagesets")).unwrap();
    fs::rename(&images, set.join("images")).unwrap();
    fs::rename(folder.path().join("Annotations"), set.join("annotations")).unwrap();
    fs::write(set.join("imagesets/train.txt"), "a\nb\nc").unwrap();
    let check = |path: &Path, split: &str| {
        let mut command = Command::new(yolox_nano());
        command.arg("check-data").arg(format!("{}:{split}", path.display()));
        command
    };
    check(kit.path(), "train").assert().success().stdout(contains("3 images, 3 objects"));
    fs::create_dir_all(kit.path().join("VOCdevkit/other/Annotations")).unwrap();
    check(kit.path(), "train").assert().code(1).stderr(contains("VOCdevkit/mine").and(contains("VOCdevkit/other")));

    // Roboflow's.
    let export = tempfile::tempdir().unwrap();
    let valid = export.path().join("valid");
    fs::create_dir(&valid).unwrap();
    for (from, to) in [("images/a.JPG", "a_jpg.rf.01.jpg"), ("annotations/a.xml", "a_jpg.rf.01.xml")] {
        fs::copy(set.join(from), valid.join(to)).unwrap();
    }
    fs::write(export.path().join("README.roboflow.txt"), "x").unwrap();
    check(export.path(), "valid").assert().success().stdout(contains("1 images, 1 objects"));
    check(export.path(), "val").assert().code(1).stderr(contains("the splits are valid"));
    // Its splits are apart, so that none need be named.
    let whole = Command::new(yolox_nano()).arg("check-data").arg(export.path()).assert().success();
    whole.stdout(contains("valid: 1 images, 1 objects"));
    fs::copy(set.join("annotations/b.xml"), valid.join("b.xml")).unwrap();
    check(export.path(), "valid").assert().code(1).stdout(contains("b.jpg: the image is missing"));
}

/// Writes an image as a camera does that was held in another way: EXIF says how to turn it.
fn turned(folder: &Folder, name: &str, orientation: u8, [width, height]: [u32; 2]) {
    use image::ImageEncoder;
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, orientation]));
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(image.as_raw(), width, height, image::ExtendedColorType::Rgb8).unwrap();
    fs::write(folder.path().join(format!("JPEGImages/{name}.jpg")), bytes).unwrap();
}

#[test]
fn turned_images_whose_boxes_fit_the_stored_ones_are_named() {
    for orientation in 1..=8 {
        let folder = Folder::new();
        // Its annotation says 64 x 48.
        for (name, size) in [("stored", [64, 48]), ("upright", [48, 64])] {
            folder.image(name, orientation, &[("dog", [1.0, 1.0, 60.0, 40.0])]);
            turned(&folder, name, orientation, size);
            folder.write(&format!("ImageSets/Main/{name}.txt"), name);
        }
        let kinds = |split: &str, flags: &[&str]| {
            let report = report(folder.check(&[split]).args(flags));
            problems(&report).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        let turns = orientation > 1;
        let expected: &[&str] = if turns { &["turned-image"] } else { &[] };
        assert_eq!(kinds("stored", &[]), expected, "{orientation}");
        assert_eq!(kinds("stored", &["--exif-boxes", "stored"]), [""; 0], "{orientation}");
        if orientation >= 5 {
            assert_eq!(kinds("stored", &["--exif-boxes", "upright"]), ["turned-image"], "{orientation}");
            assert_eq!(kinds("upright", &[]), [""; 0], "{orientation}: its size tells");
            assert_eq!(kinds("upright", &["--exif-boxes", "stored"]), [""; 0], "{orientation}: its size tells");
        } else {
            assert_eq!(kinds("stored", &["--exif-boxes", "upright"]), [""; 0], "{orientation}");
        }
    }
}

/// Some programs write the stored size to upright boxes, and to images without any.
#[test]
fn a_stored_size_does_not_tell_more_than_the_setting_and_nothing_of_background() {
    let folder = Folder::new();
    folder.image("high", 6, &[("dog", [1.0, 1.0, 40.0, 60.0])]);
    folder.image("empty", 6, &[]);
    folder.image("wide", 6, &[("dog", [1.0, 1.0, 60.0, 40.0])]);
    for name in ["high", "empty", "wide"] {
        turned(&folder, name, 6, [64, 48]);
    }
    folder.write("ImageSets/Main/train.txt", "high\nempty\n");
    folder.check(&["train"]).assert().code(1).stdout(contains("--exif-boxes upright"));
    let report = |split: &str| report(folder.check(&[split]).args(["--exif-boxes", "upright"]));
    assert_eq!(problems(&report("train")).iter().filter(|(kind, _)| kind != "duplicate-image").count(), 0);
    folder.write("ImageSets/Main/wide.txt", "wide\n");
    let wide = problems(&report("wide"));
    assert!(
        wide.len() == 1 && wide[0].1.contains("do not fit the upright one") && wide[0].1.contains("stored"),
        "{wide:?}"
    );
}

#[test]
fn what_is_there_under_another_name_is_found_or_named() {
    let folder = Folder::new();
    for (shade, name) in ["a", "b", "cafe\u{301}", "d"].into_iter().enumerate() {
        folder.image(name, 60 * shade as u8, &[("dog", BOX)]);
    }
    let at = |path: &str| folder.path().join(path);
    fs::rename(at("JPEGImages/a.jpg"), at("JPEGImages/a.JPE")).unwrap();
    fs::rename(at("Annotations/b.xml"), at("Annotations/b.XML")).unwrap();
    fs::rename(at("JPEGImages/d.jpg"), at("JPEGImages/d.HEIC")).unwrap();
    // In lists that end otherwise, or do not.
    folder.write("ImageSets/Main/train.TXT", "a\nb\ncaf\u{e9}\n");
    folder.write("ImageSets/Main/val", "d\n");
    folder.check(&["train"]).assert().success().stdout(contains("3 images, 3 objects"));
    folder.check(&["val"]).assert().code(1).stdout(contains("\"d.HEIC\" is not read: save it as JPEG"));
    folder.check(&["test"]).assert().code(1).stderr(contains("the splits are train, val"));
}

#[test]
fn layouts_that_are_nearly_known_are_explained() {
    let folder = Folder::new();
    folder.image("a", 1, &[("dog", BOX)]);
    let kit = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = kit.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder.path().join(from), to).unwrap();
    };
    for (image, annotation) in [
        ("flat/train/a.jpg", "flat/train/a.xml"),
        ("apart/train/images/a.jpg", "apart/train/annotations/a.xml"),
        ("apart/val/images/a.jpg", "apart/val/annotations/a.xml"),
        ("xmls/images/a.jpg", "xmls/xmls/a.xml"),
    ] {
        copy("JPEGImages/a.jpg", image);
        copy("Annotations/a.xml", annotation);
    }
    for (source, complaint) in [
        ("flat/train:train", "flat:train"),
        ("apart:train", "side by side into one folder"),
        ("xmls:train", "it has no Annotations"),
    ] {
        let source = kit.path().join(source).display().to_string();
        let refused = Command::new(yolox_nano()).args(["check-data", &source]).assert().code(1);
        refused.stderr(contains(complaint));
    }
    let right = kit.path().join("flat:train").display().to_string();
    Command::new(yolox_nano()).args(["check-data", &right]).assert().success();
}

#[test]
fn a_class_of_another_split_is_named_with_what_was_meant() {
    let folder = Folder::new();
    for (i, class) in ["disc", "Disc"].into_iter().enumerate() {
        folder.image(class, 90 * i as u8, &[(class, BOX)]);
    }
    folder.write("ImageSets/Main/train.txt", "disc\n");
    folder.write("ImageSets/Main/val.txt", "Disc\n");
    folder.check(&["train", "val"]).assert().code(1).stdout(contains("is in no split for training (is it \"disc\"?)"));
    let source = |split: &str| format!("{}:{split}", folder.path().display());
    let mut train = Command::new(yolox_nano());
    train.args(["train", "--train", &source("train"), "--val", &source("val"), "--batch", "1", "--out"]);
    let refused = train.arg(folder.path().join("run")).assert().code(1);
    // Both in one list would be refused in turn.
    refused.stderr(contains("nowhere in --train: Disc (is it \"disc\"?). Mend their names;"));
}

#[test]
fn what_is_left_out_is_said_and_what_is_damaged_too() {
    let folder = Folder::new();
    folder.image("a", 1, &[("dog", BOX), ("dog", [9.0, 9.0, 2.0, 20.0]), ("cat", BOX)]);
    folder.image("b", 2, &[("dog", BOX)]);
    let b = folder.path().join("JPEGImages/b.jpg");
    let bytes = fs::read(&b).unwrap();
    fs::write(&b, &bytes[..bytes.len() - 2]).unwrap();
    folder.image("c", 3, &[]);
    fs::remove_file(folder.path().join("Annotations/c.xml")).unwrap();
    folder.write("ImageSets/Main/train.txt", "a\nb\nc\n");
    let given = ["--classes", "dog", "--bad-boxes", "skip", "--other-classes", "skip", "--unannotated", "background"];
    let report = report(folder.check(&["train"]).args(given));
    let found = problems(&report);
    assert!(found.len() == 1 && found[0].0 == "damaged-image" && found[0].1.contains("last bytes"), "{found:?}");
    assert_eq!(report["left_out"].as_array().unwrap().len(), 3, "{report:#}");
    let said = contains("1 degenerate boxes, such as").and(contains("training copes with them"));
    folder.check(&["train"]).args(given).assert().code(1).stdout(said);
    let refused = contains("--bad-boxes skip").and(contains("--other-classes skip")).and(contains("--unannotated"));
    folder.check(&["train"]).args(["--classes", "dog"]).assert().code(1).stdout(refused);
}

#[test]
fn most_of_vocs_names_make_others_mistakes_which_is_explained() {
    let folder = Folder::new();
    folder.image("a", 1, &[("dog", BOX), ("person", [1.0, 1.0, 64.0, 48.0]), ("helmet", [2.0, 2.0, 9.0, 9.0])]);
    folder.write("ImageSets/Main/train.txt", "a\n");
    let said = contains("\"helmet\" is not among Pascal VOC's").and(contains("--classes"));
    folder.check(&["train"]).assert().code(1).stdout(said);
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

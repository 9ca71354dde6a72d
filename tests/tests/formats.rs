//! Data sets in COCO's and YOLO's formats by the command line: what is read, converted and scored is the same in all three.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use image::RgbImage;
use integration_tests::yolox_nano;
use native_train::data::labels::{self, Classes};
use native_train::data::reading::ExifBoxes;
use native_train::data::{Reading, Source};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::TempDir;

fn command(name: &str) -> Command {
    let mut command = Command::new(yolox_nano());
    command.arg(name);
    command
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// An image of 64 x 48 pixels.
fn draw(path: &Path, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(64, 48, |x, y| image::Rgb([3 * x as u8, 5 * y as u8, shade])).save(path).unwrap();
}

/// A COCO data set of three images, one without objects, whose ids have gaps and are not in order.
fn coco(root: &Path) {
    let image = |id: i64, name: &str| json!({"id": id, "file_name": name, "width": 64, "height": 48});
    let annotation = |id: i64, image: i64, category: i64, bbox: [f64; 4]| json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0});
    let json = json!({
        "images": [image(9, "a.jpg"), image(4, "b.jpg"), image(7, "empty.jpg")],
        "annotations": [
            annotation(3, 4, 17, [4.0, 5.0, 26.5, 26.0]),
            annotation(5, 9, 2, [0.0, 0.0, 64.0, 48.0]),
            annotation(8, 4, 2, [10.123456, 7.1, 20.3, 9.7]),
        ],
        "categories": [{"id": 17, "name": "zebra & co"}, {"id": 2, "name": "cat"}],
    });
    put(&root.join("annotations/instances_val.json"), &json.to_string());
    for (name, shade) in [("a", 10), ("b", 90), ("empty", 170)] {
        draw(&root.join(format!("val/{name}.jpg")), shade);
    }
}

/// Every object: its image, class and corners, in an order that does not depend on the format.
fn objects(source: &str) -> Vec<String> {
    let source: Source = source.parse().unwrap();
    let labels = labels::read(&[source], Classes::Any, &Reading::default()).unwrap();
    let mut objects = Vec::new();
    for image in &labels.images {
        let stem = image.image.path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(image.image.exists(), "{}", image.image.path().display());
        objects.push(stem.clone());
        let of_image = image
            .objects
            .iter()
            .map(|o| format!("{stem} {} {:?} {}", o.object.class, o.object.bbox, o.object.difficult));
        objects.extend(of_image);
    }
    objects.sort();
    objects
}

fn convert(source: &str, to: &str, out: &Path) {
    command("convert").args([source, "--to", to, "--out"]).arg(out).assert().success();
}

/// What names the split of a data set in this folder.
fn source(folder: &Path) -> String {
    format!("{}:val", folder.display())
}

#[test]
fn all_nine_pairs_of_formats_keep_every_box() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    coco(&original);
    let expected = objects(&source(&original));
    assert_eq!(expected.len(), 3 + 3);
    for from in ["voc", "coco", "yolo"] {
        let first = folder.path().join(from);
        convert(&source(&original), from, &first);
        assert_eq!(objects(&source(&first)), expected, "coco to {from}");
        for to in ["voc", "coco", "yolo"] {
            let second = folder.path().join(format!("{from}-{to}"));
            convert(&source(&first), to, &second);
            assert_eq!(objects(&source(&second)), expected, "{from} to {to}");
        }
    }
}

#[test]
fn ids_and_areas_survive_from_coco_to_coco_and_folders_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let [original, again] = ["original", "again"].map(|name| folder.path().join(name));
    coco(&original);
    convert(&source(&original), "coco", &again);
    let read = |root: &PathBuf| -> Value {
        serde_json::from_slice(&fs::read(root.join("annotations/instances_val.json")).unwrap()).unwrap()
    };
    let (before, after) = (read(&original), read(&again));
    assert_eq!(before["images"], after["images"]);
    let sorted = |json: &Value| {
        let mut annotations = json["annotations"].as_array().unwrap().clone();
        annotations.sort_by_key(|annotation| annotation["id"].as_i64());
        annotations
            .iter()
            .map(|a| [&a["id"], &a["image_id"], &a["category_id"]].map(Value::to_string))
            .collect::<Vec<_>>()
    };
    assert_eq!(sorted(&before), sorted(&after));
    command("convert")
        .args([&source(&original), "--to", "voc", "--out"])
        .arg(&again)
        .assert()
        .failure()
        .stderr(contains("there is something in"));
    let linked = folder.path().join("linked");
    command("convert").args([&source(&original), "--to", "yolo", "--link", "--out"]).arg(&linked).assert().success();
    assert_eq!(objects(&source(&linked)), objects(&source(&original)));
}

#[test]
fn difficult_objects_are_crowds_and_yolo_says_that_it_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let voc = folder.path().join("voc");
    draw(&voc.join("JPEGImages/a.jpg"), 7);
    put(&voc.join("ImageSets/Main/val.txt"), "a\n");
    put(
        &voc.join("Annotations/a.xml"),
        "<annotation><size><width>64</width><height>48</height></size><object><name>dog</name><difficult>1</difficult>
         <bndbox><xmin>2</xmin><ymin>3</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>",
    );
    let [coco, yolo] = ["coco", "yolo"].map(|name| folder.path().join(name));
    convert(&source(&voc), "coco", &coco);
    assert_eq!(objects(&source(&coco)), objects(&source(&voc)));
    command("convert")
        .args([&source(&voc), "--to", "yolo", "--out"])
        .arg(&yolo)
        .assert()
        .success()
        .stdout(contains("of the boxes 1 were marked as difficult"));
}

/// Roboflow's two exports, as they lie on disk.
fn roboflow() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(
        &root.join("yolo/data.yaml"),
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['disc', 'ring']\n\nroboflow:\n  workspace: w\n",
    );
    for (split, shade) in [("train", 5), ("valid", 80)] {
        for name in ["a_jpg.rf.0123", "b_png.rf.4567"] {
            draw(
                &root.join(format!("yolo/{split}/images/{name}.jpg")),
                shade + name.len() as u8 * 3 + name.as_bytes()[0],
            );
        }
        put(
            &root.join(format!("yolo/{split}/labels/a_jpg.rf.0123.txt")),
            "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.3 0.1 0.3 0.3\n",
        );
        let json = json!({
            "images": [{"id": 0, "file_name": "a.jpg", "height": 48, "width": 64}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": 2, "bbox": [8, 12, 16, 24], "area": 384, "iscrowd": 0}],
            "categories": [{"id": 0, "name": "shapes", "supercategory": "none"},
                           {"id": 1, "name": "disc", "supercategory": "shapes"},
                           {"id": 2, "name": "ring", "supercategory": "shapes"}],
        });
        put(&root.join(format!("coco/{split}/_annotations.coco.json")), &json.to_string());
        draw(&root.join(format!("coco/{split}/a.jpg")), shade);
    }
    folder
}

#[test]
fn roboflows_exports_are_checked_without_being_told_what_they_are() {
    let folder = roboflow();
    for (set, objects) in
        [("yolo", "2 images, 2 objects"), ("yolo/data.yaml", "2 images, 2 objects"), ("coco", "1 images, 1 objects")]
    {
        let path = folder.path().join(set);
        // Without a split: all that are there; test is not.
        let splits: &[&str] = if set.starts_with("yolo") { &["train", "val"] } else { &["train", "valid"] };
        for split in splits {
            let stdout = command("check-data").arg(format!("{}:{split}", path.display())).assert().success();
            stdout.stdout(contains(objects)).stdout(contains("no problems")).stdout(contains("disc"));
        }
    }
    let coco = folder.path().join("coco");
    let report = command("check-data").arg(&coco).arg("--json").assert().success().get_output().stdout.clone();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["sources"].as_array().unwrap().len(), 2);
    let classes: Vec<_> = report["classes"].as_array().unwrap().iter().map(|class| &class["class"]).collect();
    assert_eq!(classes, ["disc", "ring"]);
}

#[test]
fn what_is_wrong_is_said_with_file_and_place() {
    let folder = roboflow();
    let root = folder.path();
    let fails = |arguments: &[&str], message: &str| {
        command("check-data").args(arguments).assert().failure().stderr(contains(message));
    };
    let yolo = root.join("yolo").display().to_string();
    fails(&[&yolo], "test/images: mend the path in data.yaml");
    fails(&[&format!("{yolo}:nowhere")], "the splits are train, val, test");
    fails(&[&root.join("coco:test").display().to_string()], "the splits are train, valid");
    let labels = root.join("yolo/train/labels/a_jpg.rf.0123.txt");
    for (text, message) in [
        ("0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1\n", "a_jpg.rf.0123.txt:2: the annotation"),
        ("0 250 0.5 0.1 0.1\n", "250 is no part of the picture's width"),
        ("0 0.5 0.5 0 0.1\n", "a_jpg.rf.0123.txt:1: a \"disc\""),
    ] {
        put(&labels, text);
        let checked = command("check-data").arg(format!("{yolo}:train")).assert().failure();
        let stdout = String::from_utf8(checked.get_output().stdout.clone()).unwrap();
        let message = message.trim_end_matches(" the annotation");
        assert!(stdout.contains(message), "{text}: {stdout}");
    }
    fs::remove_file(&labels).unwrap();
    fails(&[&format!("{yolo}:train")], "has labels: they were looked for in places such as");
    let json = root.join("coco/train/_annotations.coco.json");
    let text = fs::read_to_string(&json).unwrap();
    put(&json, &text.replace("[8,12,16,24]", "[8,12,0,24]"));
    let checked = command("check-data").arg(&json).assert().failure();
    checked.stdout(contains("_annotations.coco.json: a.jpg: annotation 0: a \"ring\""));
    put(&json, &text.replace("\"image_id\":0", "\"image_id\":8"));
    fails(&[&json.display().to_string()], "Annotation 0 is of image 8");
}

/// What was made for Pascal VOC's format holds for the others.
#[test]
fn what_is_left_out_is_left_out_of_all_formats() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("coco");
    coco(&root);
    let json = root.join("annotations/instances_val.json");
    let text = fs::read_to_string(&json).unwrap();
    put(&json, &text.replace("[4.0,5.0,26.5,26.0]", "[4.0,5.0,0.0,26.0]"));
    let report = |flags: &[&str]| -> Value {
        let output = command("check-data").arg(&json).arg("--json").args(flags).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let found = report(&[]);
    let problem = &found["problems"][0];
    assert_eq!((&problem["kind"], &problem["entry"]), (&"degenerate-box".into(), &"b.jpg: annotation 3".into()));
    assert_eq!((&problem["line"], &problem["message"].as_str().unwrap()[..12]), (&Value::Null, "a \"zebra & c"));
    let found = report(&["--bad-boxes", "skip"]);
    assert_eq!((found["problems"].as_array().unwrap().len(), found["left_out"].as_array().unwrap().len()), (0, 1));
    let found = report(&["--bad-boxes", "skip", "--classes", "cat", "--other-classes", "skip"]);
    assert_eq!((found["problems"].as_array().unwrap().len(), found["left_out"].as_array().unwrap().len()), (0, 2));
    // The same file as a text of another system.
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(&json, utf16).unwrap();
    assert_eq!(report(&[])["problems"].as_array().unwrap().len(), 0);
    put(&json, &text.replace("[4.0,5.0,26.5,26.0]", "[4.0,5.0,0.0,26.0]"));

    let out = folder.path().join("out");
    let convert =
        |flags: &[&str]| command("convert").arg(&json).args(["--to", "yolo", "--out"]).arg(&out).args(flags).assert();
    convert(&[]).failure().stderr(contains("b.jpg: annotation 3: a \"zebra & co\"").and(contains("--bad-boxes skip")));
    convert(&["--bad-boxes", "skip"]).success().stderr(contains("left out, as asked for: 1 degenerate boxes"));
    assert_eq!(objects(&source(&out)).len(), 3 + 2);
}

#[test]
fn what_yolo_and_coco_name_twice_or_nowhere_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // YOLO: a list of classes, and links to nowhere.
    draw(&root.join("yolo/images/train/a.jpg"), 9);
    put(&root.join("yolo/labels/train/a.txt"), "1 0.5 0.5 0.5 0.5\n");
    for (list, complaint) in [
        ("0: box\n1: disc\n", "classes.txt: line 1: The lines begin with numbers"),
        ("# mine\nbox\ndisc", "classes.txt: line 1: A line that begins with #"),
        ("box\ndisc\nbox\n", "classes.txt: line 3: The class \"box\" is twice"),
        ("box, disc", "classes.txt: line 1: All names seem to be in one line"),
    ] {
        put(&root.join("yolo/classes.txt"), list);
        command("check-data").arg(root.join("yolo")).assert().code(1).stderr(contains(complaint));
    }
    put(&root.join("yolo/classes.txt"), "\"box\"\r\"disc\"\r");
    command("check-data").arg(root.join("yolo")).assert().success().stdout(contains("disc"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.jpg", root.join("yolo/images/train/b.jpg")).unwrap();
        let found = command("check-data").arg(root.join("yolo")).assert().code(1);
        found.stdout(contains("b.jpg: the image is missing").and(contains("2 images")));
    }
    // COCO: two categories of one name, and a file whose name is written otherwise.
    coco(&root.join("coco"));
    let json = root.join("coco/annotations/instances_val.json");
    let text = fs::read_to_string(&json).unwrap();
    let image = text.split("\"file_name\"").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap().to_string();
    put(&json, &text.replace(&image, &image.to_uppercase()));
    command("check-data").arg(&json).assert().code(1).stdout(contains(format!("(is it \"{image}\"?)")));
    put(&json, &text.replace("zebra & co", "cat"));
    command("check-data").arg(&json).assert().code(1).stderr(contains("two categories are called \"cat\""));
}

#[test]
fn conversion_warns_of_classes_that_training_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("yolo");
    draw(&root.join("images/train/a.jpg"), 9);
    put(&root.join("labels/train/a.txt"), "0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.2 0.2\n");
    put(&root.join("classes.txt"), "disc\nDisc\n");
    let out = folder.path().join("voc");
    let done = command("convert").arg(&root).args(["--to", "voc", "--out"]).arg(&out).assert().success();
    done.stderr(contains("warning: ").and(contains("differs from \"Disc\" only by case")));
}

/// Boxes in parts are of upright images, unless it is said that they are of the stored ones.
#[test]
fn parts_are_of_upright_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(&root.join("data.yaml"), "names: [cat]\nval: images/val\n");
    put(&root.join("labels/val/a.txt"), "0 0.25 0.375 0.5 0.25\n");
    // Clockwise by a quarter, and upside down.
    for (orientation, stored, upright) in
        [(6, [25.0, 1.0, 37.0, 33.0], [1.0, 17.0, 25.0, 33.0]), (3, [33.0, 25.0, 65.0, 37.0], [1.0, 13.0, 33.0, 25.0])]
    {
        turned(&root.join("images/val/a.jpg"), orientation);
        let read = |exif_boxes| {
            let reading = Reading { exif_boxes, ..Reading::default() };
            let source = source(root).parse().unwrap();
            let labels = labels::read(&[source], Classes::Any, &reading).unwrap();
            let b = labels.images[0].objects[0].object.bbox;
            [b.xmin, b.ymin, b.xmax, b.ymax]
        };
        for (exif_boxes, expected) in
            [(ExifBoxes::Stop, upright), (ExifBoxes::Upright, upright), (ExifBoxes::Stored, stored)]
        {
            assert_eq!(read(exif_boxes), expected, "orientation {orientation}, {exif_boxes:?}");
        }
    }
}

/// An image of 64 x 48 pixels as a camera stores it that was held in another way.
fn turned(path: &Path, orientation: u8) {
    use image::ImageEncoder;
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&[90; 3 * 64 * 48], 64, 48, image::ExtendedColorType::Rgb8).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn training_takes_the_splits_that_it_needs() {
    let folder = roboflow();
    let data = folder.path().join("yolo/data.yaml").display().to_string();
    let run = folder.path().join("run");
    let train = [
        "--train",
        &data,
        "--val",
        &data,
        "--epochs",
        "1",
        "--batch",
        "2",
        "--size",
        "64",
        "--threads",
        "1",
        "--warmup-epochs",
        "0",
    ];
    command("train").args(&train[..12]).arg("--out").arg(&run).assert().success().stdout(contains("2 classes"));
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("data.yaml"), "{config}");
}

#[test]
fn scores_of_one_data_set_are_the_same_in_all_formats() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    coco(&original);
    let mut reports = Vec::new();
    for to in ["voc", "coco", "yolo"] {
        let set = folder.path().join(to);
        convert(&source(&original), to, &set);
        let found = folder.path().join(format!("{to}.json"));
        let eval = command("eval")
            .args([
                "--weights",
                "baseline-coco",
                "--data",
                &source(&set),
                "--metric",
                "both",
                "--json",
                "--score",
                "0.0001",
            ])
            .args(["--save-detections".as_ref(), found.as_os_str()])
            .assert()
            .success();
        let mut report: Value = serde_json::from_slice(&eval.get_output().stdout).unwrap();
        report.as_object_mut().unwrap().remove("seconds");
        assert!(report["coco"]["ap"].is_number() && report["ap50_11"].is_number(), "{report}");
        let found: Vec<Value> = serde_json::from_slice(&fs::read(found).unwrap()).unwrap();
        assert!(found.iter().all(|found| found["bbox"].as_array().unwrap().len() == 4));
        reports.push(report);
    }
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0], reports[2]);

    // Several data sets at once, whatever their formats.
    let sets = ["voc", "yolo"].map(|to| source(&folder.path().join(to)));
    let eval = |flags: &[&str]| command("eval").args(["--weights", "baseline-coco"]).args(&sets).args(flags).assert();
    let both = eval(&["--json"]).success();
    let both: Value = serde_json::from_slice(&both.get_output().stdout).unwrap();
    assert_eq!((&both["coco"]["images"], &both["images"]), (&6.into(), &Value::Null));
    eval(&["--save-detections", "x.json"]).failure().stderr(contains("is for one data set"));
}

#[test]
fn the_page_of_a_data_set_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    coco(&folder.path().join("set"));
    let page = folder.path().join("page.html");
    command("check-data").arg(folder.path().join("set")).arg("--html").arg(&page).assert().success();
    let html = fs::read_to_string(page).unwrap();
    assert_eq!(html.matches("<img alt=\"\" src=\"data:image/jpeg;base64,").count(), html.matches("<img").count());
    assert!(html.contains("zebra &amp; co") && html.contains("box as large as the image"), "{html:.3000}");
}

use shared_model::annotations::FormatErrorKind;

use super::*;

/// As LabelImg and VOC2007 write it.
const VOC: &str = r#"<annotation>
	<folder>VOC2007</folder>
	<filename>000012.jpg</filename>
	<source><database>The VOC2007 Database</database></source>
	<size>
		<width>500</width>
		<height>333</height>
		<depth>3</depth>
	</size>
	<object>
		<name>car</name>
		<pose>Rear</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>156</xmin>
			<ymin>97</ymin>
			<xmax>351</xmax>
			<ymax>270</ymax>
		</bndbox>
	</object>
	<object>
		<name>motorbike</name>
		<difficult>1</difficult>
		<bndbox><xmax>11</xmax><xmin>1</xmin><ymax>21</ymax><ymin>1</ymin></bndbox>
	</object>
</annotation>
"#;

const COCO: &str = r#"{
 "info": {"year": 2017}, "licenses": [],
 "images": [
  {"id": 397133, "file_name": "000000397133.jpg", "width": 640, "height": 427, "license": 4, "coco_url": "http://x"},
  {"id": 2, "file_name": "train/a.jpg"}, {"id": 3, "file_name": "test\\a.jpg"}, {"id": 4, "file_name": "empty.png"}],
 "annotations": [
  {"id": 82445, "image_id": 397133, "category_id": 44, "bbox": [217.5, 240.5, 38.25, 57.75], "area": 1481.3,
   "iscrowd": 0, "segmentation": [[224.24, 297.18, 228.29, 297.18]]},
  {"id": 1, "image_id": 397133, "category_id": 1, "bbox": [1, 240, 346, 186], "iscrowd": 1,
   "segmentation": {"counts": [1], "size": [427, 640]}},
  {"id": 5, "image_id": 3, "category_id": 1, "bbox": [0, 0, 2, 3]}],
 "categories": [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 44, "name": "bottle"}]
}"#;

const YOLO: &str = "0 0.5 0.25 0.5 0.5\r\n15 0.905000 0.500000 0.190000 1.000000\r\n\r\n";

fn read(name: &str, text: &str) -> TruthFile {
    TruthFile::read(name, text).unwrap_or_else(|error| panic!("{error}"))
}

fn object(class: &str, [x1, y1, x2, y2]: [f32; 4], difficult: bool) -> TruthObject {
    TruthObject { class: class.into(), bbox: BBox { x1, y1, x2, y2 }, difficult }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn voc_boxes_begin_at_0_and_difficult_ones_are_marked() {
    let truth = read("000012.xml", VOC).objects_for("000012.jpg", 500, 333, None).unwrap().unwrap();
    let objects =
        vec![object("car", [155.0, 96.0, 350.0, 269.0], false), object("motorbike", [0.0, 0.0, 10.0, 20.0], true)];
    assert_eq!((truth.objects, truth.note), (objects, None));
    assert_eq!(truth.classes.unwrap().len(), 20, "all of VOC's were looked for");
    let own = VOC.replace("motorbike", "sidecar");
    let own = read("000012.xml", &own).objects_for("000012.jpg", 500, 333, None).unwrap().unwrap();
    assert_eq!(own.classes, None);
}

#[test]
fn voc_files_belong_to_pictures_of_their_name_or_the_one_they_tell() {
    let renamed = read("labels/Holiday.xml", &format!("\u{feff}{VOC}"));
    for name in ["000012.jpg", "000012.png", "pictures/holiday.webp"] {
        assert!(renamed.objects_for(name, 500, 333, None).is_some(), "{name}");
    }
    assert!(renamed.objects_for("000013.jpg", 500, 333, None).is_none());
    assert!(renamed.only_objects(500, 333, None).is_some(), "given together with the only picture");
}

#[test]
fn boxes_are_scaled_with_the_picture() {
    let file = read("000012.xml", VOC);
    let truth = file.objects_for("000012.jpg", 1000, 999, None).unwrap().unwrap();
    assert_eq!(truth.objects[1].bbox, BBox { x1: 0.0, y1: 0.0, x2: 20.0, y2: 60.0 });
    assert_eq!(truth.note, Some(TruthNote::Scaled([500.0, 333.0])));

    let error = file.objects_for("000012.jpg", 333, 500, None).unwrap().unwrap_err();
    assert_eq!(error.kind, TruthErrorKind::Turned { width: 500.0, height: 333.0 });

    for unknown in ["<width>0</width>", "<width>inf</width>", "<width>NaN</width>", "<width>-500</width>", ""] {
        let file = read("a.xml", &VOC.replace("<width>500</width>", unknown));
        let truth = file.objects_for("a.jpg", 1000, 999, None).unwrap().unwrap();
        assert_eq!((truth.objects[1].bbox.x2, truth.note), (10.0, None), "{unknown}");
    }
}

#[test]
fn damaged_voc_files_are_told_with_their_lines() {
    for (text, line) in [
        (VOC[..300].to_string(), 14),
        (String::new(), 1),
        (VOC.replace("<xmax>351</xmax>", "<xmax>wide</xmax>"), 18),
        (VOC.replace("<xmax>351</xmax>", "<xmax>15</xmax>"), 15),
        (VOC.replace("<name>car</name>", "<name/>"), 11),
        ("<html><body>404</body></html>".into(), 1),
    ] {
        let error = TruthFile::read("a.xml", &text).unwrap_err();
        assert!(matches!(error.kind, TruthErrorKind::Voc(_)) && error.line == Some(line), "{error}");
        let sentence = error.to_string();
        assert!(sentence.starts_with("a.xml, line ") && sentence.contains("export it again"), "{sentence}");
    }
}

#[test]
fn coco_boxes_have_widths_and_crowds_are_difficult() {
    let file = read("instances_val2017.json", COCO);
    let objects = vec![
        object("bottle", [217.5, 240.5, 255.75, 298.25], false),
        object("person", [1.0, 240.0, 347.0, 426.0], true),
    ];
    let truth = file.objects_for("000000397133.jpg", 640, 427, None).unwrap().unwrap();
    assert_eq!((truth.objects, truth.note), (objects, None));
    assert!(truth.classes.unwrap().contains(&"bottle".to_string()));

    let half = file.objects_for("val2017/000000397133.JPG", 320, 427, None).unwrap().unwrap();
    assert_eq!(half.objects[1].bbox, BBox { x1: 0.5, y1: 240.0, x2: 173.5, y2: 426.0 });
    assert_eq!(half.note, Some(TruthNote::Scaled([640.0, 427.0])));

    let empty = file.objects_for("empty.png", 9, 9, None).unwrap().unwrap();
    assert_eq!((empty.objects, empty.note), (Vec::new(), None));
    assert!(file.objects_for("empty.jpg", 9, 9, None).is_none());
    assert!(file.only_objects(9, 9, None).is_none(), "it is about several pictures");
}

#[test]
fn coco_pictures_of_one_name_are_told_apart_by_their_folders() {
    let file = read("a.json", COCO);
    let found = |name| file.objects_for(name, 9, 9, None).unwrap().map(|truth| truth.objects.len());
    assert_eq!((found("train/a.jpg"), found("test\\a.jpg")), (Ok(0), Ok(1)));
    let error = found("a.jpg").unwrap_err();
    assert_eq!(error.kind, TruthErrorKind::CocoAmbiguous { name: "a.jpg".into(), count: 2 });
}

#[test]
fn a_coco_file_of_one_picture_fits_any() {
    let json = r#"{"images":[{"id":1,"file_name":"x.jpg"}],"categories":[{"id":1,"name":"cat"}],
        "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4]}]}"#;
    let truth = read("x.json", json).only_objects(9, 9, None).unwrap().unwrap();
    assert_eq!(truth.objects, [object("cat", [1.0, 2.0, 4.0, 6.0], false)]);
}

#[test]
fn damaged_coco_files_are_refused_with_their_lines() {
    let without = |what: &str| COCO.replace(what, "\"x\"");
    for (text, line, message) in [
        (COCO[..400].to_string(), 7, "EOF"),
        (without("\"images\""), 13, "missing field `images`"),
        (without("\"categories\""), 13, "missing field `categories`"),
        (COCO.replace("[0, 0, 2, 3]", "[0, 0, 2]"), 11, "length 3"),
        (COCO.replace("[0, 0, 2, 3]", "null"), 11, "null"),
        ("{\"shapes\": []}".into(), 1, "missing field `images`"),
    ] {
        let error = TruthFile::read("a.json", &text).unwrap_err();
        let fits = matches!(&error.kind, TruthErrorKind::Format(FormatErrorKind::Coco(told)) if told.contains(message));
        assert!(fits && error.line == Some(line), "{error}");
    }
    let results = r#"[{"image_id": 1, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.2}]"#;
    assert_eq!(TruthFile::read("a.json", results).unwrap_err().kind, FormatErrorKind::CocoResults.into());
}

/// One bad annotation of a large file does no harm to the other pictures.
#[test]
fn what_is_wrong_about_one_coco_picture_is_told_there() {
    for (from, to, kind) in [
        ("[0, 0, 2, 3]", "[0, 0, 2, 0]", FormatErrorKind::CocoBox { annotation: 5, width: 2.0, height: 0.0 }),
        ("[0, 0, 2, 3]", "[9, 9, -4, 3]", FormatErrorKind::CocoBox { annotation: 5, width: -4.0, height: 3.0 }),
        (
            "\"image_id\": 3, \"category_id\": 1",
            "\"image_id\": 3, \"category_id\": 7",
            FormatErrorKind::CocoCategory { annotation: 5, category: 7 },
        ),
    ] {
        let file = read("a.json", &COCO.replace(from, to));
        assert!(file.objects_for("000000397133.jpg", 640, 427, None).unwrap().is_ok());
        let error = file.objects_for("test\\a.jpg", 9, 9, None).unwrap().unwrap_err();
        assert_eq!(error.kind, kind.into());
        assert!(error.to_string().starts_with("a.json: "), "{error}");
    }
}

#[test]
fn yolo_numbers_are_cocos_names_or_those_of_a_list() {
    let file = read("labels/photo.txt", YOLO);
    let truth = file.objects_for("photo.jpg", 200, 100, None).unwrap().unwrap();
    assert_eq!(truth.objects[0], object("person", [50.0, 0.0, 150.0, 50.0], false));
    assert_eq!(truth.objects[1].class, "cat");
    assert_eq!(truth.note, Some(TruthNote::CocoNames));

    let list = strings(&shared_model::VOC_CLASSES);
    let truth = file.objects_for("photo.jpg", 200, 100, Some(&list)).unwrap().unwrap();
    assert_eq!((truth.objects[1].class.as_str(), truth.note), ("pottedplant", None));

    assert!(file.objects_for("photo2.jpg", 200, 100, None).is_none());
    assert!(file.only_objects(200, 100, None).is_some());
}

#[test]
fn a_yolo_file_may_be_empty() {
    let truth = read("photo.txt", "\n").objects_for("photo.jpg", 9, 9, None).unwrap().unwrap();
    assert_eq!(truth, GroundTruth { objects: Vec::new(), classes: None, note: None });
}

#[test]
fn yolo_numbers_beyond_the_names_are_told_with_their_lines() {
    let told = |text, list: Option<&[String]>| {
        let error = read("a.txt", text).objects_for("a.jpg", 9, 9, list).unwrap().unwrap_err();
        assert!(error.to_string().starts_with("a.txt, line 2: Class "), "{error}");
        error.kind
    };
    let cat = strings(&["cat"]);
    assert_eq!(told(YOLO, Some(&cat)), FormatErrorKind::YoloBeyondList { class: 15, names: 1 }.into());
    assert_eq!(told("79 .5 .5 .1 .1\n80 .5 .5 .1 .1", None), TruthErrorKind::YoloBeyondCoco(80));
}

#[test]
fn damaged_yolo_files_are_told_with_their_lines() {
    use FormatErrorKind::*;
    for (line, kind) in [
        ("0 0.5 0.5 0.1", YoloColumns(4)),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1", YoloColumns(8)),
        ("0 0.5 0.5 0.1 0.1 0.87", YoloScore),
        ("traffic light", YoloNumber("traffic".into())),
        ("0 0.5 NaN 0.1 0.1", YoloNumber("NaN".into())),
        ("0.5 0.5 0.5 0.1 0.1", YoloClass("0.5".into())),
        ("-1 0.5 0.5 0.1 0.1", YoloClass("-1".into())),
        ("0 250 0.5 0.1 0.1", YoloRange(250.0)),
        ("0 0.5 -0.5 0.1 0.1", YoloRange(-0.5)),
        ("0 0.5 0.5 0 0.1", YoloRange(0.0)),
        ("0 0.5 0.5 0.1 -0.1", YoloRange(-0.1)),
    ] {
        let error = TruthFile::read("a.txt", &format!("0 0.5 0.5 1.005 1\n\n{line}")).unwrap_err();
        assert_eq!(error, TruthError { file: "a.txt".into(), line: Some(3), kind: kind.into() }, "{line}");
    }
}

#[test]
fn lists_of_classes_have_a_name_a_line() {
    let file = read("classes.txt", "\u{feff}cat\r\n traffic light \r\n\r\n");
    assert_eq!(file.class_list().unwrap(), ["cat", "traffic light"]);
    assert!(file.objects_for("classes.jpg", 9, 9, None).is_none() && file.only_objects(9, 9, None).is_none());
    assert!(read("a.txt", YOLO).class_list().is_none());

    let gap = TruthFile::read("obj.names", "cat\n\ndog\n").unwrap_err();
    assert_eq!((gap.line, gap.kind), (Some(2), FormatErrorKind::NamelessClass.into()));
    assert_eq!(TruthFile::read("obj.names", " \n").unwrap_err().kind, FormatErrorKind::NoClasses.into());
}

#[test]
fn other_files_are_refused() {
    for (name, text) in [("data.yaml", "names: [cat]"), ("notes.md", "# Cats"), ("boxes", ""), ("a.csv", "a,b")] {
        let error = TruthFile::read(name, text).unwrap_err();
        assert_eq!(error, TruthError { file: name.into(), line: None, kind: TruthErrorKind::UnknownFormat });
    }
    // What is known by its beginning needs no extension.
    assert!(TruthFile::read("boxes", VOC).is_ok() && TruthFile::read("boxes.txt", COCO).is_ok());
}

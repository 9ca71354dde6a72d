//! The published COCO weights on real photographs, through the command line: Megvii's boxes and the official score.
//! The photographs are in the shared folder only.

use assert_cmd::Command;
use integration_tests::{repository, shared, yolox_nano};
use serde_json::Value;

fn command() -> Command {
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository());
    command
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The published COCO weights' entry in the manifest.
fn published() -> Value {
    let text = std::fs::read_to_string(repository().join("models/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let models = manifest["models"].as_array().unwrap();
    models.iter().find(|model| model["name"] == "baseline-coco").expect("it is in the manifest").clone()
}

#[test]
fn golden_images_have_the_boxes_of_onnxruntime() {
    let Some(shared) = shared("the golden images' boxes") else { return };
    let text = std::fs::read_to_string(shared.join("golden/coco-nano-detections.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let golden = golden["images"].as_object().unwrap();
    assert_eq!(golden.len(), 15);
    let paths = golden.keys().map(|name| shared.join(format!("voc/VOC2007/JPEGImages/{name}.jpg")));
    let output = command().arg("detect").args(paths).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = output.stdout.split(|&b| b == b'\n').flat_map(serde_json::from_slice).collect();
    assert_eq!(found.len(), 15);

    for ((name, golden), found) in golden.iter().zip(&found) {
        let size = [0, 1].map(|i| number(&golden["size_wh"][i]));
        assert_eq!([number(&found["width"]), number(&found["height"])], size, "{name}");
        let (golden, found) = (golden["detections"].as_array().unwrap(), found["detections"].as_array().unwrap());
        assert_eq!(found.len(), golden.len(), "{name}");
        // Equal scores may come in another order, so that each golden box looks for its own.
        for golden in golden {
            let matches = |found: &&Value| {
                let class =
                    golden["coco_class"].as_str().unwrap().replace('_', " ") == found["class"].as_str().unwrap();
                let score = (number(&golden["score"]) - number(&found["score"])).abs() < 0.01;
                // Golden boxes reach beyond the image, the command line's are clipped to it.
                let corner = |i: usize, key: &str| {
                    (number(&golden["xyxy"][i]).clamp(0.0, size[i % 2]) - number(&found[key])).abs() < 1.0
                };
                class && score && corner(0, "x1") && corner(1, "y1") && corner(2, "x2") && corner(3, "y2")
            };
            assert_eq!(found.iter().filter(matches).count(), 1, "{name}: {golden} among {found:?}");
        }
    }
}

#[test]
fn official_score_on_voc2007_test() {
    let Some(shared) = shared("AP on VOC2007 test") else { return };
    let data = shared.join("voc/VOC2007");
    let output = command().args(["eval", "--split", "test", "--json", "--data"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("AP50 {}, AP {} in {} s", report["ap50_11"], report["ap_11"], report["seconds"]);
    assert_eq!(report["images"], 800);
    assert_eq!(report["per_class"].as_array().unwrap().len(), 20);
    assert_eq!(report["unknown_classes"], serde_json::json!([]));
    assert!((number(&report["ap50_11"]) - 74.29).abs() < 0.3, "{}", report["ap50_11"]);
    assert!((number(&report["ap_11"]) - 51.96).abs() < 0.3, "{}", report["ap_11"]);
    let published = published();
    for (key, figure) in [("voc2007_ap50", "ap50_11"), ("voc2007_ap", "ap_11")] {
        assert!(
            (number(&published[key]) - number(&report[figure])).abs() < 0.02,
            "the manifest's {key} is out of date"
        );
    }
}

#[test]
fn importing_megviis_file_gives_the_published_weights() {
    let Some(shared) = shared("the import of Megvii's ONNX file") else { return };
    let entry = published();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("imported.safetensors");
    let onnx = shared.join("weights/yolox_nano.onnx");
    let source = entry["source"].as_str().unwrap();
    command().arg("import").arg(&onnx).args(["--source", source, "--out"]).arg(&out).assert().success();
    let published = repository().join("models").join(entry["file"].as_str().unwrap());
    assert!(std::fs::read(out).unwrap() == std::fs::read(published).unwrap(), "the files differ");
}

/// Two damaged copies of that file, on which the import once went on for minutes.
#[test]
fn damage_in_megviis_file_is_refused_at_once() {
    let Some(shared) = shared("damaged copies of Megvii's ONNX file") else { return };
    let whole = std::fs::read(shared.join("weights/yolox_nano.onnx")).unwrap();
    let recipe = std::fs::read_to_string(shared.join("cases/90-onnx-loops/recipe.txt")).unwrap();
    let hex = recipe.lines().last().expect("the bytes are in its last line").trim();
    let inserted: Vec<u8> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal")).collect();
    let inserted = [&whole[..3_558_579], &inserted, &whole[3_558_579..]].concat();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("removed", [&whole[..83_894], &whole[83_966..]].concat()), ("inserted", inserted)] {
        let file = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&file, bytes).unwrap();
        let out = folder.path().join("out.safetensors");
        let mut import = command();
        import.arg("import").arg(&file).args(["--source", "a test", "--out"]).arg(&out);
        import.timeout(std::time::Duration::from_secs(60));
        import.assert().code(1).stderr(predicates::str::contains(format!("{name}.onnx")));
    }
}

//! The command line `yolox-nano` as a subprocess: what it prints, and how it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use integration_tests::drawn::write_voc;
use integration_tests::{repository, yolox_nano};
use predicates::str::contains;
use serde_json::Value;

fn command() -> Command {
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository());
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sample(name: &str) -> PathBuf {
    repository().join("web-demo/assets/samples").join(name)
}

fn weights() -> PathBuf {
    repository().join("models/yolox_nano_coco.safetensors")
}

#[test]
fn every_help_has_an_example() {
    for name in ["variants", "cost", "detect", "eval", "check-data", "bench", "import", "export"] {
        command().args([name, "--help"]).assert().success().stdout(contains(format!("  yolox-nano {name}")));
    }
    command().arg("--help").assert().success().stdout(contains("Examples:"));
}

#[test]
fn variants_as_table_and_json() {
    command().arg("variants").assert().success().stdout(contains("900,459")).stdout(contains("mdconv"));
    let rows = json(command().args(["variants", "--json"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 8);
    assert_eq!((&rows[0]["name"], &rows[0]["parameters"]), (&"baseline".into(), &900_459.into()));
    assert!((rows[0]["gflops"].as_f64().unwrap() - 1.0516).abs() < 1e-4);
    assert!(rows.iter().all(|row| row["macs"].is_u64()));
}

#[test]
fn costs_of_layers_add_up() {
    let report = json(command().args(["cost", "--variant", "final", "--classes", "80", "--size", "320", "--json"]));
    for key in ["parameters", "macs", "activation_bytes"] {
        let sum: u64 = report["layers"].as_array().unwrap().iter().map(|layer| layer[key].as_u64().unwrap()).sum();
        assert_eq!(report[key], sum, "{key}");
    }
    command().args(["cost", "--variant", "baseline"]).assert().success().stdout(contains("head.cls_preds.2"));
}

#[test]
fn objects_in_the_sample_images() {
    for (name, class) in
        [("astronaut.jpg", "person"), ("chelsea.jpg", "cat"), ("coffee.jpg", "cup"), ("motorcycle.jpg", "motorcycle")]
    {
        let report = json(command().arg("detect").arg(sample(name)).arg("--json"));
        let image = image::image_dimensions(sample(name)).unwrap();
        assert_eq!((&report["width"], &report["height"]), (&image.0.into(), &image.1.into()));
        let best = &report["detections"][0];
        assert_eq!(best["class"], class, "{name}");
        assert!(best["score"].as_f64().unwrap() > 0.5, "{name}: {best}");
        let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(|key| best[key].as_f64().unwrap());
        assert!(0.0 <= x1 && x1 < x2 && x2 <= image.0.into(), "{best}");
        assert!(0.0 <= y1 && y1 < y2 && y2 <= image.1.into(), "{best}");
    }
    command().arg("detect").arg(sample("coffee.jpg")).assert().success().stdout(contains("cup"));
}

#[test]
fn no_box_is_said_so() {
    let mut detect = command();
    detect.arg("detect").arg(sample("coffee.jpg")).args(["--score", "1"]);
    detect.assert().success().stdout(contains("nothing found"));
}

#[test]
fn images_with_boxes_are_written_and_originals_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(input.join("deep")).unwrap();
    fs::copy(sample("coffee.jpg"), input.join("deep/a.jpg")).unwrap();
    image::open(sample("chelsea.jpg")).unwrap().save(input.join("b.bmp")).unwrap();
    fs::write(input.join("notes.txt"), "no image").unwrap();
    let mut detect = command();
    detect.arg("detect").arg(&input).arg("--out").arg(&out);
    detect.assert().success().stderr(contains("1 other files"));
    for (drawn, original) in [("deep/a.jpg", "deep/a.jpg"), ("b.bmp.png", "b.bmp")] {
        let (drawn, original) = (image::open(out.join(drawn)).unwrap(), image::open(input.join(original)).unwrap());
        assert_eq!((drawn.width(), drawn.height()), (original.width(), original.height()));
        assert_ne!(drawn.to_rgb8(), original.to_rgb8());
    }
    let before = fs::read(input.join("deep/a.jpg")).unwrap();
    let mut onto_itself = command();
    onto_itself.arg("detect").arg(&input).arg("--out").arg(&input);
    onto_itself.assert().code(1).stderr(contains("choose another --out"));
    assert_eq!(fs::read(input.join("deep/a.jpg")).unwrap(), before);
}

#[test]
fn a_bad_image_is_explained_and_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = fs::read(sample("coffee.jpg")).unwrap();
    let mut large = jpeg.clone();
    let frame = large.windows(2).position(|marker| matches!(marker, [0xff, 0xc0 | 0xc2])).unwrap();
    large[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
    for (name, bytes, complaint) in [
        ("empty.jpg", &[][..], "empty (0 bytes): copy or download it again"),
        ("short.jpg", &jpeg[..jpeg.len() / 2], "damaged or cut short"),
        ("text.png", b"this is no image at all", "not an image in a format that can be read"),
        ("large.jpg", &large, "20000 x 20000 pixels are more than the 256 megapixels"),
    ] {
        let bad = folder.path().join(name);
        fs::write(&bad, bytes).unwrap();
        let mut detect = command();
        detect.arg("detect").arg(&bad).arg(sample("coffee.jpg")).arg("--json");
        let assert = detect.assert().code(1).stderr(contains(name)).stderr(contains(complaint));
        assert.stdout(contains("\"cup\""));
    }
    let mut missing = command();
    missing.args(["detect", "nowhere.jpg"]).assert().code(1).stderr(contains("nowhere.jpg"));
}

#[test]
fn slight_damage_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.jpg");
    let jpeg = fs::read(sample("coffee.jpg")).unwrap();
    fs::write(&short, &jpeg[..jpeg.len() - 2]).unwrap();
    let mut detect = command();
    detect.args(["detect", "--threads", "1"]).arg(&short);
    let warning = contains("short.jpg: the file's last bytes are missing");
    detect.assert().success().stdout(contains("cup")).stderr(warning.clone());

    // The same of a data set.
    write_voc(&folder.path().join("voc"), 2);
    let image = folder.path().join("voc/JPEGImages/short.jpg");
    fs::copy(&short, &image).unwrap();
    let annotation = "<annotation><object><name>cup</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>300</xmax>\
        <ymax>300</ymax></bndbox></object></annotation>";
    fs::write(folder.path().join("voc/Annotations/short.xml"), annotation).unwrap();
    fs::write(folder.path().join("voc/ImageSets/Main/train.txt"), "short\n").unwrap();
    let mut eval = command();
    eval.args(["eval", "--threads", "1", "--weights", "baseline-coco"]).arg(folder.path().join("voc:train"));
    eval.assert().success().stderr(warning);
}

#[cfg(unix)]
#[test]
fn an_entry_that_cannot_be_read_does_not_end_a_folders_run() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("a.jpg")).unwrap();
    fs::copy(sample("coffee.jpg"), folder.path().join("b.jpg")).unwrap();
    fs::write(folder.path().join("Thumbs.db"), "x").unwrap();
    let mut detect = command();
    detect.arg("detect").arg(folder.path());
    let assert = detect.assert().code(1).stdout(contains("cup")).stderr(contains("a.jpg"));
    assert!(!String::from_utf8_lossy(&assert.get_output().stderr).contains("other files"));
}

/// Of more than the 64 megapixels that are decoded.
#[test]
fn boxes_of_a_large_image_are_in_its_own_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.jpg");
    let coffee = image::open(sample("coffee.jpg")).unwrap();
    let [width, height] = [10_000, 10_000 * coffee.height() / coffee.width()];
    coffee.resize_exact(width, height, image::imageops::FilterType::Nearest).save(&large).unwrap();
    let small = json(command().arg("detect").arg(sample("coffee.jpg")).arg("--json"));
    let report = json(command().arg("detect").arg(&large).arg("--json"));
    assert_eq!((&report["width"], &report["height"]), (&width.into(), &height.into()));
    let (found, expected) = (&report["detections"][0], &small["detections"][0]);
    assert_eq!(found["class"], expected["class"]);
    let scale = f64::from(width) / f64::from(coffee.width());
    for key in ["x1", "y1", "x2", "y2"] {
        let [found, expected] = [found, expected].map(|detection| detection[key].as_f64().unwrap());
        assert!((found - scale * expected).abs() < 0.03 * f64::from(width), "{key}: {found}, {}", scale * expected);
    }
}

#[test]
fn weights_that_cannot_be_used_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(weights()).unwrap();
    let text = folder.path().join("text.safetensors");
    fs::write(&text, "no weights").unwrap();
    let short = folder.path().join("short.safetensors");
    fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
    for (weights, complaint) in [
        ("nowhere", "the models are baseline-coco"),
        (text.to_str().unwrap(), "this is no weight file"),
        (short.to_str().unwrap(), "not a complete .safetensors file"),
    ] {
        let mut detect = command();
        detect.arg("detect").arg(sample("coffee.jpg")).args(["--weights", weights]);
        detect.assert().code(1).stderr(contains(complaint)).stderr(contains(weights));
    }
    let mut named = command();
    named.arg("detect").arg(sample("coffee.jpg")).args(["--weights", "baseline-coco"]).assert().success();
}

#[test]
fn without_the_models_folder_there_is_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("yolox-nano");
    // Not `fs::copy`: a process that another test starts meanwhile would inherit the open file, which then cannot be run.
    std::process::Command::new("cp").arg(yolox_nano()).arg(&program).status().unwrap();
    let mut detect = Command::new(&program);
    detect.current_dir(folder.path()).arg("detect").arg(sample("coffee.jpg"));
    detect.assert().code(1).stderr(contains("models/manifest.json")).stderr(contains("--weights"));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for (args, complaint) in [
        (&["cost", "--variant", "nano"][..], "the variants are baseline, dw3"),
        (&["bench", "--size", "400"], "multiple of 32"),
        (&["bench", "--variant", "dw3", "--weights", "x"], "cannot be used with"),
        (&["bench", "--all", "--variant", "dw3"], "cannot be used with"),
        (&["bench", "--batch", "4"], "--train|--loader"),
        (&["eval", "--data", ".", "--engine", "tensorflow"], "native, torch, candle"),
        (&["bench", "--data", "VOC2007:train"], "--loader"),
        (&["bench", "--loader", "--train"], "cannot be used with"),
        (&["detect", "x.jpg", "--score", "2"], "from 0 to 1"),
        (&["eval", "--data", ".", "--threads", "0"], "from 1 to 1024"),
        (&["detect"], "IMAGE|FOLDER"),
    ] {
        command().args(args).assert().code(2).stderr(contains(complaint));
    }
}

/// A VOC folder with two images of the cup: one of its objects is a class that COCO does not have.
fn voc(folder: &Path) {
    for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::write(folder.join("ImageSets/Main/val.txt"), "one 1\ntwo -1\n").unwrap();
    let cup = &json(command().arg("detect").arg(sample("coffee.jpg")).arg("--json"))["detections"][0];
    let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(|key| cup[key].as_f64().unwrap() + 1.0);
    let object = |class: &str| {
        format!(
            "<object><name>{class}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>\
             </bndbox></object>"
        )
    };
    for (name, objects) in [("one", object("cup")), ("two", object("cup") + object("saucer").as_str())] {
        fs::copy(sample("coffee.jpg"), folder.join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let xml = format!("<annotation>{objects}</annotation>");
        fs::write(folder.join(format!("Annotations/{name}.xml")), xml).unwrap();
    }
}

#[test]
fn a_data_set_is_scored_and_unknown_classes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    voc(folder.path());
    let mut eval = command();
    eval.args(["eval", "--split", "val", "--data"]).arg(folder.path());
    eval.assert().success().stdout(contains("do not know saucer"));
    let report = json(eval.arg("--json"));
    assert_eq!(report["images"], 2);
    assert_eq!(report["unknown_classes"], serde_json::json!(["saucer"]));
    assert_eq!(report["per_class"].as_array().unwrap().len(), 1);
    for key in ["ap50_11", "ap_11", "ap50_area", "ap_area"] {
        assert!((report[key].as_f64().unwrap() - 100.0).abs() < 1e-9, "{key}: {}", report[key]);
    }
    let mut by_candle = json(eval.args(["--engine", "candle"]));
    by_candle["seconds"] = report["seconds"].clone();
    assert_eq!(by_candle, report, "the score does not depend on the engine");
    let source = format!("{}:val", folder.path().display());
    for flags in [&[source.as_str()][..], &["--data", source.as_str()]] {
        let mut as_source = json(command().arg("eval").args(flags).arg("--json"));
        as_source["seconds"] = report["seconds"].clone();
        assert_eq!(as_source, report, "{flags:?}");
    }
    let limited = json(eval.args(["--limit", "1"]));
    assert_eq!((&limited["images"], &limited["unknown_classes"]), (&1.into(), &serde_json::json!([])));
}

#[test]
fn eval_says_which_class_was_meant_and_leaves_out_what_check_data_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    voc(folder.path());
    let one = folder.path().join("Annotations/one.xml");
    let xml = fs::read_to_string(&one).unwrap();
    let source = format!("{}:val", folder.path().display());
    let bad =
        "<object><name>Cup</name><bndbox><xmin>9</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>";
    fs::write(&one, xml.replace("</annotation>", &format!("{bad}</annotation>"))).unwrap();
    let complaint = "is no box: draw it anew, remove the object, or leave such objects out with --bad-boxes skip";
    for name in ["eval", "check-data"] {
        let output = command().args([name, &source]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(complaint), "{name}: {}", String::from_utf8_lossy(&said));
    }
    let mut eval = command();
    eval.args(["eval", &source, "--bad-boxes", "skip"]);
    eval.assert().success().stderr(contains("left out, as asked for: 1 degenerate boxes"));
    fs::write(&one, xml.replace("<name>cup<", "<name>Cup<")).unwrap();
    command().args(["eval", &source]).assert().success().stdout(contains("Cup (did you mean \"cup\"?)"));
}

#[test]
fn data_sets_that_are_broken_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    voc(folder.path());
    let eval = |split: &str, complaints: &[&str]| {
        let mut eval = command();
        let mut assert = eval.args(["eval", "--split", split, "--data"]).arg(folder.path()).assert().code(1);
        for complaint in complaints {
            assert = assert.stderr(contains(*complaint));
        }
    };
    eval("test", &["no split \"test\"", "the splits are val"]);
    fs::remove_file(folder.path().join("JPEGImages/two.jpg")).unwrap();
    eval("val", &["two.jpg"]);
    fs::write(folder.path().join("Annotations/one.xml"), "<annotation><object>").unwrap();
    eval("val", &["one.xml"]);
    fs::remove_dir_all(folder.path().join("Annotations")).unwrap();
    eval("val", &["no Pascal VOC folder", "Annotations"]);
}

#[test]
fn bench_measures_every_step_and_layer() {
    let report = json(command().args(["bench", "--variant", "final", "--size", "96", "--runs", "3", "--json"]));
    for key in ["preprocess_ms", "network_ms", "postprocess_ms"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let layers = report["layers"].as_array().unwrap();
    let macs: u64 = layers.iter().map(|layer| layer["macs"].as_u64().unwrap()).sum();
    let cost = json(command().args(["cost", "--variant", "final", "--size", "96", "--json"]));
    assert_eq!(cost["macs"], macs);
    let ms: f64 = layers.iter().map(|layer| layer["ms"].as_f64().unwrap()).sum();
    assert!(ms > 0.0 && ms < 10.0 * report["network_ms"].as_f64().unwrap(), "{ms} ms");
    assert!(layers.iter().all(|layer| layer["bytes"].as_u64().unwrap() > 0), "a layer moves nothing");
    let groups = report["groups"].as_array().unwrap();
    for key in ["macs", "bytes"] {
        let sum = |rows: &[Value]| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum(groups), sum(layers), "{key}");
    }
}

#[test]
fn bench_measures_other_engines() {
    let candle = ["bench", "--engine", "candle", "--variant", "dw3", "--size", "96", "--runs", "2", "--json"];
    let report = json(command().args(candle));
    assert_eq!(report["computed_by"], "cpu with candle");
    assert!(report["network_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(report["layers"].as_array().unwrap().len(), 0);
    let step = json(command().args(candle).args(["--train", "--batch", "2"]));
    assert!(step["images_per_second"].as_f64().unwrap() > 0.0);
    command().args(candle).args(["--device", "cuda"]).assert().code(1).stderr(contains("--engine native"));
    command().args(["bench", "--all", "--engine", "candle"]).assert().code(2);
}

#[test]
fn bench_compares_all_variants() {
    let bench = ["bench", "--all", "--size", "96", "--runs", "12"];
    let report = json(command().args(bench).arg("--json"));
    let rows = report["variants"].as_array().unwrap();
    let known = json(command().args(["variants", "--json"]));
    for (row, known) in rows.iter().zip(known.as_array().unwrap()) {
        assert_eq!((&row["variant"], &row["parameters"]), (&known["name"], &known["parameters"]));
        let [cold, median, min] = ["cold_ms", "median_ms", "min_ms"].map(|key| row[key].as_f64().unwrap());
        assert!(cold > 0.0 && 0.0 < min && min <= median, "{row}");
        let rate = 2.0 * row["macs"].as_f64().unwrap() / (median * 1e6);
        assert!((row["gflops_per_s"].as_f64().unwrap() / rate - 1.0).abs() < 1e-6, "{row}");
    }
    assert_eq!(rows.len(), 8);
    command().args(bench).assert().success().stdout(contains("mdconv")).stdout(contains("cold ms"));
}

#[test]
fn bench_measures_what_feeds_a_device() {
    let host = ["bench", "--train", "--host-only", "--size", "96", "--batch", "3", "--runs", "2", "--threads", "2"];
    let report = json(command().args(host).arg("--json"));
    assert_eq!((&report["batch"], &report["threads"]), (&3.into(), &2.into()));
    let step = report["parts"]["step"]["median"].as_f64().unwrap();
    let ms = report["ms_per_image_per_core"].as_f64().unwrap();
    assert!(step > 0.0 && (ms - step * 2.0 / 3.0).abs() < 1e-9, "{report}");
    command().args(host).assert().success().stdout(contains("mean of weights"));

    let folder = tempfile::tempdir().unwrap();
    voc(folder.path());
    let loader = ["bench", "--loader", "--size", "96", "--batch", "2", "--runs", "3"];
    let data = format!("{}:val", folder.path().display());
    let report = json(command().args(loader).args(["--json", "--data", &data]));
    assert_eq!(report["images"], 2);
    for pass in ["first_pass", "cached", "uncached"] {
        assert!(report[pass]["images_per_second"].as_f64().unwrap() > 0.0, "{pass}");
    }
    command().args(loader).args(["--data", &data]).assert().success().stdout(contains("never kept"));
    command().args(loader).assert().code(1).stderr(contains("--data VOC2007:trainval"));
}

#[test]
fn other_files_are_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let page = folder.path().join("yolox_nano.onnx");
    fs::write(&page, "<!DOCTYPE html><html><title>Sign in</title></html>").unwrap();
    let mut import = command();
    import.arg("import").arg(&page).arg("--out").arg(&out);
    import.assert().code(1).stderr(contains("yolox_nano.onnx")).stderr(contains("web page"));
    assert!(!out.exists());
    let mut detect = command();
    detect.args(["detect", "--weights"]).arg(&page).arg(sample("coffee.jpg"));
    detect.assert().code(1).stderr(contains("yolox_nano.onnx")).stderr(contains("web page"));
}

#[test]
fn onnx_files_are_weights_wherever_weights_are() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("net.weights");
    let mut export = command();
    export.arg("export").args(["--out"]).arg(folder.path().join("net.onnx")).assert().success();
    // The content counts, not the name.
    fs::rename(folder.path().join("net.onnx"), &onnx).unwrap();
    let detect = |weights: &Path| {
        let mut detect = command();
        json(detect.arg("detect").arg(sample("coffee.jpg")).arg("--json").arg("--weights").arg(weights))
    };
    assert_eq!(detect(&onnx)["detections"], detect(&weights())["detections"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut cost = Process::new(yolox_nano());
    let mut cost = cost.args(["cost", "--variant", "final", "--json"]);
    cost = cost.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cost.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

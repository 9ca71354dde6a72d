//! ONNX files of every variant: onnxruntime computes the same as this project's own runtime, and they can be imported
//! again without a bit's loss.
//!
//! The first needs Python with onnxruntime and numpy (and looks further with onnx): `python3`, or the interpreter that
//! the environment variable `PYTHON` names.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use assert_cmd::Command;
use candle_core::{Device, Tensor};
use integration_tests::{repository, yolox_nano};
use predicates::str::contains;
use shared_model::{Graph, Network, VARIANTS, Variant, WeightPrecision, Weights};

const CLASSES: usize = 7;
const OUTPUTS: [&str; 3] = ["raw", "yolox", "decoded"];

fn command() -> Command {
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository());
    command
}

/// Repeatable numbers, spread evenly from -1 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Weights with which every layer matters: those that training starts from let the image fade on its way, and their
/// batch normalisation does nothing.
fn lively_weights(variant: &Variant) -> Weights {
    let mut weights = Weights::random(variant, CLASSES, 1);
    let mut numbers = Numbers(1);
    // Small ones enlarge what convolutions and SiLU made smaller. Many of ghost's convolutions have no SiLU.
    let variance = if variant.name == "ghost" { 0.35 } else { 0.2 };
    for (name, tensor) in &mut weights.tensors {
        let from_pixels = name.starts_with("backbone.backbone.stem");
        for value in &mut tensor.values {
            match name.rsplit_once('.') {
                Some((of, "running_var")) => {
                    *value = (1.0 + 0.5 * numbers.next()) * if from_pixels { 1e4 } else { variance };
                    assert!(of.ends_with(".bn"));
                }
                Some((_, "running_mean")) => *value = 0.2 * numbers.next(),
                Some((of, "weight")) if of.ends_with(".bn") => *value = 1.0 + 0.3 * numbers.next(),
                Some((_, "bias")) => *value = 0.5 * numbers.next(),
                _ => {}
            }
        }
    }
    weights
}

fn pixels(count: usize) -> Vec<f32> {
    let mut numbers = Numbers(2);
    (0..count).map(|_| (127.5 + 127.5 * numbers.next()).round()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What the output called `output` is for the raw head output on an input of `height` x `width` pixels.
fn expected(graph: &Graph, raw: &[f32], output: &str, height: usize, width: usize) -> Vec<f32> {
    let mut values = raw.to_vec();
    let mut anchors = values.chunks_exact_mut(5 + CLASSES);
    while anchors.len() > 0 {
        for level in &graph.head {
            for i in 0..(height / level.stride) * (width / level.stride) {
                let anchor = anchors.next().unwrap();
                let (row, column, stride) =
                    (i / (width / level.stride), i % (width / level.stride), level.stride as f32);
                if output != "raw" {
                    anchor[4..].iter_mut().for_each(|logit| *logit = 1.0 / (1.0 + (-*logit).exp()));
                }
                if output == "decoded" {
                    anchor[0] = (anchor[0] + column as f32) * stride;
                    anchor[1] = (anchor[1] + row as f32) * stride;
                    anchor[2] = anchor[2].exp() * stride;
                    anchor[3] = anchor[3].exp() * stride;
                }
            }
        }
    }
    values
}

/// The Python to run onnxruntime with. `None` says loudly that the test is skipped; an interpreter that is named but
/// lacks onnxruntime fails.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let found = Process::new(&python).args(["-c", "import numpy, onnxruntime"]).output();
    if found.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(named.is_none(), "PYTHON={} cannot import numpy and onnxruntime: {found:?}", python.display());
    // Past the test runner, which keeps back what `eprintln!` says in tests that pass.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: ONNX files through onnxruntime: needs python3 (or PYTHON) with it: pip install onnxruntime numpy onnx"
    );
    None
}

fn write_weights(folder: &Path, weights: &Weights) -> PathBuf {
    let path = folder.join("weights.safetensors");
    fs::write(&path, weights.to_bytes(WeightPrecision::Single).unwrap()).unwrap();
    path
}

#[test]
fn onnxruntime_computes_the_same() {
    let Some(python) = python() else { return };
    for variant in &VARIANTS {
        let folder = tempfile::tempdir().unwrap();
        let weights = lively_weights(variant);
        let path = write_weights(folder.path(), &weights);
        let graph = variant.graph(CLASSES);
        let network = Network::new(&graph, &weights).unwrap();
        let mut wanted = Vec::new();
        for (batch, height, width) in [(1, 416, 416), (2, 96, 160)] {
            let pixels = pixels(batch * 3 * height * width);
            let images = Tensor::from_slice(&pixels, (batch, 3, height, width), &Device::Cpu).unwrap();
            let raw: Vec<f32> = network.forward(&images).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert_lively(&raw, variant.name);
            for output in OUTPUTS {
                let onnx = folder.path().join(format!("{output}-{height}x{width}.onnx"));
                let (size, batch) = (format!("{height}x{width}"), batch.to_string());
                let mut export = command();
                export.arg("export").arg("--weights").arg(&path).arg("--out").arg(&onnx);
                export.args(["--size", &size, "--batch", &batch, "--output", output]).assert().success();
                fs::write(onnx.with_extension("input"), bytes(&pixels)).unwrap();
                wanted.push((onnx, expected(&graph, &raw, output, height, width)));
            }
        }
        let run = Process::new(&python).arg(repository().join("tests/python/run_onnx.py")).arg(folder.path()).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}: {}", variant.name, String::from_utf8_lossy(&run.stderr));
        print!("{}: {}", variant.name, String::from_utf8_lossy(&run.stdout));
        for (onnx, wanted) in wanted {
            let found = fs::read(onnx.with_extension("output")).unwrap();
            let found: Vec<f32> = found.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            assert_eq!(found.len(), wanted.len());
            let differences = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            // Not a number compares with nothing, so it must be looked for.
            let worst = differences.fold(0.0, |worst: f32, d| if d.is_nan() { f32::INFINITY } else { worst.max(d) });
            let name = onnx.file_name().unwrap().display();
            println!("{}, {name}: greatest difference {worst:e}", variant.name);
            assert!(worst <= 1e-4, "{}, {name}: greatest difference {worst}", variant.name);
        }
    }
}

/// The output depends on the image and the place, by more than rounding could hide.
fn assert_lively(raw: &[f32], name: &str) {
    for value in 0..5 + CLASSES {
        let column: Vec<f32> = raw.iter().skip(value).step_by(5 + CLASSES).copied().collect();
        let mean = column.iter().sum::<f32>() / column.len() as f32;
        let spread = (column.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / column.len() as f32).sqrt();
        println!("{name}: value {value}: mean {mean}, spread {spread}");
        assert!((0.02..100.0).contains(&spread), "{name}: value {value} has spread {spread}");
    }
}

#[test]
fn imported_again_the_weights_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for variant in &VARIANTS {
        let weights = lively_weights(variant);
        let path = write_weights(folder.path(), &weights);
        for (output, size) in OUTPUTS.into_iter().zip(["416", "320", "96x160"]) {
            let (onnx, back) = (folder.path().join("a.onnx"), folder.path().join("back.safetensors"));
            let mut export = command();
            export.arg("export").arg("--weights").arg(&path).arg("--out").arg(&onnx);
            export.args(["--size", size, "--output", output]).assert().success().stdout(contains(variant.name));
            let mut import = command();
            import.arg("import").arg(&onnx).arg("--out").arg(&back).assert().success();
            let back = Weights::from_bytes(&fs::read(back).unwrap()).unwrap();
            assert!(back == weights.fused().unwrap(), "{}, {output}: the weights differ", variant.name);
        }
    }
}

#[test]
fn published_weights_are_exported_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("new/yolox_nano.onnx");
    let mut export = command();
    let assert = export.arg("export").arg("--out").arg(&onnx).assert().success();
    assert
        .stdout(contains("baseline with 80 classes"))
        .stdout(contains("images (1, 3, 416, 416): BGR"))
        .stdout(contains("output (1, 3549, 85)"))
        .stdout(contains("probabilities"));
    let back = folder.path().join("back.safetensors");
    command().arg("import").arg(&onnx).arg("--out").arg(&back).assert().success();
    let published = repository().join("models/yolox_nano_coco.safetensors");
    assert!(fs::read(back).unwrap() == fs::read(published).unwrap(), "the weights differ");
}

#[test]
fn what_cannot_be_exported_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.onnx");
    for (args, complaint) in [
        (&["--out", "a.safetensors"][..], "must end in .onnx"),
        (&["--out", "onnx"], "must end in .onnx"),
        (&["--out", "a.onnx", "--size", "400"], "multiple of 32"),
        (&["--out", "a.onnx", "--size", "416x"], "multiple of 32"),
        (&["--out", "a.onnx", "--size", "32x32x32"], "multiple of 32"),
        (&["--out", "a.onnx", "--batch", "0"], "from 1 to 1024"),
        (&["--out", "a.onnx", "--output", "boxes"], "decoded"),
        (&[], "--out"),
    ] {
        let mut export = command();
        export.current_dir(folder.path()).arg("export").args(args).assert().code(2).stderr(contains(complaint));
    }
    let mut weights = lively_weights(&VARIANTS[0]);
    weights.metadata.variant = "nano2".into();
    let unknown = write_weights(folder.path(), &weights);
    for (weights, complaint) in
        [("nowhere", "no weight file nowhere"), (unknown.to_str().unwrap(), "no variant \"nano2\"")]
    {
        let mut export = command();
        export.args(["export", "--weights", weights, "--out"]).arg(&out).assert().code(1).stderr(contains(complaint));
    }
    assert!(!out.exists());
    // A file where the folder must be: nobody can write there, not even root.
    let below_a_file = unknown.join("a.onnx");
    let mut export = command();
    export.arg("export").arg("--out").arg(&below_a_file).assert().code(1).stderr(contains("cannot be written"));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["weights.safetensors"], "files are left over");
}

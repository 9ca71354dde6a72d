//! The whole program on a GPU that there is not: CUDA's libraries are replaced by fake ones, which run the kernels on the emulator.

#![cfg(emulator)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use integration_tests::{shared, yolox_nano};
use native_train::engine::cuda::{Cuda, CudaEngine};
use native_train::engine::{Batch, Engine, Precision};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{ParameterLayout, VARIANTS, Weights};

/// The folder of the fake libraries.
const FAKE_CUDA: &str = env!("FAKE_CUDA");

fn run(libraries: &str, arguments: &[&str]) -> Output {
    Command::new(yolox_nano()).args(arguments).env("LD_LIBRARY_PATH", libraries).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Operations, networks, steps that are recorded and replayed, inference, and a report: everything but the speed is real.
#[test]
fn gpu_check_passes_on_the_emulator() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let out = run(
        FAKE_CUDA,
        &[
            "gpu-check",
            "--variants=dw7",
            "--size=32",
            "--batch=1",
            "--runs=1",
            "--steps=0",
            "--python=no-such-python",
            "--out",
            report.to_str().unwrap(),
        ],
    );
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{stdout}{stderr}");
    for part in ["emulated GPU", "87 of 87 passed", "28 of 28 passed", "no-such-python has no torch", "all is well"] {
        assert!(stdout.contains(part), "{part} is missing:\n{stdout}");
    }
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(report["gpu"]["compute_capability"], serde_json::json!([9, 0]));
    assert!(report["training"][0]["launches"].as_u64().unwrap() > 300);
    assert_eq!(report["failures"], serde_json::json!([]));

    let nowhere = run(FAKE_CUDA, &["gpu-check", "--out", &format!("{}/no/report", yolox_nano().display())]);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("no/report"), "{}", text(&nowhere.stderr));
}

/// The losses in a run's metrics.
fn losses(run: &Path) -> Vec<f64> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.filter_map(|record| record["loss"].as_f64()).collect()
}

/// A training goes the same way on both devices, as long as rounding does not matter, and one that was begun on a processor goes on on
/// a GPU.
#[test]
fn training_is_the_same_on_both_devices() {
    let Some(shared) = shared("training on the emulated GPU") else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = format!("{}:val", shared.join("voc/VOC2008plus").display());
    let train = |device: &str| {
        let out = folder.path().join(device.replace(':', "-"));
        // The third step is the first that is nothing but a replay. Small steps, as larger ones let rounding decide what is
        // assigned to which object.
        let arguments =
            ["train", "--overfit=4", "--batch=4", "--size=64", "--epochs=4", "--eval-every=100", "--lr=1e-9"];
        let more = ["--train", &data, "--precision=f32", "--device", device, "--out", out.to_str().unwrap()];
        let result = run(FAKE_CUDA, &[&arguments[..], &more[..]].concat());
        // Four steps learn nothing by heart, which is said in the end.
        assert!(text(&result.stderr).contains("are not learned"), "{}{}", text(&result.stdout), text(&result.stderr));
        assert!(text(&result.stdout).contains(&format!("computed by {device}")), "{}", text(&result.stdout));
        losses(&out)
    };
    let (cpu, gpu) = (train("cpu"), train("cuda:0"));
    println!("{cpu:?} {gpu:?}");
    assert_eq!((cpu.len(), gpu.len()), (4, 4));
    assert!(cpu.iter().zip(&gpu).all(|(cpu, gpu)| (cpu - gpu).abs() < 1e-3 * cpu), "{cpu:?} {gpu:?}");

    let resume = folder.path().join("cpu");
    let out = run(FAKE_CUDA, &["train", "--epochs=5", "--device=cuda", "--resume", resume.to_str().unwrap()]);
    assert!(text(&out.stdout).contains("computed by cuda:0"), "{}{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(losses(&resume).len(), 5);
}

/// Programs that were recorded hold addresses, which larger memory has others of.
#[test]
fn what_was_recorded_is_recorded_anew_when_memory_grows() {
    let test = std::env::current_exe().unwrap();
    let inner = ["--exact", "recording_and_replaying", "--ignored", "--nocapture"];
    let out = Command::new(test).args(inner).env("LD_LIBRARY_PATH", FAKE_CUDA).output().unwrap();
    let stdout = text(&out.stdout);
    assert!(out.status.success() && stdout.contains("1 passed"), "{stdout}{}", text(&out.stderr));
}

#[test]
#[ignore = "the test above runs it, with the fake CUDA"]
fn recording_and_replaying() {
    let graph = VARIANTS[0].graph(3);
    let parameters = ParameterLayout::new(&graph).flatten(&Weights::random(&VARIANTS[0], 3, 1));
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let mut batch = |images| {
        let pixels = (0..images * 3 * 32 * 32).map(|_| rng.random()).collect();
        Batch { pixels, images, height: 32, width: 32 }
    };
    let (small, large) = (batch(1), batch(2));
    let mut gpu = CudaEngine::new(&graph, Cuda::open(0, Precision::F32).unwrap()).unwrap();
    gpu.load(&parameters).unwrap();
    let mut step = |batch: &Batch| {
        let mut update = vec![0.0; parameters.len()];
        gpu.step(batch, &mut |output| Ok(output.values.clone()), &mut update).unwrap();
        update
    };
    // Started one by one, recorded, replayed; then in other memory.
    let first = step(&small);
    assert!(first == step(&small) && first == step(&small));
    assert!(first != step(&large)[..]);
    assert!(first == step(&small));
}

#[test]
fn what_is_missing_is_explained() {
    let said = |libraries: &str, arguments: &[&str]| {
        let out = run(libraries, arguments);
        assert!(!out.status.success());
        text(&out.stderr)
    };
    let none = tempfile::tempdir().unwrap();
    let (folder, check) = (none.path(), ["gpu-check"]);
    // The machine may have CUDA's libraries in other places.
    let find = |library: &str, complaint: &str| {
        let error = said(folder.to_str().unwrap(), &check);
        if Command::new("ldconfig").arg("-p").output().is_ok_and(|out| text(&out.stdout).contains(library)) {
            println!("SKIPPED: this machine has {library}");
        } else {
            assert!(error.contains(complaint), "{library}: {error}");
        }
        fs::copy(Path::new(FAKE_CUDA).join(library), folder.join(library)).unwrap();
    };
    find("libcuda.so", "no NVIDIA driver");
    find("libnvrtc.so", "pip install nvidia-cuda-nvrtc");
    find("libcublas.so", "pip install nvidia-cublas");
    assert!(said(FAKE_CUDA, &["gpu-check", "--device=cuda:1"]).contains("there is no GPU 1: this machine has 1"));
    assert!(said(FAKE_CUDA, &["gpu-check", "--device=cpu"]).contains("this is about GPUs"));
    assert!(said(FAKE_CUDA, &["gpu-check", "--device=gpu"]).contains("cuda:1"));
    // The fake GPU has 2 GiB.
    let bench = ["bench", "--train", "--device=cuda", "--runs=1"];
    let error = said(FAKE_CUDA, &[&bench[..], &["--batch=64", "--size=416"]].concat());
    assert!(error.contains("64 images of 416 x 416 need") && error.contains("--batch"), "{error}");
    let error = said(FAKE_CUDA, &[&bench[..], &["--precision=bf16", "--batch=1", "--size=32"]].concat());
    assert!(error.contains("f32 or tf32"), "{error}");
    if !cfg!(feature = "torch") {
        let error = said(FAKE_CUDA, &["bench", "--train", "--engine=torch", "--runs=1"]);
        assert!(error.contains("--features torch"), "{error}");
    }
}

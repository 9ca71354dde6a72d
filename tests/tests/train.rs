//! `yolox-nano train` as a subprocess, on small images of coloured rectangles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use integration_tests::drawn::{annotate, write_voc};
use integration_tests::{repository, yolox_nano};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use shared_model::{Weights, cost};
use tempfile::TempDir;

/// A data set in Pascal VOC's layout, and a place for runs.
struct Data {
    folder: TempDir,
}

/// Images in the split `train`.
const IMAGES: u32 = 8;

impl Data {
    /// Each image is grey, with a red or a green rectangle somewhere in it.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_voc(&folder.path().join("voc"), IMAGES);
        Self { folder }
    }

    fn voc(&self) -> PathBuf {
        self.folder.path().join("voc")
    }

    fn annotate(&self, name: &str, class: &str, corners: [u32; 4]) {
        annotate(&self.voc(), name, class, corners);
    }

    fn split(&self, name: &str, list: &str) {
        fs::write(self.voc().join(format!("ImageSets/Main/{name}.txt")), list).unwrap();
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `train` on the split, at 64 pixels, two images a step, on one thread.
    fn flags(&self, out: &str) -> Vec<String> {
        let source = format!("{}:train", self.voc().display());
        let flags = format!("train --size 64 --batch 2 --epochs 10 --threads 1 --train {source} --val {source} --out");
        let out = self.run(out).display().to_string();
        flags.split(' ').map(String::from).chain([out]).collect()
    }

    fn train(&self, out: &str) -> Command {
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(self.flags(out));
        command
    }

    /// Starts training, and waits until some steps are done.
    fn start(&self, out: &str) -> Child {
        let mut process = Process::new(yolox_nano());
        process.current_dir(repository()).args(self.flags(out)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = process.spawn().unwrap();
        let metrics = self.run(out).join("metrics.jsonl");
        while lines(&metrics) < 5 {
            assert!(child.try_wait().unwrap().is_none(), "training ended before its fifth step");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn resume(out: &Path) -> Command {
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository()).args(["train", "--resume"]).arg(out);
    command
}

/// What must be the same in two runs that did the same: the weights, and losses and figures of every step.
fn outcome(out: &Path) -> (Vec<Vec<u8>>, Vec<Value>) {
    let names = ["last-raw", "last", "best", "last-mosaic"];
    let weights = names.map(|name| fs::read(out.join(format!("weights/{name}.safetensors"))).unwrap());
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &mut records {
        for of_the_machine in ["images_per_second", "memory_mib", "seconds"] {
            record.as_object_mut().unwrap().remove(of_the_machine);
        }
    }
    (weights.into(), records)
}

#[test]
fn images_are_learned_by_heart() {
    let data = Data::new();
    let source = format!("{}:train", data.voc().display());
    let out = data.run("overfit");
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository()).args(["train", "--overfit", "8", "--size", "96", "--train", &source]);
    command.arg("--out").arg(&out).assert().success().stdout(contains("learned"));

    let mut eval = Command::new(yolox_nano());
    eval.current_dir(repository()).args(["eval", "--split", "train", "--json", "--data"]).arg(data.voc());
    let output = eval.arg("--weights").arg(out.join("weights/best.safetensors")).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["ap50_11"].as_f64().unwrap() >= 95.0, "{report}");
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_never_had() {
    let data = Data::new();
    data.train("whole").assert().success();

    let child = data.start("stopped");
    let kill = Process::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).to_string();
    let stopped = data.run("stopped");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("yolox-nano train --resume {}", stopped.display())), "{said}");
    resume(&stopped).assert().success().stdout(contains("going on after step"));
    assert!(outcome(&stopped) == outcome(&data.run("whole")));

    resume(&stopped)
        .assert()
        .success()
        .stdout(contains("complete").and(contains("10.00 epochs")).and(contains("--epochs")));
    resume(&stopped).args(["--epochs", "11"]).assert().success();
    assert_eq!(lines(&stopped.join("metrics.jsonl")), lines(&data.run("whole").join("metrics.jsonl")) + 5);
}

#[test]
fn a_run_that_was_killed_goes_on_as_if_it_never_had() {
    let data = Data::new();
    data.train("whole").assert().success();
    let mut child = data.start("killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = data.run("killed");
    resume(&killed).assert().success();
    assert!(outcome(&killed) == outcome(&data.run("whole")));
}

#[test]
fn the_stored_configuration_repeats_the_run() {
    let data = Data::new();
    data.train("first").args(["--seed", "3", "--multi-scale", "32:96"]).assert().success();
    let config = data.run("first").join("config.toml");
    let mut second = Command::new(yolox_nano());
    second.current_dir(repository()).args(["train", "--config"]).arg(config).arg("--out").arg(data.run("second"));
    second.assert().success();
    assert!(outcome(&data.run("first")) == outcome(&data.run("second")));
    for file in ["curves.svg", "config.json", "report/per-class.json", "report/precision-recall.svg"] {
        assert!(data.run("first").join(file).is_file(), "{file}");
    }
    let names = fs::read_dir(data.run("first")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().contains("tfevents")));
}

#[test]
fn divergence_stops_and_leaves_a_good_checkpoint() {
    let data = Data::new();
    let mut command = data.train("run");
    command.args(["--lr", "1e20", "--warmup-epochs", "0"]).assert().failure().stderr(
        contains("training has diverged: in step 2")
            .and(contains("checkpoint.safetensors"))
            .and(contains("lower --lr")),
    );
    resume(&data.run("run")).assert().failure().stderr(contains("diverged"));
}

#[test]
fn bad_input_is_named_with_a_remedy() {
    let data = Data::new();
    let voc = data.voc();
    data.split("empty", "");
    data.split("broken", "image0\ncut");
    data.annotate("cut", "red", [1, 1, 40, 40]);
    let jpeg = fs::read(voc.join("JPEGImages/image0.jpg")).unwrap();
    fs::write(voc.join("JPEGImages/cut.jpg"), &jpeg[..jpeg.len() * 2 / 3]).unwrap();
    data.split("zero", "image0\nzero");
    data.annotate("zero", "red", [1, 1, 40, 40]);
    fs::write(voc.join("JPEGImages/zero.jpg"), b"").unwrap();
    data.split("sizeless", "image0\nsizeless");
    fs::copy(voc.join("JPEGImages/image0.jpg"), voc.join("JPEGImages/sizeless.jpg")).unwrap();
    fs::write(voc.join("Annotations/sizeless.xml"), "<annotation></annotation>").unwrap();

    let source = |split: &str| format!("{}:{split}", voc.display());
    let file = |name: &str, text: &str| {
        fs::write(data.run(name), text).unwrap();
        data.run(name).display().to_string()
    };
    let good = file("good.toml", &format!("train = ['{}']\nsize = 64\nbatch = 2\nepochs = 2", source("train")));
    let unknown_key = file("bad.toml", "epoch = 3");
    let weights = file("not-weights.safetensors", "x");
    for (number, (config, flags, file, remedy)) in [
        (&good, ["--train", &source("empty")], "empty.txt", "is empty"),
        (&good, ["--train", &source("nothing")], "ImageSets/Main", "the splits are"),
        (&good, ["--train", &source("zero")], "zero.jpg", "0 bytes"),
        (&good, ["--val", &source("zero")], "zero.jpg", "0 bytes"),
        (&good, ["--classes", "red,blue"], "image1.xml", "green"),
        (&good, ["--batch", "9"], "8 images", "smaller --batch"),
        (&good, ["--size", "100"], "--size", "multiple of 32"),
        (&good, ["--init", &weights], "not-weights.safetensors", "weights come as safetensors"),
        (&good, ["--init", "nothing"], "nothing", "the models are"),
        (&good, ["--freeze", "bakcbone"], "bakcbone", "names begin with"),
        (&good, ["--overfit", "100"], "8 images", "fewer"),
        (&unknown_key, ["--epochs", "2"], "bad.toml", "epoch"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = data.run(&format!("run{number}"));
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(["train", "--config", config]).args(flags).arg("--out").arg(&out);
        command.assert().failure().stderr(contains(file).and(contains(remedy)));
        assert!(!out.exists(), "{flags:?}: nothing is left behind");
    }
    // This one is only found when its turn comes.
    let complaint = contains("cut.jpg").and(contains("copy or download it again")).and(contains("train --resume"));
    data.train("broken").args(["--train", &source("broken")]).assert().failure().stderr(complaint);
    fs::write(voc.join("JPEGImages/cut.jpg"), &jpeg).unwrap();
    resume(&data.run("broken")).assert().success();

    // The image has the size that its annotation lacks.
    data.train("sizeless").args(["--train", &source("sizeless")]).assert().success();

    let used = data.run("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("notes.txt"), "mine").unwrap();
    data.train("used").assert().failure().stderr(contains("used").and(contains("another folder with --out")));
    assert_eq!(fs::read_to_string(used.join("notes.txt")).unwrap(), "mine");
    data.train("sizeless").assert().failure().stderr(contains("train --resume"));
}

#[test]
fn what_would_stop_a_training_later_stops_it_before_its_first_step() {
    let data = Data::new();
    let voc = data.voc();
    let source = |split: &str| format!("{}:{split}", voc.display());
    let jpeg = fs::read(voc.join("JPEGImages/image0.jpg")).unwrap();
    for name in ["none", "cut", "star", "hard"] {
        fs::write(voc.join(format!("JPEGImages/{name}.jpg")), &jpeg).unwrap();
        data.annotate(name, if name == "star" { "star" } else { "red" }, [1, 1, 40, 40]);
        data.split(name, name);
    }
    fs::write(voc.join("JPEGImages/cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    let size = "<size><width>96</width><height>96</height></size>";
    fs::write(voc.join("Annotations/none.xml"), format!("<annotation>{size}</annotation>")).unwrap();
    let hard = fs::read_to_string(voc.join("Annotations/hard.xml")).unwrap();
    fs::write(voc.join("Annotations/hard.xml"), hard.replace("<bndbox>", "<difficult>1</difficult><bndbox>")).unwrap();
    for (split, complaints) in [
        ("none", ["nothing can be scored", "none"]),
        ("hard", ["difficult ones do not", "hard"]),
        ("cut", ["cut.jpg", "damaged or cut short"]),
        ("star", ["star", "--classes \"green,red,star\""]),
    ] {
        let out = data.run(&format!("run-{split}"));
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(["train", "--size", "64", "--batch", "2", "--epochs", "2", "--train"]);
        command.args([&source("train"), "--val", &source(split), "--out"]).arg(&out);
        command.assert().code(1).stderr(contains(complaints[0]).and(contains(complaints[1])));
        assert!(!out.exists(), "{split}");
    }
}

#[test]
fn some_classes_are_learned_and_others_left_out() {
    let data = Data::new();
    let list = data.run("classes.txt");
    fs::write(&list, "\u{feff}red\r\n").unwrap();
    data.train("refused").arg("--classes").arg(&list).assert().code(1).stderr(contains("--other-classes skip"));
    let mut train = data.train("red");
    train.arg("--classes").arg(&list).args(["--other-classes", "skip"]);
    train
        .assert()
        .success()
        .stdout(contains("1 classes").and(contains("left out, as asked for: 4 objects of unknown")));
}

#[test]
fn a_run_goes_on_from_elsewhere_and_where_its_data_were_moved() {
    let data = Data::new();
    let out = data.run("run");
    let mut train = Command::new(yolox_nano());
    train.current_dir(data.folder.path()).args([
        "train",
        "--size",
        "64",
        "--batch",
        "2",
        "--epochs",
        "1",
        "--threads",
        "1",
    ]);
    train.args(["--train", "voc:train", "--val", "voc:train", "--out"]).arg(&out).assert().success();
    // The names are relative to where the run began.
    resume(&out).args(["--epochs", "2"]).assert().success().stdout(contains("going on after step"));
    fs::rename(data.voc(), data.run("moved")).unwrap();
    resume(&out).args(["--epochs", "3"]).assert().code(1).stderr(contains("--train and --val"));
    let moved = format!("{}:train", data.run("moved").display());
    resume(&out).args(["--epochs", "3", "--train", &moved, "--val", &moved]).assert().success();
    let name = "moved/Annotations/image0.xml";
    let xml = fs::read_to_string(data.run(name)).unwrap();
    fs::write(data.run(name), xml.replace("<xmin>9<", "<xmin>10<")).unwrap();
    let mut other = resume(&out);
    other.args(["--epochs", "4", "--train", &moved, "--val", &moved]);
    other.assert().code(1).stderr(contains("not the one that the run"));
}

#[test]
fn slight_damage_is_a_warning() {
    let data = Data::new();
    let image = data.voc().join("JPEGImages/image3.jpg");
    let jpeg = fs::read(&image).unwrap();
    fs::write(&image, &jpeg[..jpeg.len() - 2]).unwrap();
    let warning = contains("image3.jpg: the file's last bytes are missing");
    data.train("run").assert().success().stderr(warning.clone()).stdout(warning);
}

/// A file system without room: the shell lets files become 4 MB long, which weights fit into and checkpoints do not.
#[test]
fn without_room_for_a_checkpoint_the_one_before_stays() {
    let data = Data::new();
    data.train("run").assert().success();
    let checkpoint = data.run("run").join("checkpoint.safetensors");
    let before = fs::read(&checkpoint).unwrap();
    assert!(before.len() > 8_000_000);
    let mut shell = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f 4000; exec '{}' \"$@\"", yolox_nano().display());
    shell.current_dir(repository()).args(["-c", &script, "bash", "train", "--resume"]).arg(data.run("run"));
    let complaint = contains("checkpoint.safetensors").and(contains("make room"));
    shell.args(["--epochs", "12"]).assert().failure().stderr(complaint);
    assert!(fs::read(&checkpoint).unwrap() == before);
    resume(&data.run("run")).args(["--epochs", "11"]).assert().success();
}

#[test]
fn threads_do_not_change_the_outcome() {
    let data = Data::new();
    let steps = |out: &str, threads: &str| {
        let config = data.run("config.toml");
        let source = format!("{}:train", data.voc().display());
        fs::write(&config, format!("train = ['{source}']\nval = ['{source}']\nsize = 64\nbatch = 4\nepochs = 4"))
            .unwrap();
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(["train", "--threads", threads, "--config"]).arg(config);
        command.arg("--out").arg(data.run(out)).assert().success();
        outcome(&data.run(out)).1
    };
    assert!(steps("one", "1") == steps("three", "3"));
}

#[test]
fn a_pruned_network_is_trained_resumed_taught_and_used_like_others() {
    let data = Data::new();
    let source = format!("{}:train", data.voc().display());
    data.train("whole").args(["--variant", "final"]).assert().success();
    let whole = data.run("whole/weights/last.safetensors");
    let yolox = |words: &str, files: &[&Path]| {
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(words.split(' ')).args(files);
        command
    };
    let training = format!("--size 64 --batch 2 --epochs 2 --threads 1 --train {source} --val {source} --out");

    let out = data.run("pruned");
    let flags = format!("prune {} --to 0.7 --by taylor --rounds 2 {training}", whole.display());
    let text = contains("round 1, channels removed").and(contains("round 2, trained")).and(contains("on --val: AP50"));
    yolox(&flags, &[&out]).assert().success().stdout(text.and(contains("C3_p4")));
    let pruned = out.join("pruned.safetensors");
    let read = |path: &Path| Weights::from_bytes(&fs::read(path).unwrap()).unwrap();
    let parameters = |path: &Path| cost(&read(path).graph().unwrap(), 64, 64).parameters;
    assert!(parameters(&pruned) as f64 <= 0.7 * parameters(&whole) as f64);
    let channels = read(&pruned).metadata.channels;

    // As a student of the whole network, stopped and resumed; then as the teacher.
    let student = data.run("student");
    let flags = format!("train --variant final --init {} --distill {} {training}", pruned.display(), whole.display());
    let text = contains("not learned from the teacher").and(contains("dark5"));
    yolox(&flags, &[&student]).assert().success().stdout(text);
    resume(&student).args(["--epochs", "3"]).assert().success();
    let taught = student.join("weights/last.safetensors");
    assert_eq!(read(&taught).metadata.channels, channels);
    let flags = format!("train --variant dw7 --distill {} {training}", pruned.display());
    yolox(&flags, &[&data.run("teacher")]).assert().success();

    let score = format!("eval --split train --data {} --weights", data.voc().display());
    yolox(&score, &[&taught]).assert().success();
    let (onnx, back) = (data.run("a.onnx"), data.run("back.safetensors"));
    yolox("export --size 64 --out", &[&onnx, Path::new("--weights"), &taught]).assert().success();
    yolox("import", &[&onnx, Path::new("--out"), &back]).assert().success();
    assert!(read(&back) == read(&taught).fused().unwrap(), "imported again, the weights differ");
    yolox("bench --runs 1 --size 64 --weights", &[&taught]).assert().success();
    let all = read(&taught).graph().unwrap().layers.len();
    let output = yolox("cost --json --weights", &[&taught]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["layers"].as_array().unwrap().len(), all);
    assert_eq!(report["parameters"].as_u64().unwrap() as usize, parameters(&taught));
}

#[test]
fn what_cannot_be_pruned_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, code, complaint) in [
        ("baseline-voc --to 1.5", 2, "between 0 and 1"),
        ("baseline-voc --by magic", 2, "fpgm"),
        ("nothing", 1, "no weight file nothing"),
        ("baseline-voc --to 0.001", 1, "no less than"),
        ("baseline-voc --by taylor", 1, "name some with --train"),
        ("baseline-voc --epochs 3", 1, "nothing to train with"),
        ("baseline-voc --variant final", 1, "--variant cannot be given"),
    ] {
        let mut prune = Command::new(yolox_nano());
        prune.current_dir(repository()).arg("prune").args(flags.split(' ')).arg("--out");
        prune.arg(folder.path().join("out")).assert().code(code).stderr(contains(complaint));
    }
}

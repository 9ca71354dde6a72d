//! `yolox-nano train` as a subprocess, on small pictures of coloured rectangles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use image::{Rgb, RgbImage};
use integration_tests::{repository, yolox_nano};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

/// A data set in Pascal VOC's layout, and a place for runs.
struct Data {
    folder: TempDir,
}

/// Pictures in the split `train`.
const PICTURES: usize = 8;

impl Data {
    /// Each picture is grey, with a red or a green rectangle somewhere in it.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            fs::create_dir_all(folder.path().join("voc").join(part)).unwrap();
        }
        let data = Self { folder };
        let mut names = Vec::new();
        for i in 0..PICTURES as u32 {
            let (left, top) = (8 + 29 * i % 40, 6 + 17 * i % 36);
            let (right, bottom) = (left + 30 + 3 * (i % 4), top + 44 - 4 * (i % 3));
            let (class, colour) = if i % 2 == 0 { ("red", [220, 30, 30]) } else { ("green", [30, 200, 40]) };
            let inside = |x, y| (left..right).contains(&x) && (top..bottom).contains(&y);
            let grey = |x: u32, y: u32| [(90 + (x * 7 + y * 13 + i * 31) % 40) as u8; 3];
            let picture = RgbImage::from_fn(96, 96, |x, y| Rgb(if inside(x, y) { colour } else { grey(x, y) }));
            let name = format!("picture{i}");
            picture.save(data.voc().join(format!("JPEGImages/{name}.jpg"))).unwrap();
            data.annotate(&name, class, [left + 1, top + 1, right, bottom]);
            names.push(name);
        }
        data.split("train", &names.join("\n"));
        data
    }

    fn voc(&self) -> PathBuf {
        self.folder.path().join("voc")
    }

    fn annotate(&self, name: &str, class: &str, [xmin, ymin, xmax, ymax]: [u32; 4]) {
        let xml = format!(
            "<annotation><size><width>96</width><height>96</height></size><object><name>{class}</name><bndbox>\
             <xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>"
        );
        fs::write(self.voc().join(format!("Annotations/{name}.xml")), xml).unwrap();
    }

    fn split(&self, name: &str, list: &str) {
        fs::write(self.voc().join(format!("ImageSets/Main/{name}.txt")), list).unwrap();
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `train` on the split, at 64 pixels, two pictures a step, on one thread.
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
fn pictures_are_learned_by_heart() {
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

    resume(&stopped).assert().failure().stderr(contains("10.00 epochs").and(contains("--epochs")));
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
    data.split("broken", "picture0\ncut");
    data.annotate("cut", "red", [1, 1, 40, 40]);
    let jpeg = fs::read(voc.join("JPEGImages/picture0.jpg")).unwrap();
    fs::write(voc.join("JPEGImages/cut.jpg"), &jpeg[..jpeg.len() * 2 / 3]).unwrap();
    data.split("zero", "picture0\nzero");
    data.annotate("zero", "red", [1, 1, 40, 40]);
    fs::write(voc.join("JPEGImages/zero.jpg"), b"").unwrap();
    data.split("sizeless", "picture0\nsizeless");
    fs::copy(voc.join("JPEGImages/picture0.jpg"), voc.join("JPEGImages/sizeless.jpg")).unwrap();
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
        (&good, ["--classes", "red,blue"], "picture1.xml", "green"),
        (&good, ["--batch", "9"], "8 pictures", "smaller --batch"),
        (&good, ["--size", "100"], "--size", "multiple of 32"),
        (&good, ["--init", &weights], "not-weights.safetensors", ".safetensors file"),
        (&good, ["--init", "nothing"], "nothing", "the models are"),
        (&good, ["--freeze", "bakcbone"], "bakcbone", "names begin with"),
        (&good, ["--overfit", "100"], "8 pictures", "fewer"),
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

    // The picture has the size that its annotation lacks.
    data.train("sizeless").args(["--train", &source("sizeless")]).assert().success();

    let used = data.run("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("notes.txt"), "mine").unwrap();
    data.train("used").assert().failure().stderr(contains("used").and(contains("another folder with --out")));
    assert_eq!(fs::read_to_string(used.join("notes.txt")).unwrap(), "mine");
    data.train("sizeless").assert().failure().stderr(contains("train --resume"));
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

//! Trainings that several processes share: `mpirun -n 2 yolox-nano train`.

use assert_cmd::Command;
use integration_tests::drawn::write_voc;
use integration_tests::{repository, yolox_nano};
use tempfile::TempDir;

/// Twelve drawn images.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_voc(&folder.path().join("voc"), 12);
    folder
}

/// The data set's training split.
fn source(data: &TempDir) -> String {
    format!("{}:train", data.path().join("voc").display())
}

/// Arguments of a small training in `data`.
fn train(data: &TempDir, more: &str) -> Vec<String> {
    let fixed = "--size 64 --batch 3 --epochs 3 --threads 1";
    let source = ["train".to_string(), "--train".into(), source(data)];
    source.into_iter().chain(fixed.split(' ').chain(more.split_whitespace()).map(String::from)).collect()
}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_mpi_processes_do_not_train_side_by_side() {
    let data = data();
    let mut command = Command::new(yolox_nano());
    command.current_dir(repository()).env("OMPI_COMM_WORLD_SIZE", "2").args(train(&data, ""));
    let output = command.assert().failure().get_output().stderr.clone();
    let text = String::from_utf8_lossy(&output);
    assert!(text.contains("native-train/mpi") && text.contains("docs/scale.md"), "{text}");
}

#[cfg(feature = "mpi")]
mod mpi {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    /// One process, or several under mpirun.
    fn command(processes: usize) -> Command {
        let mut command = match processes {
            1 => Command::new(yolox_nano()),
            _ => {
                let mut mpirun = Command::new("mpirun");
                mpirun.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n"]);
                mpirun.arg(processes.to_string()).arg(yolox_nano());
                mpirun
            }
        };
        command.current_dir(repository()).timeout(Duration::from_secs(300));
        command
    }

    /// Trains in the folder `out` of `data`.
    fn trained(data: &TempDir, processes: usize, out: &str, more: &str) {
        let out = data.path().join(out).display().to_string();
        let evaluated = ["--val", &source(data), "--eval-every", "1"];
        command(processes).args(train(data, more)).args(evaluated).args(["--out", &out]).assert().success();
    }

    fn weights(data: &TempDir, out: &str) -> Vec<u8> {
        fs::read(data.path().join(out).join("weights/last-raw.safetensors")).unwrap()
    }

    #[test]
    fn two_processes_are_one_with_two_batches_a_step() {
        let data = data();
        trained(&data, 1, "one", "--accumulate 2");
        trained(&data, 2, "two", "");
        assert!(weights(&data, "one") == weights(&data, "two"), "other weights");
        let evaluations = |out: &str| {
            let text = fs::read_to_string(data.path().join(out).join("metrics.jsonl")).unwrap();
            text.lines().filter(|line| line.contains("evaluation")).count()
        };
        assert_eq!((evaluations("one"), evaluations("two")), (3, 3));
    }

    #[test]
    fn a_teacher_is_everybody_s() {
        let data = data();
        trained(&data, 1, "teacher", "--norm-images 12");
        let teacher = data.path().join("teacher/weights/last.safetensors").display().to_string();
        let more = format!("--variant dw3 --init {teacher} --distill {teacher} --fit-steps 2");
        trained(&data, 1, "one", &format!("--accumulate 2 {more}"));
        trained(&data, 2, "two", &more);
        assert!(weights(&data, "one") == weights(&data, "two"), "other weights");
    }

    #[test]
    fn fewer_processes_go_on() {
        let data = data();
        trained(&data, 2, "run", "");
        let run = data.path().join("run").display().to_string();
        command(1).args(["train", "--resume", &run, "--epochs", "4"]).assert().success();
        trained(&data, 1, "whole", "--accumulate 2");
        let whole = data.path().join("whole").display().to_string();
        command(1).args(["train", "--resume", &whole, "--epochs", "4"]).assert().success();
        assert!(weights(&data, "run") == weights(&data, "whole"), "other weights");
    }

    fn failure(mut command: Command) -> String {
        String::from_utf8_lossy(&command.assert().failure().get_output().stderr).into_owned()
    }

    #[test]
    fn a_share_is_whole_batches() {
        let data = data();
        let mut three = command(3);
        three.args(train(&data, "--accumulate 4")).arg("--out").arg(data.path().join("run"));
        let text = failure(three);
        assert!(text.contains("3 processes cannot share evenly") && text.contains("--accumulate 6"), "{text}");
    }

    /// An image whose header is good: nobody finds out before the process in whose batch it is.
    fn damage(image: &Path) {
        let png = image.with_extension("png");
        image::open(image).unwrap().save(&png).unwrap();
        let bytes = fs::read(&png).unwrap();
        fs::write(image, &bytes[..bytes.len() / 2]).unwrap();
        fs::remove_file(png).unwrap();
    }

    #[test]
    fn what_fails_elsewhere_is_said() {
        let data = data();
        let mut command = command(2);
        damage(&data.path().join("voc/JPEGImages/image0.jpg"));
        command.args(train(&data, "--no-mosaic-epochs 3")).arg("--out").arg(data.path().join("run"));
        let text = failure(command);
        assert!(text.contains("process 1 of 2") && text.contains("image0.jpg"), "{text}");
        assert!(text.contains("--resume") && data.path().join("run/checkpoint.safetensors").is_file(), "{text}");
    }
}

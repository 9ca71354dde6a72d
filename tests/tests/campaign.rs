//! `yolox-nano campaign` as a process: lanes, time, death at any moment, parcels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use integration_tests::drawn::write_voc;
use integration_tests::{repository, yolox_nano};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

const RUNS: [&str; 2] = ["baseline-s0", "dw3-s1"];

/// A data set of eight images and a plan of two runs, of 40 steps each unless they end earlier.
struct Campaign {
    folder: TempDir,
}

impl Campaign {
    fn new(epochs: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_voc(&folder.path().join("voc"), 8);
        let source = format!("{}:train", folder.path().join("voc").display());
        let plan = format!(
            "test = ['{source}']\n[defaults]\ntrain = ['{source}']\nval = ['{source}']\nsize = 64\nbatch = 2\nepochs = {epochs}\nthreads = 1\n\
             [[runs]]\n[[runs]]\nvariant = 'dw3'\nseeds = [1]\n"
        );
        fs::write(folder.path().join("plan.toml"), plan).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, more: &str) -> Vec<String> {
        let plan = self.path("plan.toml").display().to_string();
        ["campaign".into(), plan].into_iter().chain(more.split_whitespace().map(String::from)).collect()
    }

    fn command(&self, more: &str) -> Command {
        let mut command = Command::new(yolox_nano());
        command.current_dir(repository()).args(self.arguments(more)).timeout(Duration::from_secs(300));
        command
    }

    fn run(&self, name: &str) -> PathBuf {
        self.path("plan/runs").join(name)
    }
}

fn steps(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_campaign_that_dies_goes_on_to_the_same_weights_and_travels_in_parcels() {
    let campaign = Campaign::new(10);
    let mut process = Process::new(yolox_nano());
    process.current_dir(repository()).args(campaign.arguments("--lanes 2")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process.spawn().unwrap();
    while RUNS.iter().any(|name| steps(&campaign.run(name)) < 5) {
        assert!(child.try_wait().unwrap().is_none(), "the campaign ended before its fifth step");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Nothing of it is told: the trainings notice that it is gone, and leave a checkpoint.
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while RUNS.iter().any(|name| !campaign.run(name).join("checkpoint.safetensors").is_file()) {
        assert!(start.elapsed() < Duration::from_secs(60), "a training goes on without its campaign");
        std::thread::sleep(Duration::from_millis(20));
    }
    campaign.command("--list").assert().success().stdout(contains("begun"));
    campaign.command("--lanes 2").assert().success().stdout(contains("2 of 2 runs are finished"));
    campaign.command("--list").assert().success().stdout(contains("finished"));
    let scored = contains("baseline-s0: AP50 ").and(contains("test AP50"));
    campaign.command("--report").assert().success().stdout(contains("| dw3 | dw3 |").and(scored));
    let again = contains("test AP50").and(contains("on test\n").not());
    campaign.command("--report").assert().success().stdout(again);
    assert!(campaign.path("plan/curves.svg").is_file());

    for name in RUNS {
        let alone = campaign.path(&format!("alone-{name}"));
        let config = campaign.path("plan/runs").join(format!("{name}.toml"));
        let mut train = Command::new(yolox_nano());
        train.current_dir(repository()).arg("train").arg("--config").arg(config).arg("--out").arg(&alone);
        train.assert().success();
        for file in ["weights/best.safetensors", "weights/last.safetensors", "weights/last-mosaic.safetensors"] {
            let (found, expected) = (campaign.run(name).join(file), alone.join(file));
            assert!(fs::read(found).unwrap() == fs::read(expected).unwrap(), "{name}: {file}");
        }
        assert!(!campaign.run(name).join("checkpoint.safetensors").exists(), "{name} is finished");
    }

    let parcels = campaign.path("parcels").display().to_string();
    campaign.command(&format!("--pack {parcels} --max-mib 2")).assert().success().stdout(contains("packed into"));
    for parcel in fs::read_dir(&parcels).unwrap() {
        assert!(parcel.unwrap().metadata().unwrap().len() <= 2 << 20);
    }
    let other = campaign.path("other").display().to_string();
    campaign.command(&format!("--unpack {parcels} --out {other}")).assert().success();
    campaign.command(&format!("--list --out {other}")).assert().success().stdout(contains("finished"));
    let file = "weights/best.safetensors";
    let there = Path::new(&other).join("runs").join(RUNS[0]).join(file);
    assert!(fs::read(there).unwrap() == fs::read(campaign.run(RUNS[0]).join(file)).unwrap());
}

#[test]
fn time_that_is_over_leaves_checkpoints_and_is_no_failure() {
    let campaign = Campaign::new(10_000);
    let start = Instant::now();
    campaign.command("--lanes 2 --for 12s").assert().success().stdout(contains("2 are left: the same command goes on"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for name in RUNS {
        assert!(campaign.run(name).join("checkpoint.safetensors").is_file(), "{name}");
        // Asked, and not killed, which would cost what came after the last checkpoint.
        let said = fs::read_to_string(campaign.path("plan/runs").join(format!("{name}.log"))).unwrap();
        assert!(said.contains("stopped after iteration"), "{name}: {said}");
    }
}

#[test]
fn a_run_that_fails_takes_no_other_along() {
    let campaign = Campaign::new(2);
    let plan = fs::read_to_string(campaign.path("plan.toml")).unwrap();
    let plan = format!("{plan}[[runs]]\nname = 'lost'\ntrain = ['nowhere:train']\n");
    fs::write(campaign.path("plan.toml"), plan).unwrap();
    let failed = campaign.command("").assert().code(1);
    failed
        .stdout(contains("2 of 3 runs are finished"))
        .stdout(contains("lost-baseline-s0 failed"))
        .stdout(contains("nowhere"));
}

/// What Slurm would do with the script, task by task, with a `scontrol` that writes down what it is told.
#[cfg(unix)]
#[test]
fn a_job_array_trains_each_run_and_queues_what_is_left() {
    use std::os::unix::fs::PermissionsExt;

    let task = |campaign: &Campaign, time: &str, number: &str| {
        let script = campaign.path("plan.sbatch");
        let written = format!("--slurm {} --for {time}", script.display());
        campaign.command(&written).assert().success().stdout(contains("2 tasks"));
        let scontrol = campaign.path("scontrol");
        fs::write(&scontrol, format!("#!/bin/sh\necho \"$@\" >> {}\n", campaign.path("told").display())).unwrap();
        fs::set_permissions(&scontrol, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", campaign.folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.arg(&script).env("PATH", path).env("SLURM_JOB_ID", "77").env("SLURM_ARRAY_TASK_ID", number);
        command.current_dir(repository()).timeout(Duration::from_secs(300)).assert().success();
        fs::read_to_string(&script).unwrap()
    };
    let short = Campaign::new(1);
    let text = task(&short, "100s", "1");
    for option in ["--array=0-1", "--time=7", "--requeue", "--open-mode=append"] {
        assert!(text.contains(&format!("#SBATCH {option}\n")), "{text}");
    }
    assert!(short.run(RUNS[1]).join("finished.json").is_file() && !short.run(RUNS[0]).exists());
    assert!(!short.path("told").exists(), "a finished run is not queued again");

    let long = Campaign::new(10_000);
    task(&long, "5s", "0");
    assert_eq!(fs::read_to_string(long.path("told")).unwrap(), "requeue 77\n");
}

#[test]
fn a_run_that_is_not_in_the_plan_is_named() {
    let campaign = Campaign::new(1);
    campaign.command("--only dw9").assert().failure().stderr(contains("--only dw9").and(contains("--list")));
}

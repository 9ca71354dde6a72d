//! The checks of what needs libraries that not every machine has: libtorch, MPI.

use std::env;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{build, cargo, executable, run};
use crate::libtorch::{self, Libtorch, RELEASE};
use crate::steps::Steps;

const NAME: &str = "libtorch and MPI";

/// Runs clippy and tests with the features `torch` and `mpi`, as far as there are a libtorch and an MPI. A machine without does
/// without; one whose environment names a libtorch that is of no use fails.
pub fn check(steps: &mut Steps) {
    let named = env::var_os("LIBTORCH_USE_PYTORCH").is_some() || env::var_os("LIBTORCH").is_some();
    let libtorch = match libtorch::find() {
        Ok(libtorch) => Some(libtorch),
        Err(error) if named => {
            steps.run(NAME, || Err::<(), _>(error));
            return;
        }
        Err(error) => {
            println!("\n==> libtorch: left out, as there is no release {RELEASE} ({error:#}; {})", libtorch::REMEDY);
            None
        }
    };
    let has_mpi = ["mpicc", "mpirun"].iter().all(|program| which::which(program).is_ok());
    if !has_mpi {
        println!("\n==> MPI: left out, as there is none (docs/scale.md tells how to install one)");
    }
    if libtorch.is_some() || has_mpi {
        steps.run(NAME, || run_all(libtorch.as_ref(), has_mpi));
    }
}

/// Always of the whole workspace: cargo gives a choice of packages other features of their dependencies, and compiles all of them
/// anew. But only some tests of it and what they need, so that the page, which has nothing to do with this, is left out.
fn run_all(libtorch: Option<&Libtorch>, has_mpi: bool) -> Result<()> {
    let (mut features, mut tests) = (Vec::new(), Vec::new());
    if libtorch.is_some() {
        features.push("integration-tests/torch");
        tests.extend(["engines", "training_golden"]);
    }
    if has_mpi {
        features.push("integration-tests/mpi");
        tests.push("ranks");
    }
    let with_features = |subcommand: &str| {
        let mut command = cargo();
        command.args([subcommand, "--workspace", "--features", &features.join(",")]);
        if let Some(libtorch) = libtorch {
            libtorch.equip(&mut command);
        }
        command
    };
    let of_tests = |mut command: Command| {
        tests.iter().for_each(|test| _ = command.args(["--test", test]));
        command
    };
    run(of_tests(with_features("clippy")).args(["--", "--deny", "warnings"]))?;
    let program = ["--bin", "yolox-nano"];
    let built = build(with_features("build").args(program))?;
    let tested =
        run(of_tests(with_features("test")).arg("--no-fail-fast").env("YOLOX_BIN", executable(&built, "yolox-nano")?));
    // The program without them takes its place again.
    run(cargo().args(["build", "--workspace"]).args(program))?;
    tested
}

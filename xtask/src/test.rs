//! `cargo xtask test`: everything that must hold before a change is merged.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};
use xtask::chromium;

use crate::builds::{THREADS, WORKER};
use crate::cargo::{build, cargo, executable, root, run};
use crate::npm::build_package;
use crate::steps::Steps;
use crate::toolchain::{TARGET, WasmToolchain};
use crate::web::build_site;
use crate::{dependencies, optional};

const NO_RUSTFMT: &str = "rustfmt is missing: rustup component add rustfmt, or Debian's package rustfmt-web";
const NO_CLIPPY: &str = "clippy is missing: rustup component add clippy, or Debian's package rust-web-clippy";

/// Check everything: format, lints, documentation, tests, and the page in a real browser.
///
/// A step that cannot run on this machine is named with its remedy; with CI=true in the environment it is a failure. What
/// needs libtorch or MPI is checked only where there is one.
///
/// To run one group of tests alone: `cargo test -p shared-model`, or any other package. Plain `cargo test --workspace`
/// leaves out the tests in the browser, which need the site built.
#[derive(clap::Args)]
pub struct Test {}

impl Test {
    /// Runs all steps.
    pub fn run(self) -> Result<()> {
        let is_ci = env::var("CI").is_ok_and(|value| value == "true");
        let mut steps = Steps::new();
        if has("fmt") {
            steps.run("format", || run(cargo().args(["fmt", "--all", "--check"])));
        } else {
            steps.not_run("format", NO_RUSTFMT);
        }
        if has("clippy") {
            steps.run("clippy", || {
                run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
            });
        } else {
            steps.not_run("clippy", NO_CLIPPY);
        }
        steps.run("documentation", || {
            run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))
        });

        dependencies::check(&mut steps);

        let dist = root().join("dist");
        let site = match WasmToolchain::ensure() {
            Ok(toolchain) => {
                clippy_wasm(&mut steps, &toolchain);
                steps
                    .run("site", || build_site(&toolchain, &dist).map(|sizes| print!("{sizes}")))
                    .map(|()| (toolchain, dist))
            }
            Err(remedy) => {
                steps.not_run("site", remedy.to_string());
                None
            }
        };

        let package = site.as_ref().and_then(|(toolchain, _)| package(&mut steps, toolchain));
        let site = site.map(|(_, dist)| dist);

        if is_ci {
            remove_what_is_done_with()?;
        }

        // All targets, since tests bring features of their own: without them the dependencies would be compiled once for the
        // programs and once more for the tests.
        let programs = steps.run("programs and tests", || {
            let built = build(cargo().args(["build", "--workspace", "--all-targets"]))?;
            let program = |name: &str| executable(&built, name).map(PathBuf::from);
            Ok(TestPrograms { yolox_nano: program("yolox-nano")?, xtask: program("xtask")? })
        });
        let Some(programs) = programs else { return steps.finish(is_ci) };

        let tests = ["test", "--workspace", "--no-fail-fast"];
        steps.run("tests", || run(cargo().args(tests).env("YOLOX_BIN", &programs.yolox_nano)));
        browser_tests(&mut steps, site, package, &programs);
        optional::check(&mut steps);
        steps.finish(is_ci)
    }
}

/// Removes what no later step needs: a machine that checks changes may have a small disk.
fn remove_what_is_done_with() -> Result<()> {
    for folder in ["doc", TARGET] {
        let folder = root().join("target").join(folder);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
    }
    Ok(())
}

/// What tests start. Not this process's own file: the build may have put another one in its place.
struct TestPrograms {
    yolox_nano: PathBuf,
    xtask: PathBuf,
}

/// Whether cargo has this subcommand.
fn has(subcommand: &str) -> bool {
    cargo().args([subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Lints the code that exists only in the browser.
fn clippy_wasm(steps: &mut Steps, toolchain: &WasmToolchain) {
    const NAME: &str = "clippy for wasm32";
    const DENY: [&str; 3] = ["--", "--deny", "warnings"];
    match toolchain {
        WasmToolchain::Installed if !has("clippy") => steps.not_run(NAME, NO_CLIPPY),
        WasmToolchain::Installed => {
            let mut clippy = toolchain.cargo("clippy");
            clippy.args(["--package", "web-demo", "--bins"]).args(DENY);
            steps.run(NAME, || run(&mut clippy));
            // Nothing is linked, so the standard library without threads does.
            let mut clippy = toolchain.cargo("clippy");
            clippy.args(WORKER).arg(THREADS.config()).args(DENY);
            steps.run("clippy for threads", || run(&mut clippy));
        }
        WasmToolchain::BuildStd { .. } => {
            println!("\n==> {NAME}: left out, as the compiler in use builds the standard library too");
        }
    }
}

/// The npm package, of the worker's builds that the site has too.
fn package(steps: &mut Steps, toolchain: &WasmToolchain) -> Option<PathBuf> {
    const NAME: &str = "npm package";
    if let Err(error) = toolchain.ensure_std_sources() {
        steps.not_run(NAME, format!("{error:#}"));
        return None;
    }
    let folder = root().join("npm-package");
    steps.run(NAME, || build_package(toolchain, &folder).map(|sizes| print!("{sizes}"))).map(|()| folder)
}

/// The tests in `tests/tests/browser/main.rs`, which are `#[ignore]`d for all who have not built the site.
fn browser_tests(steps: &mut Steps, site: Option<PathBuf>, package: Option<PathBuf>, programs: &TestPrograms) {
    const NAME: &str = "tests in the browser";
    let found = chromium::find().and_then(|_| chromium::find_driver());
    match (site, found) {
        (None, _) => steps.not_run(NAME, "There is no site to test: see the steps above."),
        (_, Err(error)) => steps.not_run(NAME, error.to_string()),
        (Some(dist), Ok(_)) => {
            let mut tests = cargo();
            tests.args(["test", "--workspace", "--no-fail-fast", "--test", "browser", "--", "--include-ignored"]);
            tests.env("YOLOX_DIST", dist);
            // Without, its tests say that they do not run.
            tests.env("YOLOX_NPM", package.unwrap_or_default());
            tests.env("YOLOX_BIN", &programs.yolox_nano).env("YOLOX_XTASK", &programs.xtask);
            steps.run(NAME, || run(&mut tests));
        }
    }
}

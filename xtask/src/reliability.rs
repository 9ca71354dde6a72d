//! `cargo xtask fuzz`, `kill-test` and `long-run`: programs of the tests, which know their own flags.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{build, cargo, executable, run};

/// Feed everything that reads files or messages with damaged ones; see --help
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Fuzz {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl Fuzz {
    /// Builds and runs the program.
    pub fn run(self) -> Result<()> {
        run_program("fuzz", &self.arguments)
    }
}

/// Kill trainings, campaigns and publications at any moment, and go on with them; see --help
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct KillTest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl KillTest {
    /// Builds and runs the program.
    pub fn run(self) -> Result<()> {
        run_program("kill-test", &self.arguments)
    }
}

/// Detect, train or look at a gallery for long, and see whether memory stays flat; see --help
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct LongRun {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl LongRun {
    /// Builds and runs the program.
    pub fn run(self) -> Result<()> {
        run_program("long-run", &self.arguments)
    }
}

/// With the whole workspace selected, as `cargo xtask test` does, so that nothing is compiled twice.
fn run_program(name: &str, arguments: &[OsString]) -> Result<()> {
    let programs = build(cargo().args(["build", "--quiet", "--workspace", "--bin", name, "--bin", "yolox-nano"]))?;
    let mut program = Command::new(executable(&programs, name)?);
    run(program.args(arguments).env("YOLOX_BIN", executable(&programs, "yolox-nano")?))
}

//! Running cargo and other programs.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The top level of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// The cargo that runs this xtask, at the top level.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a program; an error names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{} failed ({status})", shown(command));
    Ok(())
}

/// What a program prints.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(output.status.success(), "{} failed ({})", shown(command), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a `cargo build` and returns the executables it made, wherever the target folder is.
pub fn build(command: &mut Command) -> Result<Vec<PathBuf>> {
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let messages = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut executables = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if let Some(path) = message["executable"].as_str() {
            executables.push(PathBuf::from(path));
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} failed ({status})", shown(command));
    Ok(executables)
}

/// The one of `executables` that is called `name`.
pub fn executable<'a>(executables: &'a [PathBuf], name: &str) -> Result<&'a Path> {
    match executables.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)) {
        Some(path) => Ok(path),
        None => bail!("the build made no program `{name}`"),
    }
}

/// The command line, as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let arguments = command.get_args().filter(|argument| *argument != "--message-format=json-render-diagnostics");
    let words: Vec<_> = std::iter::once(program).chain(arguments).map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

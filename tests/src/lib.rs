//! Helpers for the tests that cross crates.

pub mod browser;
pub mod drawn;
#[cfg(emulator)]
pub mod emulator;
pub mod fuzz;
#[cfg(unix)]
pub mod kill;
pub mod long_run;

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};

/// The repository's root folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' package lies in the repository")
}

/// The folder of data that is too large, or not free enough, for the repository: `shared` beside it, or the environment
/// variable `YOLOX_SHARED`. `None` says loudly that the test of `what` is skipped; a folder that is named but missing
/// fails.
pub fn shared(what: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("YOLOX_SHARED").map(PathBuf::from) {
        assert!(folder.is_dir(), "YOLOX_SHARED={} is no folder", folder.display());
        return Some(folder);
    }
    let folder =
        repository().parent().map(|parent| parent.join("shared")).filter(|folder| folder.join("golden").is_dir());
    if folder.is_none() {
        // Not `eprintln`, whose lines are shown of tests that fail only.
        let _ = writeln!(stderr(), "SKIPPED: {what}: needs the shared folder beside the repository (or YOLOX_SHARED)");
    }
    folder
}

/// The command line `yolox-nano`: the environment variable `YOLOX_BIN`, or what `cargo build -p native-train` put beside
/// the tests, as `cargo xtask test` does.
pub fn yolox_nano() -> PathBuf {
    if let Some(program) = std::env::var_os("YOLOX_BIN").map(PathBuf::from) {
        assert!(program.is_file(), "YOLOX_BIN={} is no file", program.display());
        return program;
    }
    let test = std::env::current_exe().expect("the test knows where it is");
    let program = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").join("yolox-nano");
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "{} is missing: run `cargo build -p native-train` first", program.display());
    program
}

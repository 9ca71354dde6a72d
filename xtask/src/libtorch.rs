//! libtorch, where there is one.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The release that the crate `tch` is made for.
pub const RELEASE: &str = "2.11";

/// How to get one.
pub const REMEDY: &str = "docs/cuda.md tells how to install libtorch";

/// What Python prints: the release, then the folders of libtorch's libraries and of CUDA's, which come with it.
const ASK_PYTHON: &str = "import os, torch; print(torch.__version__); here = os.path.dirname(torch.__file__); \
                          print(os.path.join(here, 'lib')); print(os.path.join(here, '..', 'nvidia', 'cu13', 'lib'))";

/// A libtorch, as the build of the crate `torch-sys` finds it.
pub struct Libtorch {
    /// Folders of its libraries, and of CUDA's if they come with it.
    libraries: Vec<PathBuf>,
    is_python_s: bool,
}

impl Libtorch {
    /// Lets a command of cargo build with it, and run what it built.
    pub fn equip<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.is_python_s {
            command.env("LIBTORCH_USE_PYTORCH", "1");
        }
        command.env("LD_LIBRARY_PATH", with_folders(&self.libraries))
    }
}

/// The libtorch that the environment names, else that of Python's torch.
///
/// # Errors
/// Says why there is none.
pub fn find() -> Result<Libtorch> {
    match env::var_os("LIBTORCH").filter(|_| env::var_os("LIBTORCH_USE_PYTORCH").is_none()) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            let libraries = env::var_os("LIBTORCH_LIB").map_or_else(|| folder.clone(), PathBuf::from).join("lib");
            ensure!(libraries.is_dir(), "LIBTORCH: there is no folder {}", libraries.display());
            // Archives of libtorch tell their release, installations by other ways do not.
            if let Ok(release) = std::fs::read_to_string(folder.join("build-version")) {
                check_release(&release).context("LIBTORCH")?;
            }
            Ok(Libtorch { libraries: vec![libraries], is_python_s: false })
        }
        None => {
            let found = Command::new("python3").args(["-c", ASK_PYTHON]).output().context("there is no python3")?;
            ensure!(found.status.success(), "python3 has no package torch");
            let text = String::from_utf8(found.stdout)?;
            let mut lines = text.lines();
            let Some(release) = lines.next() else { bail!("python3 printed nothing when it was asked for torch") };
            check_release(release).context("python3's torch")?;
            Ok(Libtorch { libraries: lines.map(PathBuf::from).collect(), is_python_s: true })
        }
    }
}

fn check_release(release: &str) -> Result<()> {
    let release = release.trim();
    let fits = release.strip_prefix(RELEASE).is_some_and(|rest| rest.starts_with('.'));
    ensure!(fits, "this is {release}, and {RELEASE} is needed");
    Ok(())
}

/// `LD_LIBRARY_PATH` with `folders` in front.
fn with_folders(folders: &[PathBuf]) -> OsString {
    let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()));
    env::join_paths(all).expect("a folder that libraries are found in has no colon in its name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_that_fits_will_do() {
        for release in ["2.11.0", "2.11.0+cu130\n", "2.11.1+cpu"] {
            check_release(release).unwrap();
        }
        for release in ["2.1.1", "2.12.0", "2.110.0", ""] {
            assert!(check_release(release).is_err(), "{release}");
        }
    }
}

//! Programs that are installed on this machine.

use std::env;
use std::path::PathBuf;

/// A program on the search path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// The program that an environment variable names, or else the first of `names` on the search path.
pub fn named_or_found(variable: &str, names: &[&str]) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).or_else(|| names.iter().copied().find_map(find_program))
}

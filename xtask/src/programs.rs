//! Programs that are installed on this machine.

use std::env;
use std::path::PathBuf;

use which::which;

/// The program that an environment variable names, or else the first of `names` on the search path.
pub fn named_or_found(variable: &str, names: &[&str]) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).or_else(|| names.iter().find_map(|name| which(name).ok()))
}

//! `cargo xtask npm`: the worker as a package, for pages of other people.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::builds::{PLAIN, RELAXED, THREADS};
use crate::cargo::root;
use crate::licences;
use crate::sizes::gzip;
use crate::toolchain::WasmToolchain;

/// Where the package's own files are, below the top level.
const SOURCES: &str = "web-demo/npm";
/// What the package has of the page's: what starts the worker's program, and its threads.
const SHARED: [&str; 2] = ["worker.js", "thread.js"];
/// Stands in the package's manifest for the workspace's version.
const VERSION: &str = r#""version": "0.0.0""#;
/// Bytes of the folder, at most.
const LIMIT: usize = 1_000_000;

/// Make an npm package of the detectors: an ES module and the element <yolox-compare>, for any web page.
///
/// The folder works as it is, from a plain web server or with a bundler, and nothing is published; docs/embedding.md says how to
/// use it.
#[derive(clap::Args)]
pub struct Npm {
    /// The folder, which is replaced
    #[arg(long, value_name = "DIR", default_value = "npm-package")]
    out: PathBuf,
}

impl Npm {
    /// Makes the package and prints what it weighs.
    pub fn run(self) -> Result<()> {
        let toolchain = WasmToolchain::ensure()?;
        toolchain.ensure_std_sources().context("the package has a build with threads")?;
        print!("{}", build_package(&toolchain, &self.out)?);
        println!("The package is in {}.", self.out.display());
        Ok(())
    }
}

/// Makes the package in `out`, and returns the table of its sizes.
pub fn build_package(toolchain: &WasmToolchain, out: &Path) -> Result<String> {
    let mut files = sources()?;
    for build in [PLAIN, RELAXED, THREADS] {
        let program = build.compile(toolchain)?;
        files.insert(format!("worker-{}-bindings.js", build.name), program.js);
        // Whatever the host does, a third of the bytes goes over the line, and all builds fit into the package.
        files.insert(format!("worker-{}.wasm.gz", build.name), gzip(&program.wasm)?);
    }
    let total: usize = files.values().map(Vec::len).sum();
    let width = files.keys().map(String::len).max().unwrap_or_default();
    let row = |name: &str, bytes: usize| format!("{name:width$} {bytes:>9}\n");
    let table: String = files.iter().map(|(name, content)| row(name, content.len())).collect();
    let table = format!("{:width$} {:>9}\n{table}{}", "file", "bytes", row("everything", total));
    ensure!(total < LIMIT, "the package has {total} bytes, and {LIMIT} are too many:\n{table}");
    write(&files, out)?;
    Ok(table)
}

/// All files but those that are compiled.
fn sources() -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut add = |name: &str, path: PathBuf| -> Result<()> {
        files.insert(name.to_owned(), fs::read(&path).with_context(|| path.display().to_string())?);
        Ok(())
    };
    for entry in fs::read_dir(root().join(SOURCES)).context(SOURCES)? {
        let entry = entry?;
        add(&entry.file_name().to_string_lossy(), entry.path())?;
    }
    for name in SHARED {
        add(name, root().join("web-demo/assets").join(name))?;
    }
    for name in ["LICENSE", "NOTICE"] {
        add(name, root().join(name))?;
    }
    files.insert("licences.txt.gz".to_owned(), gzip(&fs::read(root().join(licences::FILE)).context(licences::FILE)?)?);
    let manifest = files.get_mut("package.json").context("the package has no package.json")?;
    let text = String::from_utf8(manifest.clone())?;
    ensure!(text.matches(VERSION).count() == 1, "package.json does not say {VERSION} once");
    *manifest = text.replace(VERSION, &format!(r#""version": "{}""#, env!("CARGO_PKG_VERSION"))).into_bytes();
    Ok(files)
}

fn write(files: &BTreeMap<String, Vec<u8>>, folder: &Path) -> Result<()> {
    if folder.exists() {
        // Nothing of somebody else's.
        let is_ours = folder.join("worker-plain.wasm.gz").is_file() || fs::read_dir(folder)?.next().is_none();
        ensure!(is_ours, "{} is there and was not made by this command", folder.display());
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_the_workspaces_version_and_files_that_are_there() {
        let files = sources().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&files["package.json"]).unwrap();
        assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
        for path in ["main", "types"].map(|key| &manifest[key]) {
            let name = path.as_str().unwrap().trim_start_matches("./");
            assert!(files.contains_key(name), "{name}");
        }
    }

    /// The page's script decides before any other has arrived, and so can import none.
    #[test]
    fn page_and_package_ask_the_browser_the_same() {
        let script = |path: &str| fs::read_to_string(root().join("web-demo").join(path)).unwrap();
        let (page, package) = (script("assets/start-worker.js"), script("npm/builds.js"));
        let statement = |script: &str, name: &str| {
            let start = script.find(&format!("const {name} =")).unwrap();
            script[start..][..script[start..].find(';').unwrap()].to_owned()
        };
        for name in ["RELAXED_MADD", "MOST_THREADS"] {
            assert_eq!(statement(&page, name), statement(&package, name));
        }
    }

    #[test]
    fn a_folder_of_somebody_elses_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = BTreeMap::from([("worker-plain.wasm.gz".to_owned(), vec![1])]);
        write(&files, folder.path()).unwrap();
        write(&files, folder.path()).unwrap();
        fs::remove_file(folder.path().join("worker-plain.wasm.gz")).unwrap();
        fs::write(folder.path().join("index.html"), "a page").unwrap();
        assert!(write(&files, folder.path()).is_err());
        assert!(folder.path().join("index.html").exists());
    }
}

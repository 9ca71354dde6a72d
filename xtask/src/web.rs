//! `cargo xtask web`: the static site.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bindgen::WasmModule;
use crate::builds::{PLAIN, RELAXED, THREADS};
use crate::cargo::{build, executable, root};
use crate::site::Site;
use crate::split::SplitProgram;
use crate::toolchain::{TARGET, WasmToolchain, sysroot};
use crate::{html, licences, sizes};

/// Build the comparison page as a static site.
///
/// The result needs no server of its own: copy the folder to any static host, at the top of a domain or below a path.
/// File names carry a hash of the content, so all but index.html and service-worker.js may be cached for ever;
/// docs/deploy.md has settings for common hosts.
#[derive(clap::Args)]
pub struct Web {
    /// The folder to write
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
}

impl Web {
    /// Builds the site and prints what it weighs.
    pub fn run(self) -> Result<()> {
        let sizes = build_site(&WasmToolchain::ensure()?, &self.out)?;
        print!("{sizes}");
        println!("The site is in {}.", self.out.display());
        Ok(())
    }
}

/// leptos's views behind pointers: without this, every view is a type of its own with code of its own.
const ERASED_VIEWS: [&str; 2] = ["--cfg", "erase_components"];

/// Of published weights in two files, only the one that the page downloads.
fn add_models(site: &mut Site) -> Result<()> {
    let folder = root().join("models");
    site.add_folder(&folder, "models/")?;
    let path = folder.join("manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
    let models = manifest["models"].as_array().with_context(|| format!("{} lists no models", path.display()))?;
    for file in models.iter().filter(|model| model["small"].is_object()).filter_map(|model| model["file"].as_str()) {
        site.remove(&format!("models/{file}"));
    }
    Ok(())
}

/// Builds the site into `out` and returns the table of its sizes.
pub fn build_site(toolchain: &WasmToolchain, out: &Path) -> Result<String> {
    let mut cargo = toolchain.cargo("build");
    cargo.args(["--package", "web-demo", "--bin", "page", "--profile", "web"]);
    cargo.arg(format!("--config=target.{TARGET}.rustflags={ERASED_VIEWS:?}"));
    remap_sources(&mut cargo)?;
    let programs = build(&mut cargo)?;

    let mut site = Site::default();
    SplitProgram::of(executable(&programs, "page")?)?.publish(&mut site, "page")?;
    add_worker(&mut site, PLAIN.name, PLAIN.compile(toolchain)?)?;
    add_worker(&mut site, RELAXED.name, RELAXED.compile(toolchain)?)?;
    match toolchain.ensure_std_sources() {
        Ok(()) => add_worker(&mut site, THREADS.name, THREADS.compile(toolchain)?)?,
        Err(error) => println!("WARNING: the page will run on one thread, as {error:#}"),
    }
    add_models(&mut site)?;
    site.add_folder(&root().join("web-demo/assets"), "")?;
    site.add("licences.txt", fs::read(root().join(licences::FILE)).context(licences::FILE)?)?;

    let template = fs::read_to_string(root().join("index.html")).context("index.html")?;
    let page = html::render(&template, &site)?;
    site.write(&page, out)?;
    sizes::table(&page, &site)
}

/// Publishes a build of the worker's program under the names by which `web-demo/assets/start-worker.js` looks for it.
fn add_worker(site: &mut Site, build: &str, program: WasmModule) -> Result<()> {
    site.add(&format!("worker-{build}-bindings.js"), program.js)?;
    site.add(&format!("worker-{build}.wasm"), program.wasm)?;
    Ok(())
}

/// Panic messages name source files. Without this they would name the builder's home folder too, and every machine would build another site.
pub fn remap_sources(cargo: &mut Command) -> Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("there is no home folder")?;
    let mut folders = vec![(sysroot().join("lib/rustlib/src/rust"), "rust")];
    if let Ok(registries) = fs::read_dir(home.join("registry/src")) {
        for registry in registries {
            folders.push((registry?.path(), "crates"));
        }
    }
    for (folder, name) in folders {
        let flag = format!("--remap-path-prefix={}={name}", folder.display());
        cargo.arg(format!("--config=target.{TARGET}.rustflags=[{flag:?}]"));
    }
    Ok(())
}

//! `cargo xtask web`: the static site.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::bindgen::bind;
use crate::cargo::{build, executable, root};
use crate::site::Site;
use crate::toolchain::WasmToolchain;
use crate::{html, sizes};

/// Build the comparison page as a static site.
///
/// The result needs no server of its own: copy the folder to any static host, at the top of a domain or below a path.
/// File names carry a hash of the content, so all but index.html may be cached for ever.
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

/// Builds the site into `out` and returns the table of its sizes.
pub fn build_site(toolchain: &WasmToolchain, out: &Path) -> Result<String> {
    let mut cargo = toolchain.cargo("build");
    cargo.args(["--package", "web-demo", "--bins", "--profile", "web"]);
    remap_sources(&mut cargo)?;
    let programs = build(&mut cargo)?;

    let mut site = Site::default();
    let page = bind(executable(&programs, "page")?)?;
    site.add("page.js", page.js)?;
    site.add("page.wasm", page.wasm)?;
    let worker = bind(executable(&programs, "worker")?)?;
    let bindings = site.add("worker-bindings.js", worker.js)?;
    let wasm = site.add("worker.wasm", worker.wasm)?;
    site.add("worker.js", worker_loader(&bindings, &wasm).into_bytes())?;
    site.add_folder(&root().join("models"), "models/")?;
    site.add_folder(&root().join("web-demo/assets"), "")?;

    let template = fs::read_to_string(root().join("index.html")).context("index.html")?;
    let page = html::render(&template, &site)?;
    site.write(&page, out)?;
    sizes::table(&page, &site)
}

/// The script that `new Worker(url, { type: "module" })` starts.
///
/// A promise that is rejected inside a worker stays unseen outside; `reportError` makes it the worker's `error` event.
fn worker_loader(bindings: &str, wasm: &str) -> String {
    format!(
        "import init from \"./{bindings}\";\n\
         init({{ module_or_path: new URL(\"{wasm}\", import.meta.url) }}).catch(reportError);\n"
    )
}

/// Panic messages name source files. Without this they would name the builder's home folder too, and every machine would build another site.
fn remap_sources(cargo: &mut std::process::Command) -> Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("there is no home folder")?;
    let Ok(registries) = fs::read_dir(home.join("registry/src")) else { return Ok(()) };
    for registry in registries {
        let folder = registry?.path();
        let flag = format!("--remap-path-prefix={}=crates", folder.display());
        cargo.arg(format!("--config=target.{}.rustflags=[{flag:?}]", crate::toolchain::TARGET));
    }
    Ok(())
}

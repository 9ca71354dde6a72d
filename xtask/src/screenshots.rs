//! `cargo xtask screenshots`: what the page looks like.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{build, cargo, executable, root, run};
use crate::toolchain::WasmToolchain;
use crate::web::build_site;

/// Take images of the page's views in headless Chromium, at the width of a phone, a tablet and a desk's screen.
///
/// Writes VIEW-WIDTH.png for every view and width, each the whole page from top to bottom, when all boxes are drawn and all
/// times measured; and the README's image, the upper part of the widest one.
#[derive(clap::Args)]
pub struct Screenshots {
    /// The folder of the images
    #[arg(long, value_name = "DIR", default_value = "target/screenshots")]
    out: PathBuf,

    /// The README's image [default: docs/page.jpg]
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,

    /// A site that `cargo xtask web` has made, instead of building it
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
}

impl Screenshots {
    /// Builds the site, unless there is one, and takes its images.
    pub fn run(self) -> Result<()> {
        let site = match self.site {
            Some(site) => site,
            None => {
                let dist = root().join("dist");
                build_site(&WasmToolchain::ensure()?, &dist)?;
                dist
            }
        };
        // A program of the tests, which know how to drive a browser: here, that would be compiled for every `cargo xtask demo`. With the
        // whole workspace selected, as `cargo xtask test` does, so that nothing is compiled twice.
        let programs = build(cargo().args(["build", "--quiet", "--workspace", "--example", "screenshots"]))?;
        let readme = self.readme.unwrap_or_else(|| root().join("docs/page.jpg"));
        run(Command::new(executable(&programs, "screenshots")?).args([site, self.out, readme]))
    }
}

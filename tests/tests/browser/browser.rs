//! A web server, a chromedriver and a Chromium for one test, all of which end with it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::browser::drive;
use integration_tests::repository;
use serde_json::Value;
use shared_model::Manifest;
use xtask::chromium;
use xtask::server::Server;

use crate::page::Page;

/// Runs a test on the site at the top of its server.
pub fn browse(test: impl AsyncFnOnce(&Page) -> Result<()>) {
    browse_under("/", test);
}

/// Runs a test on the site below a path.
pub fn browse_under(base: &str, test: impl AsyncFnOnce(&Page) -> Result<()>) {
    if !has_site() {
        return;
    }
    let result = drive(async |driver| {
        let page = Page::new(driver, Server::start_under(&site(), 0, base)?);
        test(&page).await?;
        page.check_console().await
    });
    if let Err(error) = result {
        panic!("{error:#}");
    }
}

/// The command line, to compare the page with.
pub fn command_line() -> Result<Command> {
    let program = match env::var_os("YOLOX_BIN") {
        Some(program) => PathBuf::from(program),
        None => repository().join("target/debug/yolox-nano"),
    };
    ensure!(program.is_file(), "{} is missing: run `cargo build` first, or set YOLOX_BIN", program.display());
    Ok(Command::new(program))
}

/// The file of published weights that the page computes with.
pub fn downloaded_weights(model: &str) -> Result<PathBuf> {
    let models = repository().join("models");
    let manifest = Manifest::from_json(&fs::read_to_string(models.join("manifest.json"))?)?.for_downloads();
    Ok(models.join(&manifest.named(model).with_context(|| format!("no {model} is published"))?.file))
}

/// The program behind `cargo xtask`.
pub fn xtask() -> Command {
    let program = env::var_os("YOLOX_XTASK").map_or_else(|| repository().join("target/debug/xtask"), PathBuf::from);
    Command::new(program)
}

/// The folder of the site.
pub fn site() -> PathBuf {
    env::var_os("YOLOX_DIST").map_or_else(|| repository().join("dist"), PathBuf::from)
}

/// The published name of a file of the site.
pub fn published(logical: &str) -> Result<String> {
    let index = fs::read_to_string(site().join("index.html"))?;
    let (_, rest) = index.split_once(r#"id="assets">"#).context("index.html has no map of assets")?;
    let (map, _) = rest.split_once("</script>").context("index.html")?;
    let map: Value = serde_json::from_str(map)?;
    Ok(map[logical].as_str().with_context(|| format!("the site has no {logical}"))?.to_owned())
}

/// Whether there is the site, and a browser to look at it.
fn has_site() -> bool {
    let site = site();
    can_run(|| {
        ensure!(site.join("index.html").is_file(), "there is no site in {}: run `cargo xtask web`", site.display());
        Ok(())
    })
}

/// Whether there is what tests need and do not make themselves, and a browser. What is missing is said loudly, with its remedy; under
/// continuous integration it is a failure.
pub fn can_run(has_files: impl FnOnce() -> Result<()>) -> bool {
    let found = has_files().and_then(|()| {
        chromium::find()?;
        chromium::find_driver()
    });
    if let Err(error) = &found {
        assert!(env::var("CI").as_deref() != Ok("true"), "{error:#}");
        eprintln!("NOT RUN: {error:#}");
    }
    found.is_ok()
}

//! `cargo xtask bench-web`: how long networks take in a browser.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xtask::chromium;
use xtask::server::Server;

use crate::cargo::{build, cargo, executable, root, run};
use crate::toolchain::WasmToolchain;
use crate::web::build_site;

/// Measure networks in headless Chromium, in the page's own worker.
///
/// A row is a variant in a build of the worker. Rows take turns, so that a disturbance hits all. The weights are the
/// published ones, or else random, which costs the same time. Times are milliseconds of the network: `cold` of the first
/// run in a browser that has just started, `median` and `min` of warm ones; memory is what the worker has taken from the
/// browser after the runs.
#[derive(clap::Args)]
pub struct BenchWeb {
    /// Variants, separated by commas
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "baseline")]
    variant: Vec<String>,

    /// Builds of the worker, separated by commas
    #[arg(long, value_name = "BUILD,...", value_delimiter = ',', default_value = "plain,relaxed,threads")]
    #[arg(value_parser = ["plain", "relaxed", "threads"])]
    build: Vec<String>,

    /// Threads of the build `threads` [default: as many as there are cores, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,

    /// Warm runs of a row
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A site that `cargo xtask web` has made, instead of building it
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
}

/// What one worker does.
#[derive(Serialize)]
struct Job<'a> {
    variant: &'a str,
    build: &'a str,
    threads: u16,
    /// URL of the worker.
    worker: String,
    /// What the worker is told of its build.
    name: String,
    /// The request to load the weights, as `web-demo/src/protocol.rs` has it.
    model: Value,
}

/// A row of the result.
#[derive(Serialize)]
struct BenchRow {
    /// The first run in a browser that has just started.
    cold_ms: f64,
    #[serde(flatten)]
    times: Times,
}

/// What one worker's runs came to.
#[derive(Serialize, Deserialize)]
struct Times {
    variant: String,
    build: String,
    threads: u16,
    median_ms: f64,
    min_ms: f64,
    /// Of an image without objects.
    postprocess_ms: f64,
    /// Fitting an image of 12 megapixels into the input.
    letterbox_12mp_ms: f64,
    memory_mb: f64,
}

/// What the page of the measurement posts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Rows(Vec<Times>),
    Cold { cold_ms: f64 },
    Failed { error: String },
}

impl BenchWeb {
    /// Measures and prints.
    pub fn run(self) -> Result<()> {
        let site = match &self.site {
            Some(site) => site.clone(),
            None => {
                let dist = root().join("dist");
                build_site(&WasmToolchain::ensure()?, &dist)?;
                dist
            }
        };
        let server = Server::start(&site, 0).context("cannot start the server")?;
        server.put("bench.html", include_bytes!("bench_web/bench.html").to_vec());
        let jobs = self.jobs(&site, &server)?;
        // Each in a browser of its own: what a browser has compiled once is warm for the next worker too.
        let mut cold = Vec::new();
        for job in &jobs {
            server.put("bench.json", serde_json::to_vec(&json!({ "jobs": [job], "runs": 0 }))?);
            match posted(&server)? {
                Answer::Cold { cold_ms } => cold.push(cold_ms),
                _ => bail!("the page of the measurement is of another version"),
            }
        }
        server.put("bench.json", serde_json::to_vec(&json!({ "jobs": jobs, "runs": self.runs }))?);
        let Answer::Rows(times) = posted(&server)? else { bail!("the page of the measurement is of another version") };
        let rows: Vec<_> = cold.into_iter().zip(times).map(|(cold_ms, times)| BenchRow { cold_ms, times }).collect();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            print!("{}", table(&rows));
        }
        Ok(())
    }

    /// One job for each variant and build; their weights are on the server then.
    fn jobs(&self, site: &Path, server: &Server) -> Result<Vec<Job<'_>>> {
        let weights = tempfile::tempdir()?;
        // With the whole workspace selected, as `cargo xtask test` does, so that nothing is compiled twice.
        let programs = build(cargo().args(["build", "--quiet", "--workspace", "--example", "weights"]))?;
        run(Command::new(executable(&programs, "weights")?).arg(weights.path()).args(&self.variant))?;
        let assets = assets(site)?;
        let url = |name: &str| match assets.get(name) {
            Some(url) => Ok(format!("{}{url}", server.url())),
            None => bail!("the site in {} has no {name}", site.display()),
        };
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u16);

        let mut jobs = Vec::new();
        for variant in &self.variant {
            let file = format!("{variant}.safetensors");
            let content = fs::read(weights.path().join(&file))?;
            let sha256 = base16ct::lower::encode_string(&Sha256::digest(&content));
            let model = json!({
                "model": variant,
                "url": format!("{}{file}", server.url()),
                "bytes": content.len(),
                "sha256": sha256,
            });
            server.put(&file, content);
            for build in &self.build {
                let threads = if build == "threads" { self.threads.unwrap_or(cores) } else { 1 };
                // As web-demo/assets/start-worker.js has it. No character of these needs escaping.
                let name = format!(
                    "bindings={}&wasm={}&thread={}&threads={threads}",
                    url(&format!("worker-{build}-bindings.js"))?,
                    url(&format!("worker-{build}.wasm"))?,
                    url("thread.js")?,
                );
                let worker = url("worker.js")?;
                jobs.push(Job { variant, build, threads, worker, name, model: model.clone() });
            }
        }
        Ok(jobs)
    }
}

/// The map from logical names to URLs that the site's page carries.
fn assets(site: &Path) -> Result<BTreeMap<String, String>> {
    let page = fs::read_to_string(site.join("index.html")).with_context(|| format!("no site in {}", site.display()))?;
    let map = page.split_once(r#"id="assets">"#).and_then(|(_, rest)| rest.split_once("</script>"));
    Ok(serde_json::from_str(map.context("index.html has no map of assets")?.0)?)
}

/// What the page of the measurement posts when a browser has opened it.
fn posted(server: &Server) -> Result<Answer> {
    let browser = chromium::find()?;
    let profile = tempfile::tempdir()?;
    let mut command = Command::new(&browser);
    command.args(chromium::FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("{}bench.html", server.url())).stdout(Stdio::null()).stderr(Stdio::null());
    let mut browser = Browser(command.spawn().with_context(|| format!("cannot start {}", browser.display()))?);
    let start = Instant::now();
    loop {
        if let Some(body) = server.posted(Duration::from_millis(200)) {
            return match serde_json::from_slice(&body)? {
                Answer::Failed { error } => bail!("the measurement failed: {error}"),
                answer => Ok(answer),
            };
        }
        if let Some(status) = browser.0.try_wait()? {
            bail!("Chromium ended ({status}) before it had measured anything");
        }
        ensure!(start.elapsed() < PATIENCE, "Chromium has not answered for {PATIENCE:?}");
    }
}

/// Longer than any measurement takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Ends with its owner.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn table(rows: &[BenchRow]) -> String {
    let mut table = format!(
        "{:12} {:8} {:>7} {:>8} {:>9} {:>8} {:>14} {:>12} {:>10}\n",
        "variant", "build", "threads", "cold ms", "median ms", "min ms", "postprocess ms", "12 MP fit ms", "memory MB"
    );
    for BenchRow { cold_ms, times: row } in rows {
        table += &format!(
            "{:12} {:8} {:>7} {:>8.1} {:>9.1} {:>8.1} {:>14.2} {:>12.1} {:>10.1}\n",
            row.variant,
            row.build,
            row.threads,
            cold_ms,
            row.median_ms,
            row.min_ms,
            row.postprocess_ms,
            row.letterbox_12mp_ms,
            row.memory_mb
        );
    }
    table
}

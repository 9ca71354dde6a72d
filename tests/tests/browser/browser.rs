//! A web server, a chromedriver and a Chromium for one test, all of which end with it.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::repository;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel, WebDriver};
use xtask::chromium;
use xtask::server::Server;

use crate::page::Page;

/// Runs a test on the site at the top of its server.
pub fn browse(test: impl AsyncFnOnce(&Page) -> Result<()>) {
    browse_under("/", test);
}

/// Runs a test on the site below a path.
pub fn browse_under(base: &str, test: impl AsyncFnOnce(&Page) -> Result<()>) {
    let Some(tools) = Tools::find() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let result = runtime.block_on(async {
        let server = Server::start_under(&tools.site, 0, base)?;
        let profile = tempfile::tempdir()?;
        let chromedriver = Chromedriver::start(&tools.chromedriver)?;
        let driver = WebDriver::new(chromedriver.url(), capabilities(&tools.chromium, profile.path())?).await?;
        driver
            .run_and_quit(async |driver| {
                let page = Page::new(driver, server);
                test(&page).await?;
                page.check_console().await
            })
            .await?;
        anyhow::Ok(())
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

/// The folder of the site.
pub fn site() -> PathBuf {
    env::var_os("YOLOX_DIST").map_or_else(|| repository().join("dist"), PathBuf::from)
}

/// What the tests need and do not make themselves.
struct Tools {
    site: PathBuf,
    chromium: PathBuf,
    chromedriver: PathBuf,
}

impl Tools {
    /// What is missing is said loudly, with its remedy; under continuous integration it is a failure.
    fn find() -> Option<Self> {
        let site = site();
        let found = (|| {
            ensure!(site.join("index.html").is_file(), "there is no site in {}: run `cargo xtask web`", site.display());
            let chromium = program("YOLOX_CHROMIUM", &chromium::NAMES).context("Chromium is missing")?;
            let chromedriver = program("YOLOX_CHROMEDRIVER", &["chromedriver"]).context("chromedriver is missing")?;
            Ok(Self { site, chromium, chromedriver })
        })();
        match found {
            Ok(tools) => Some(tools),
            Err(error) => {
                let remedy = "On Debian: apt-get install chromium chromium-driver";
                assert!(env::var("CI").as_deref() != Ok("true"), "{error:#}. {remedy}");
                eprintln!("NOT RUN: {error:#}. {remedy}");
                None
            }
        }
    }
}

/// A program that an environment variable names, or else the first of `names` on the PATH.
fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(path.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

fn capabilities(chromium: &Path, profile: &Path) -> Result<ChromeCapabilities> {
    let mut chrome = ChromeCapabilities::new();
    chrome.set_binary(chromium.to_str().context("Chromium's path")?)?;
    let mut profile_argument = OsString::from("--user-data-dir=");
    profile_argument.push(profile);
    for argument in chromium::FLAGS {
        chrome.add_arg(argument)?;
    }
    // A moving test picture instead of this computer's camera.
    chrome.add_arg("--use-fake-device-for-media-stream")?;
    // The page's language, whatever this computer's is.
    chrome.add_arg("--lang=en-US")?;
    chrome.add_arg(profile_argument.to_str().context("the profile's path")?)?;
    chrome.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    Ok(chrome)
}

struct Chromedriver {
    process: Child,
    port: u16,
    /// Kept open: a program whose output nobody can read any more may die of it.
    _output: BufReader<ChildStdout>,
}

impl Chromedriver {
    fn start(program: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut output = BufReader::new(process.stdout.take().context("chromedriver's output")?);
        // "ChromeDriver was started successfully on port 41234."
        let mut said = String::new();
        let port = loop {
            let start = said.len();
            ensure!(output.read_line(&mut said)? > 0, "chromedriver does not start: {said}");
            let port =
                said[start..].split_once("successfully on port ").map(|(_, port)| port.trim_end_matches(['.', '\n']));
            if let Some(port) = port {
                break port.parse()?;
            }
        };
        Ok(Self { process, port, _output: output })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Chromedriver {
    /// Killed outright, chromedriver would leave its browser behind: it is asked to shut down first.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

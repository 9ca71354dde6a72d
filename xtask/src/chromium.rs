//! How Chromium is found and started, for tests, measurements and screenshots alike.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::programs::named_or_found;

/// What to do where [`find`] or [`find_driver`] fails.
pub const REMEDY: &str = "On Debian: apt-get install chromium chromium-driver, as root";

/// A browser without a window that talks to nobody but the page's server.
pub const FLAGS: [&str; 11] = [
    "--headless",
    // As root, in a container, there is no other way.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
    // Pages speak English, whatever this computer does.
    "--lang=en-US",
    // A moving test image instead of this computer's camera.
    "--use-fake-device-for-media-stream",
];

/// The browser: what the environment variable YOLOX_CHROMIUM names, or else one on the search path.
///
/// # Errors
/// There is none.
pub fn find() -> Result<PathBuf> {
    named_or_found("YOLOX_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])
        .with_context(|| format!("Chromium is missing. {REMEDY}"))
}

/// Its driver: what the environment variable YOLOX_CHROMEDRIVER names, or else one on the search path.
///
/// # Errors
/// There is none.
pub fn find_driver() -> Result<PathBuf> {
    named_or_found("YOLOX_CHROMEDRIVER", &["chromedriver"])
        .with_context(|| format!("chromedriver is missing. {REMEDY}"))
}

/// A running chromedriver, which ends with its owner, and its browsers with it.
pub struct Chromedriver {
    process: Child,
    port: u16,
    /// Kept open: a program whose output nobody can read any more may die of it.
    _output: BufReader<ChildStdout>,
}

impl Chromedriver {
    /// Starts the program and waits until it listens, on a port of its own choice.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path) -> Result<Self> {
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

    /// Where it listens.
    pub fn url(&self) -> String {
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

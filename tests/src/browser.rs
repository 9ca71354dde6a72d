//! A headless Chromium that a program drives.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel, WebDriver, WebDriverRunError};
use xtask::chromium::{self, Chromedriver};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `task` with a browser of its own, which ends with it.
///
/// # Errors
/// Says what is missing on this machine; else the task's.
pub fn drive<T>(task: impl AsyncFnOnce(WebDriver) -> Result<T>) -> Result<T> {
    let browser = chromium::find()?;
    let chromedriver = Chromedriver::start(&chromium::find_driver()?)?;
    let profile = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let driver = WebDriver::new(chromedriver.url(), capabilities(&browser, profile.path())?).await?;
        driver.run_and_quit(async |driver| task(driver).await).await.map_err(|error| match error {
            // As it is: wrapped, only the outermost of its reasons would be shown.
            WebDriverRunError::Body(error) => error,
            error => error.into(),
        })
    })
}

fn capabilities(browser: &Path, profile: &Path) -> Result<ChromeCapabilities> {
    let mut chrome = ChromeCapabilities::new();
    chrome.set_binary(browser.to_str().context("Chromium's path")?)?;
    for argument in chromium::FLAGS {
        chrome.add_arg(argument)?;
    }
    chrome.add_arg(&format!("--user-data-dir={}", profile.to_str().context("the profile's path")?))?;
    chrome.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    Ok(chrome)
}

/// Waits until a script, the body of a function, gives true.
///
/// # Errors
/// It does not within half a minute; the error has the page's text.
pub async fn wait_for(driver: &WebDriver, script: &str, arguments: Vec<Value>) -> Result<()> {
    let start = Instant::now();
    while driver.execute(script, arguments.clone()).await?.json() != &json!(true) {
        if start.elapsed() > PATIENCE {
            let seen = driver.execute("return document.body.innerText", vec![]).await?;
            bail!("waited {PATIENCE:?} in vain; the page says: {}", seen.json());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

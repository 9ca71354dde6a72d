//! The page in its own words: what a visitor can do and see.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use integration_tests::browser::wait_for;
use serde_json::{Value, json};
use thirtyfour::{By, WebDriver, WebElement, WindowHandle};
use xtask::server::Server;

use crate::objects::Object;

/// Behind the address, for tests that are about one model.
const ALONE: &str = "#v=baseline-coco&s=coffee";

/// The page in a browser, and the server it comes from.
pub struct Page {
    driver: WebDriver,
    /// Where the page comes from.
    pub server: Server,
    /// Parts of console errors that the test provokes.
    expected_errors: RefCell<Vec<&'static str>>,
}

impl Page {
    pub fn new(driver: WebDriver, server: Server) -> Self {
        Self { driver, server, expected_errors: RefCell::default() }
    }

    /// Goes to the page with one model alone, and does not wait for it.
    pub async fn visit(&self) -> Result<()> {
        self.visit_at(ALONE).await
    }

    /// Goes to the page with something behind its address (`#v=baseline`), and does not wait for it.
    pub async fn visit_at(&self, rest: &str) -> Result<()> {
        // From elsewhere: a mere change behind the `#` would not load the page again.
        self.driver.goto("about:blank").await?;
        Ok(self.driver.goto(format!("{}{rest}", self.server.url())).await?)
    }

    /// Goes to the page with one model and a query (`?threads=2`), and waits for the first boxes.
    pub async fn open_with(&self, query: &str) -> Result<()> {
        self.open_at(&format!("{query}{ALONE}")).await
    }

    /// Goes to the page with something behind its address, and waits for the first boxes of all panels.
    pub async fn open_at(&self, rest: &str) -> Result<()> {
        self.visit_at(rest).await?;
        self.wait_for_boxes("").await
    }

    /// Goes to the page with one model alone, and waits for the first boxes.
    pub async fn open(&self) -> Result<()> {
        self.open_with("").await
    }

    /// Opens another tab and turns to it; returns the one before.
    pub async fn open_tab(&self) -> Result<WindowHandle> {
        let before = self.driver.window().await?;
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab).await?;
        Ok(before)
    }

    pub async fn turn_to_tab(&self, tab: WindowHandle) -> Result<()> {
        Ok(self.driver.switch_to_window(tab).await?)
    }

    /// Runs JavaScript in the page, as the body of a function.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.driver.execute(script, arguments).await?.json().clone())
    }

    /// Runs JavaScript before any of the page's own.
    pub async fn script_at_start(&self, script: &str) -> Result<()> {
        let params = json!({ "source": script });
        self.driver.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", params).await?;
        Ok(())
    }

    /// A command of the browser's debugging protocol.
    pub async fn devtools(&self, command: &str, params: Value) -> Result<Value> {
        Ok(self.driver.cdp().send_raw(command, params).await?)
    }

    /// Turns the browser to a screen of so many pixels; narrow ones are phones'.
    pub async fn turn_to_screen(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        Ok(())
    }

    /// The element with this test id.
    pub async fn element(&self, id: &str) -> Result<WebElement> {
        let selector = format!("[data-testid={id:?}]");
        self.driver.find(By::Css(selector)).await.with_context(|| format!("the page shows no {id}"))
    }

    /// What the element with this test id says.
    pub async fn text(&self, id: &str) -> Result<String> {
        Ok(self.element(id).await?.text().await?)
    }

    /// What the element with this test id says, even where it is folded away.
    pub async fn hidden_text(&self, id: &str) -> Result<String> {
        let script = "return document.querySelector(`[data-testid=${arguments[0]}]`)?.textContent";
        let text = self.script(script, vec![json!(id)]).await?;
        Ok(text.as_str().with_context(|| format!("the page has no {id}"))?.to_owned())
    }

    /// Whether there is an element with this test id.
    pub async fn shows(&self, id: &str) -> Result<bool> {
        let selector = format!("[data-testid={id:?}]");
        Ok(!self.driver.find_all(By::Css(selector)).await?.is_empty())
    }

    pub async fn click(&self, id: &str) -> Result<()> {
        Ok(self.element(id).await?.click().await?)
    }

    pub async fn pick_sample(&self, id: &str) -> Result<()> {
        self.click(&format!("sample-{id}")).await
    }

    /// Gives files to the file input, as the file dialogue does.
    pub async fn upload(&self, files: &[&Path]) -> Result<()> {
        let names: Vec<_> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        Ok(self.element("upload").await?.send_keys(names.join("\n")).await?)
    }

    /// Moves a slider as the arrow keys or a drag do.
    pub async fn slide(&self, id: &str, value: f64) -> Result<()> {
        let script = "const slider = document.querySelector(`[data-testid=${arguments[0]}]`);
            slider.value = arguments[1];
            slider.dispatchEvent(new Event('input', { bubbles: true }));";
        self.script(script, vec![json!(id), json!(value)]).await?;
        Ok(())
    }

    /// Chooses in a list, as the visitor does; of several of this name, the one at `place`.
    pub async fn choose(&self, id: &str, place: usize, value: &str) -> Result<()> {
        let script = "const list = document.querySelectorAll(`[data-testid=${arguments[0]}]`)[arguments[1]];
            list.value = arguments[2];
            list.dispatchEvent(new Event('change', { bubbles: true }));";
        self.script(script, vec![json!(id), json!(place), json!(value)]).await?;
        Ok(())
    }

    /// Waits until the boxes of an image are there in all panels; any image's if the name is empty.
    pub async fn wait_for_boxes(&self, image: &str) -> Result<()> {
        self.wait_for(
            "const viewers = Array.from(document.querySelectorAll('[data-testid=viewer]'));
            return viewers.length > 0 && viewers.every(({ dataset }) =>
                dataset.state === 'done' && (!arguments[0] || dataset.picture === arguments[0]));",
            vec![json!(image)],
        )
        .await
        .with_context(|| format!("no boxes on {image:?}"))
    }

    /// Waits until the runs that are only for their time are over.
    pub async fn wait_for_times(&self) -> Result<()> {
        let measured = "return Array.from(document.querySelectorAll('[data-testid=network-ms]'))
            .every(cell => /\\d/.test(cell.textContent))";
        self.wait_for(measured, vec![]).await.context("no time is shown")
    }

    /// Waits for the message that something went wrong, and returns it.
    pub async fn wait_for_message(&self, id: &str) -> Result<String> {
        let appeared = "return Boolean(document.querySelector(`[data-testid=${arguments[0]}]`))";
        self.wait_for(appeared, vec![json!(id)]).await.with_context(|| format!("no {id} appears"))?;
        self.text(id).await
    }

    /// Waits until a script gives true.
    pub async fn wait_for(&self, script: &str, arguments: Vec<Value>) -> Result<()> {
        wait_for(&self.driver, script, arguments).await
    }

    /// The first panel's objects.
    pub async fn objects(&self) -> Result<Vec<Object>> {
        self.objects_of(0).await
    }

    /// The objects of the panel at `place`, as the table has them.
    pub async fn objects_of(&self, place: usize) -> Result<Vec<Object>> {
        let script = "const cells = document.querySelectorAll(`[data-testid=found][data-panel='${arguments[0]}']`);
            return Array.from(cells, cell => ({
                class: cell.dataset.class,
                score: Number(cell.dataset.score),
                corners: cell.dataset.box.split(',').map(Number),
            }));";
        Ok(serde_json::from_value(self.script(script, vec![json!(place)]).await?)?)
    }

    /// The texts of all elements with this test id.
    pub async fn texts(&self, id: &str) -> Result<Vec<String>> {
        let script =
            "return Array.from(document.querySelectorAll(`[data-testid=${arguments[0]}]`), e => e.textContent)";
        Ok(serde_json::from_value(self.script(script, vec![json!(id)]).await?)?)
    }

    /// Makes the page keep the files it hands out, for [`Page::saved`]; before it is opened.
    pub async fn keep_saved(&self) -> Result<()> {
        let script = "globalThis.saved = [];
            const kept = new Map();
            const make = URL.createObjectURL;
            URL.createObjectURL = blob => { const url = make(blob); kept.set(url, blob); return url; };
            HTMLAnchorElement.prototype.click = function () { saved.push({ name: this.download, blob: kept.get(this.href) }); };";
        self.script_at_start(script).await
    }

    /// Waits for a file that the page hands out; its name and its bytes.
    pub async fn saved(&self) -> Result<(String, Vec<u8>)> {
        self.wait_for("return saved.length > 0", vec![]).await.context("the page hands out no file")?;
        let script = "return (async () => {
            const { name, blob } = saved.shift();
            return [name, Array.from(new Uint8Array(await blob.arrayBuffer()))];
        })()";
        Ok(serde_json::from_value(self.script(script, vec![]).await?)?)
    }

    /// How often networks have run in the worker.
    pub async fn runs(&self) -> Result<u64> {
        let script = "return Number(document.querySelector('[data-testid=viewer]').dataset.runs)";
        self.script(script, vec![]).await?.as_u64().context("the viewer counts no runs")
    }

    /// Lets errors pass whose message contains this.
    pub fn expect_error(&self, part: &'static str) {
        self.expected_errors.borrow_mut().push(part);
    }

    /// Fails if the console has shown an error that the test did not expect.
    pub async fn check_console(&self) -> Result<()> {
        let expected = self.expected_errors.borrow().clone();
        for entry in self.driver.browser_log().await? {
            let is_expected = expected.iter().any(|part| entry.message.contains(part));
            ensure!(entry.level != "SEVERE" || is_expected, "the console shows: {}", entry.message);
        }
        Ok(())
    }
}

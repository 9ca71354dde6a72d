//! The worker dies: the page says so, replaces it, and goes on.

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::server::Fault;

use crate::browser::browse;
use crate::page::Page;

/// Keeps hold of the page's workers, so that a test can reach them.
pub const KEEP_WORKERS: &str = "globalThis.workers = [];
    globalThis.Worker = class extends globalThis.Worker {
        constructor(...options) { super(...options); globalThis.workers.push(this); }
    };";

/// A message that no page of this build sends: the worker's program panics on it.
const CRASH: &str = "globalThis.workers.at(-1).postMessage({ Nonsense: 1 });";

async fn workers(page: &Page) -> Result<u64> {
    Ok(page.script("return globalThis.workers.length", vec![]).await?.as_u64().unwrap_or_default())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_dead_worker_is_replaced() {
    browse(async |page| {
        page.script_at_start(KEEP_WORKERS).await?;
        page.open().await?;
        page.wait_for_times().await?;
        page.expect_error("unreachable");
        page.script(CRASH, vec![]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("crashed") && message.contains("replaced"), "{message}");
        ensure!(workers(page).await? == 2);
        // Threads, which the first may have had, are not tried again.
        page.wait_for(
            "return document.querySelector('[data-testid=build]').textContent.startsWith('1 thread ')",
            vec![],
        )
        .await?;

        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.objects().await?[0].class == "cat");
        ensure!(!page.shows("notice").await?, "the message outlives its cause");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_worker_that_dies_on_a_image_gets_it_again_only_on_request() {
    browse(async |page| {
        page.script_at_start(KEEP_WORKERS).await?;
        page.open().await?;
        page.wait_for_times().await?;
        page.expect_error("unreachable");
        // Out of memory in the middle of an image: the worker is asked to open one and dies before it answers.
        let script = "const worker = globalThis.workers.at(-1);
            const post = worker.postMessage.bind(worker);
            worker.postMessage = message => { post({ Nonsense: 1 }); post(message); };";
        page.script(script, vec![]).await?;
        page.pick_sample("chelsea").await?;
        ensure!(page.wait_for_message("retry").await?.contains("Try again"));
        ensure!(page.text("notice").await?.contains("on this picture"));
        ensure!(workers(page).await? == 2);

        page.click("retry").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.objects().await?[0].class == "cat");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_worker_that_never_starts_is_given_up_until_asked_for() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.expect_error("worker");
        page.server.fail("worker", Fault::Missing);
        page.visit().await?;
        let message = page.wait_for_message("failure").await?;
        ensure!(message.contains("does not start"), "{message}");
        page.server.heal();
        page.click("retry").await?;
        page.wait_for_boxes("").await?;
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_worker_that_failed_before_the_page_was_there_is_replaced() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.expect_error("worker");
        // The page's program comes late.
        let late = "for (const name of ['instantiateStreaming', 'instantiate']) {
                const now = WebAssembly[name].bind(WebAssembly);
                WebAssembly[name] = (...options) => new Promise(done => setTimeout(done, 1500)).then(() => now(...options));
            }";
        page.script_at_start(late).await?;
        page.server.fail("worker", Fault::Missing);
        page.visit().await?;
        let message = page.wait_for_message("failure").await?;
        ensure!(message.contains("does not start"), "{message}");
        page.server.heal();
        page.click("retry").await?;
        page.wait_for_boxes("").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn answers_about_an_earlier_image_are_dropped() {
    browse(async |page| {
        page.open().await?;
        // Faster than networks run.
        let script = "for (const id of arguments[0]) document.querySelector(`[data-testid=sample-${id}]`).click();";
        page.script(script, vec![json!(["china", "astronaut", "motorcycle", "chelsea"])]).await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        page.wait_for_times().await?;
        let objects = page.objects().await?;
        ensure!(objects.len() == 1 && objects[0].class == "cat", "{objects:?}");
        Ok(())
    });
}

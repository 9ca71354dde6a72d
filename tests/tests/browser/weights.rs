//! Weights that do not arrive as published: a sentence, nothing bad in the cache, and a way on.

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::server::Fault;

use crate::browser::browse;
use crate::page::Page;

const WEIGHTS: &str = "models/yolox_nano_coco";

/// Visits while weights fail; expects `part` in the sentence. Then all is well again, and "Try again" has to do.
async fn fails_and_recovers(page: &Page, fault: Fault, part: &str) -> Result<()> {
    page.expect_error("Failed to load resource");
    page.server.fail(WEIGHTS, fault);
    page.visit().await?;
    let message = page.wait_for_message("failure").await?;
    ensure!(message.contains(part), "{message}");
    ensure!(cached(page).await? == json!(0), "what came instead of the weights is in the cache");

    page.server.heal();
    page.click("retry").await?;
    page.wait_for_boxes("").await?;
    ensure!(!page.objects().await?.is_empty());
    ensure!(cached(page).await? == json!(1), "the weights are not in the cache");
    Ok(())
}

/// How many files the page has in the browser's cache.
async fn cached(page: &Page) -> Result<serde_json::Value> {
    let script = "return caches.open('yolox-nano-weights').then(cache => cache.keys()).then(keys => keys.length)";
    page.script(script, vec![]).await
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn missing_weights() {
    browse(async |page| fails_and_recovers(page, Fault::Missing, "404").await);
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_web_page_instead_of_weights() {
    browse(async |page| fails_and_recovers(page, Fault::WrongBytes, "web page").await);
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_download_that_breaks_off() {
    browse(async |page| fails_and_recovers(page, Fault::Broken, "broke off").await);
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_are_downloaded_once() {
    browse(async |page| {
        page.open().await?;
        page.devtools("Network.clearBrowserCache", json!({})).await?;
        page.server.fail(WEIGHTS, Fault::Missing);
        page.open().await?;
        ensure!(!page.objects().await?.is_empty());
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_cache_gone_bad_is_replaced() {
    browse(async |page| {
        page.open().await?;
        let spoil = "return caches.open('yolox-nano-weights').then(async cache => {
            const [key] = await cache.keys();
            await cache.put(key, new Response('rubbish'));
        }).then(() => true)";
        page.script(spoil, vec![]).await?;
        page.open().await?;
        ensure!(!page.objects().await?.is_empty());
        let length = "return caches.open('yolox-nano-weights').then(async cache => {
            const [key] = await cache.keys();
            return (await (await cache.match(key)).arrayBuffer()).byteLength > 1e6;
        })";
        ensure!(page.script(length, vec![]).await? == json!(true), "the rubbish is still there");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_browser_without_a_cache_keeps_weights_in_memory() {
    browse(async |page| {
        // What a full disk or a private window looks like to the worker.
        let script = "globalThis.Worker = class extends globalThis.Worker {
                constructor(url, options) {
                    const code = `Object.defineProperty(self, 'caches', { get() { throw new Error('denied') } });
                        await import(${JSON.stringify(String(url))});`;
                    super(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), options);
                }
            };";
        page.devtools("Page.setBypassCSP", json!({ "enabled": true })).await?;
        page.script_at_start(script).await?;
        page.open().await?;
        ensure!(!page.objects().await?.is_empty());
        ensure!(cached(page).await? == json!(0));
        Ok(())
    });
}

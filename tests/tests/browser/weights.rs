//! Weights that do not arrive as published: a sentence, nothing bad in the cache, and a way on.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::server::Fault;

use crate::browser::{browse, published, site};
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
    browse(async |page| fails_and_recovers(page, Fault::Missing, "newer version of the page").await);
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
fn a_download_that_falls_silent() {
    browse(async |page| fails_and_recovers(page, Fault::Stalled, "broke off").await);
}

/// Adds a model in mid-visit whose weights come to nothing; expects `part` in the sentence, and everything else as it was. Then all is
/// well again.
async fn another_model_fails(page: &Page, part: &str) -> Result<()> {
    page.choose("add", 0, "baseline-voc").await?;
    let message = page.wait_for_message("panel-error").await?;
    ensure!(message.contains(part), "{message}");
    ensure!(cached(page).await? == json!(1), "what came instead of the weights is in the cache");
    ensure!(!page.objects_of(0).await?.is_empty(), "the boxes of the model before are gone");
    page.server.heal();
    page.click("retry").await?;
    page.wait_for_boxes("coffee.jpg").await?;
    ensure!(!page.objects_of(1).await?.is_empty());
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_connection_lost_in_mid_download() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.open().await?;
        page.server.fail("models/baseline-voc", Fault::Broken);
        another_model_fails(page, "broke off after").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_that_a_newer_version_of_the_site_has_replaced() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.open().await?;
        page.server.fail("models/baseline-voc", Fault::Missing);
        another_model_fails(page, "newer version of the page").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_that_are_others_than_published() {
    for (length, part) in [(None, "SHA-256 differs"), (Some(1000), "1000 bytes instead of")] {
        browse(async |page| {
            page.open().await?;
            let name = published("models/baseline-voc.int8.safetensors")?;
            let right = fs::read(site().join(&name))?;
            let mut wrong = right.clone();
            // A weight, which is as good as any other.
            *wrong.last_mut().context("an empty file")? ^= 1;
            wrong.truncate(length.unwrap_or(wrong.len()));
            page.server.put(&name, wrong);
            page.choose("add", 0, "baseline-voc").await?;
            let message = page.wait_for_message("panel-error").await?;
            ensure!(message.contains(part), "{message}");
            ensure!(cached(page).await? == json!(1), "the wrong weights are in the cache");
            ensure!(!page.objects_of(0).await?.is_empty());
            page.server.put(&name, right);
            page.click("retry").await?;
            page.wait_for_boxes("coffee.jpg").await
        });
    }
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

//! Weights of the visitor's own: kept until they are removed, and fetched from elsewhere where a link says so.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use anyhow::{Context, Result, ensure};
use integration_tests::repository;
use serde_json::json;
use tempfile::TempDir;

use crate::browser::browse;
use crate::faults::change_script;
use crate::page::Page;

/// Names of the models on show.
const MODELS: &str = "Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()";

async fn wait_for_models(page: &Page, names: &str) -> Result<()> {
    page.wait_for(&format!("return {MODELS} === arguments[0]"), vec![json!(names)])
        .await
        .with_context(|| format!("{names} are not on show"))
}

/// Drops weights called "my run" on the page, and waits for their panel.
async fn give_weights(page: &Page) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("my run.safetensors");
    fs::copy(published(), &file)?;
    page.upload(&[&file]).await?;
    wait_for_models(page, "baseline-coco,my-run").await?;
    page.wait_for_boxes("").await?;
    Ok(folder)
}

fn published() -> std::path::PathBuf {
    repository().join("models/baseline-voc.safetensors")
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_are_kept_until_they_are_removed() {
    browse(async |page| {
        page.open().await?;
        ensure!(!page.shows("kept").await?);
        drop(give_weights(page).await?);
        page.wait_for_message("kept").await?;

        // At the next visit they are on the list, also for links, though the file is gone.
        page.open().await?;
        let offered = "return Array.from(document.querySelector('[data-testid=add]').options, o => o.value)
            .includes('my-run')";
        page.wait_for(offered, vec![]).await?;
        page.open_at("#v=my-run@320,my-run&s=motorcycle").await?;
        wait_for_models(page, "my-run@320,my-run").await?;
        ensure!(!page.objects_of(1).await?.is_empty());

        page.click("kept-remove").await?;
        wait_for_models(page, "baseline-voc,final-voc").await?;
        ensure!(!page.shows("kept").await?);
        page.open_at("#v=my-run").await?;
        wait_for_models(page, "baseline-voc,final-voc").await?;
        ensure!(!page.shows("kept").await?);
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_full_or_denied_storage_gets_a_sentence() {
    browse(async |page| {
        for (obstacle, part) in [
            (
                "globalThis.Cache && (Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError')))",
                "no room left",
            ),
            (
                "Object.defineProperty(globalThis, 'caches', { get() { throw new DOMException('no', 'SecurityError') } })",
                "does not let the page keep files",
            ),
        ] {
            page.script_at_start(obstacle).await?;
            page.open().await?;
            let _folder = give_weights(page).await?;
            let message = page.wait_for_message("notice").await?;
            ensure!(message.contains(part), "{message}");
            ensure!(!page.shows("kept").await?);
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_disk_that_runs_full_loses_nothing_that_is_kept() {
    browse(async |page| {
        page.open().await?;
        drop(give_weights(page).await?);
        page.wait_for_message("kept").await?;
        let origin = page.server.url();
        let quota = json!({ "origin": origin.trim_end_matches('/'), "quotaSize": 1_000_000 });
        page.devtools("Storage.overrideQuotaForOrigin", quota).await?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("another.safetensors");
        fs::copy(published(), &file)?;
        page.upload(&[&file]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("no room left"), "{message}");
        page.wait_for_boxes("").await?;
        ensure!(!page.objects_of(2).await?.is_empty(), "weights that are not kept must run all the same");

        page.open_at("#v=my-run").await?;
        wait_for_models(page, "my-run").await?;
        ensure!(!page.objects().await?.is_empty());
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_that_another_tab_removes_stay_where_they_are_on_show() {
    browse(async |page| {
        page.open().await?;
        drop(give_weights(page).await?);
        page.wait_for_message("kept").await?;
        let first = page.open_tab().await?;
        // Here they are listed, but not on show.
        page.open().await?;
        let second = page.open_tab().await?;
        page.open().await?;
        page.wait_for_message("kept").await?;
        page.click("kept-remove").await?;
        page.wait_for("return !document.querySelector('[data-testid=kept]')", vec![]).await?;

        page.turn_to_tab(second).await?;
        page.choose("add", 0, "my-run").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("my-run") && message.contains("no longer has the file"), "{message}");
        wait_for_models(page, "baseline-coco").await?;
        ensure!(!page.objects().await?.is_empty());

        page.turn_to_tab(first).await?;
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        wait_for_models(page, "baseline-coco,my-run").await?;
        ensure!(page.objects_of(1).await?[0].class == "cat");
        Ok(())
    });
}

/// Another server, with one file for whoever asks; the file's URL.
fn elsewhere(is_open: bool) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/weights/from-elsewhere.safetensors", listener.local_addr()?);
    let content = fs::read(published())?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(asked) = stream.try_clone() else { return };
            // Up to the empty line.
            let lines = BufReader::new(asked).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let allowed = if is_open { "Access-Control-Allow-Origin: *\r\n" } else { "" };
            let length = content.len();
            let head = format!("HTTP/1.1 200 OK\r\n{allowed}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            // The browser may have hung up.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
        }
    });
    Ok(url)
}

/// A link to weights, as the page writes it.
fn link(url: &str) -> String {
    format!("#v=baseline-coco&s=motorcycle&w={}", url.replace(':', "%3A").replace('/', "%2F"))
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_link_to_weights_is_followed_if_the_visitor_agrees() {
    browse(async |page| {
        let link = link(&elsewhere(true)?);
        page.open_at(&link).await?;
        let message = page.wait_for_message("offer").await?;
        ensure!(message.contains("127.0.0.1"), "{message}");
        ensure!(page.script(&format!("return {MODELS}"), vec![]).await? == "baseline-coco", "nobody has agreed yet");
        page.click("offer-decline").await?;
        ensure!(!page.shows("offer").await?);

        page.open_at(&link).await?;
        page.wait_for_message("offer").await?;
        page.click("offer-accept").await?;
        wait_for_models(page, "baseline-coco,from-elsewhere").await?;
        page.wait_for_boxes("").await?;
        ensure!(!page.objects_of(1).await?.is_empty());
        page.wait_for("return location.hash.includes('w=http') && !document.querySelector('iframe')", vec![]).await?;

        // Kept now, they are shown without asking.
        page.wait_for_message("kept").await?;
        page.open_at(&link).await?;
        wait_for_models(page, "baseline-coco,from-elsewhere").await?;
        ensure!(!page.shows("offer").await?);
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn servers_that_keep_their_files_to_themselves_are_explained() {
    browse(async |page| {
        page.expect_error("CORS");
        page.expect_error("Failed to load resource");
        page.open_at(&link(&elsewhere(false)?)).await?;
        page.wait_for_message("offer").await?;
        page.click("offer-accept").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("Access-Control-Allow-Origin") && message.contains("127.0.0.1"), "{message}");

        page.open_at("#v=baseline-coco&w=ftp%3A%2F%2Fexample.org%2Fa.safetensors").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("no https address"), "{message}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_page_itself_cannot_reach_other_servers() {
    browse(async |page| {
        page.expect_error("Content Security Policy");
        page.expect_error("Refused to connect");
        page.open().await?;
        let script = "return fetch(arguments[0]).then(() => 'reached', () => 'refused')";
        ensure!(page.script(script, vec![json!(elsewhere(true)?)]).await? == "refused");

        // Nor can its worker, which has another policy.
        page.script_at_start("new BroadcastChannel('told').onmessage = event => globalThis.told = event.data").await?;
        let ask = format!(
            "fetch('{}').then(() => 'reached', () => 'refused').then(what => new BroadcastChannel('told').postMessage(what));",
            elsewhere(true)?
        );
        change_script(page, "worker.js", &ask, "run()", "run()")?;
        page.devtools("Network.clearBrowserCache", json!({})).await?;
        page.open().await?;
        page.wait_for("return globalThis.told !== undefined", vec![]).await?;
        ensure!(page.script("return told", vec![]).await? == "refused");
        Ok(())
    });
}
